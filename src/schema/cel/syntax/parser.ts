/** Parses an expression by CEL's grammar; macros are expanded on the way. */
import {
  type Call,
  type Entry,
  type Expr,
  type ListLiteral,
  qualifiedName,
  type StructField,
} from "./ast.ts";
import { type Token, tokens } from "./lexer.ts";
import { expandBinding, expandMacro } from "./macros.ts";
import { SyntaxFault } from "./problem.ts";

const limits = { codePointsMax: 100_000, depthMax: 250 } as const;

const reserved: ReadonlySet<string> = new Set(
  (
    "as break const continue else for function if import let loop package namespace return var " +
    "void while"
  ).split(" "),
);
const relations = ["==", "!=", "<", "<=", ">", ">=", "in"];
const sums = ["+", "-"];
const products = ["*", "/", "%"];
const starts =
  "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, " +
  "BYTES, IDENTIFIER}";

export interface Syntax {
  /** `cel.bind(name, value, expression)` is understood. */
  readonly hasBindings: boolean;
}

/** @throws SyntaxFault with the place of the first error. */
export function parse(source: string, syntax: Syntax = { hasBindings: false }): Expr {
  if (source.length > limits.codePointsMax && [...source].length > limits.codePointsMax) {
    const size = [...source].length;
    const numbers = `size: ${size}, limit ${limits.codePointsMax}`;
    const text = `expression code point size exceeds limit: ${numbers}`;
    throw new SyntaxFault(0, text);
  }
  const parser = new Parser(tokens(source), syntax);
  return parser.whole();
}

function call(name: string, at: number, ...args: readonly Expr[]): Call {
  return { kind: "call", at, name, target: undefined, args };
}

class Parser {
  #index = 0;
  #depth = 0;

  constructor(
    private readonly all: readonly Token[],
    private readonly syntax: Syntax,
  ) {}

  whole(): Expr {
    const expr = this.#expression();
    const rest = this.#now;
    if (rest.type === "end") return expr;
    const isLast = this.all[this.#index + 1]?.type === "end";
    const what = isLast ? "extraneous" : "mismatched";
    throw new SyntaxFault(rest.at, `Syntax error: ${what} input '${rest.text}' expecting <EOF>`);
  }

  get #now(): Token {
    return this.all[this.#index] as Token;
  }

  #take(): Token {
    const token = this.#now;
    if (token.type !== "end") this.#index++;
    return token;
  }

  #is(...texts: readonly string[]): boolean {
    return this.#now.type === "sign" && texts.includes(this.#now.text);
  }

  #skip(text: string): boolean {
    if (!this.#is(text)) return false;
    this.#index++;
    return true;
  }

  #expect(text: string, isListed = false): Token {
    if (this.#is(text)) return this.#take();
    const { at, text: found } = this.#now;
    if (isListed) {
      const wanted = text === "}" ? "{'}', ','}" : `{'${text}', ','}`;
      throw new SyntaxFault(at, `Syntax error: mismatched input '${found}' expecting ${wanted}`);
    }
    throw new SyntaxFault(at, `Syntax error: missing '${text}' at '${found}'`);
  }

  /** `isFirst`: only a dot stands before it, so that nothing says that a name was meant. */
  #name(isFirst = false): Token {
    if (this.#now.type === "name") return this.#take();
    const { at, text } = this.#now;
    if (isFirst)
      throw new SyntaxFault(at, `Syntax error: no viable alternative at input '.${text}'`);
    throw new SyntaxFault(at, `Syntax error: mismatched input '${text}' expecting IDENTIFIER`);
  }

  /** Nesting is bounded: everything behind the parser follows the tree by recursion. */
  #nested<T>(work: () => T): T {
    this.#deeper();
    const result = work();
    this.#depth--;
    return result;
  }

  #deeper(): void {
    if (++this.#depth <= limits.depthMax) return;
    const text = `expression recursion limit exceeded: ${limits.depthMax}`;
    throw new SyntaxFault(this.#now.at, text);
  }

  #expression(): Expr {
    return this.#nested(() => {
      const condition = this.#logical("||", "_||_", () =>
        this.#logical("&&", "_&&_", () => this.#relation()),
      );
      if (!this.#is("?")) return condition;
      const { at } = this.#take();
      const then = this.#logical("||", "_||_", () =>
        this.#logical("&&", "_&&_", () => this.#relation()),
      );
      this.#expect(":");
      return call("_?_:_", at, condition, then, this.#expression());
    });
  }

  /** Chains become balanced trees, so that long ones are not deep. */
  #logical(sign: string, name: string, operand: () => Expr): Expr {
    const terms = [operand()];
    const places: number[] = [];
    while (this.#is(sign)) {
      places.push(this.#take().at);
      terms.push(operand());
    }
    return balanced(name, terms, places, 0, terms.length);
  }

  #relation(): Expr {
    return this.#chain(relations, () =>
      this.#chain(sums, () => this.#chain(products, () => this.#unary())),
    );
  }

  #chain(signs: readonly string[], operand: () => Expr): Expr {
    const depth = this.#depth;
    let left = operand();
    while (this.#is(...signs)) {
      this.#deeper();
      const { at, text } = this.#take();
      left = call(text === "in" ? "@in" : `_${text}_`, at, left, operand());
    }
    this.#depth = depth;
    return left;
  }

  #unary(): Expr {
    const { at, text } = this.#now;
    if (!this.#is("!", "-")) return this.#member();
    let count = 0;
    while (this.#skip(text)) count++;
    if (text === "-" && count === 1) {
      const literal = this.#negative(at);
      if (literal !== undefined) return this.#suffixes(literal);
    }
    const operand = this.#nested(() => this.#member());
    if (count % 2 === 0) return operand;
    return call(text === "!" ? "!_" : "-_", at, operand);
  }

  /** `-1` is a literal; only there the smallest integer can be written. */
  #negative(at: number): Expr | undefined {
    const token = this.#now;
    if (token.type !== "literal") return undefined;
    const { value } = token;
    if (typeof value !== "bigint" && typeof value !== "number") return undefined;
    this.#index++;
    return { kind: "literal", at, value: -value };
  }

  #member(): Expr {
    return this.#suffixes(this.#primary());
  }

  #suffixes(start: Expr): Expr {
    const depth = this.#depth;
    let expr = start;
    for (;;) {
      this.#deeper();
      if (this.#is(".")) expr = this.#selection(expr);
      else if (this.#is("[")) expr = this.#subscript(expr);
      else if (this.#is("{") && qualifiedName(expr) !== undefined) expr = this.#struct(expr);
      else break;
    }
    this.#depth = depth;
    return expr;
  }

  #selection(operand: Expr): Expr {
    const { at } = this.#take();
    const isOptional = this.#skip("?");
    const { at: fieldAt, text: field } = this.#name();
    if (isOptional) {
      return call("_?._", at, operand, { kind: "literal", at: fieldAt, value: field });
    }
    if (!this.#is("(")) return { kind: "select", at, operand, field, isTest: false };
    const { at: open } = this.#take();
    const args = this.#items(")").items;
    const binding = this.syntax.hasBindings ? expandBinding(field, operand, args, open) : undefined;
    return (
      binding ??
      expandMacro(field, operand, args, open) ?? {
        kind: "call",
        at: open,
        name: field,
        target: operand,
        args,
      }
    );
  }

  #subscript(operand: Expr): Expr {
    const { at } = this.#take();
    const name = this.#skip("?") ? "_[?_]" : "_[_]";
    const index = this.#expression();
    this.#expect("]");
    return call(name, at, operand, index);
  }

  #struct(type: Expr): Expr {
    const { at } = this.#take();
    const fields: StructField[] = [];
    while (!this.#is("}")) {
      const isOptional = this.#skip("?");
      const { text: name } = this.#name();
      const colon = this.#expect(":");
      fields.push({ at: colon.at, name, value: this.#expression(), isOptional });
      if (!this.#skip(",")) break;
    }
    this.#expect("}");
    return { kind: "struct", at, type: qualifiedName(type) ?? "", fields };
  }

  #primary(): Expr {
    const token = this.#now;
    const { at } = token;
    if (token.type === "literal") {
      this.#index++;
      if (token.value === 2n ** 63n) throw new SyntaxFault(at, "invalid int literal");
      return { kind: "literal", at, value: token.value };
    }
    if (this.#skip("(")) {
      const inner = this.#expression();
      this.#expect(")");
      return inner;
    }
    if (this.#skip("[")) return { kind: "list", at, ...this.#items("]") };
    if (this.#skip("{")) return { kind: "map", at, entries: this.#entries() };
    if (this.#is(".") || token.type === "name") return this.#global();
    // One token too many is told as such.
    const isExtra = isStart(this.all[this.#index + 1]);
    const what = isExtra && token.type !== "end" ? "extraneous" : "mismatched";
    throw new SyntaxFault(at, `Syntax error: ${what} input '${token.text}' expecting ${starts}`);
  }

  /** A variable, or a call of a function that has no target. */
  #global(): Expr {
    const isAbsolute = this.#skip(".");
    const { at, text: name } = this.#name(isAbsolute);
    if (reserved.has(name)) throw new SyntaxFault(at, `reserved identifier: ${name}`);
    if (!this.#is("(")) return { kind: "ident", at, name: isAbsolute ? `.${name}` : name };
    const { at: open } = this.#take();
    const { items } = this.#items(")");
    return expandMacro(name, undefined, items, open) ?? call(name, open, ...items);
  }

  #items(end: string): Pick<ListLiteral, "items" | "optional"> {
    const items: Expr[] = [];
    const optional = new Set<number>();
    while (!this.#is(end)) {
      if (end === "]" && this.#skip("?")) optional.add(items.length);
      items.push(this.#expression());
      if (!this.#skip(",")) break;
    }
    this.#expect(end, items.length > 0);
    return { items, optional };
  }

  #entries(): readonly Entry[] {
    const entries: Entry[] = [];
    while (!this.#is("}")) {
      const isOptional = this.#skip("?");
      const key = this.#expression();
      const { at } = this.#expect(":");
      entries.push({ at, key, value: this.#expression(), isOptional });
      if (!this.#skip(",")) break;
    }
    this.#expect("}");
    return entries;
  }
}

function isStart(token: Token | undefined): boolean {
  if (token?.type === "sign") return ["[", "{", "(", ".", "-", "!"].includes(token.text);
  return token?.type === "name" || token?.type === "literal";
}

function balanced(
  name: string,
  terms: readonly Expr[],
  places: readonly number[],
  from: number,
  to: number,
): Expr {
  if (to - from === 1) return terms[from] as Expr;
  const middle = from + Math.ceil((to - from) / 2);
  const left = balanced(name, terms, places, from, middle);
  const right = balanced(name, terms, places, middle, to);
  return call(name, places[middle - 1] ?? 0, left, right);
}
