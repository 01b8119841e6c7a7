/** Finds the type of every part of an expression, and the functions that its calls may mean. */
import {
  type Call,
  type Comprehension,
  type Expr,
  type ListLiteral,
  type MapLiteral,
  qualifiedName,
  type Select,
  type StructLiteral,
} from "../syntax/ast.ts";
import type { Problem } from "../syntax/problem.ts";
import { keywordField } from "../values.ts";
import { mostGeneral, Substitutions } from "./assign.ts";
import type { Functions, Overload } from "./functions.ts";
import { literalType } from "./literal-type.ts";
import {
  bool,
  type CelType,
  dyn,
  error,
  formatType,
  int,
  isExact,
  isOptional,
  listOf,
  mapOf,
  optionalOf,
  param,
  typeNamed,
  typeOf,
} from "./types.ts";

/** More than are ever shown. */
const problemsMax = 1_000;

/** What is known about an expression beside its tree. */
export interface Checked {
  readonly expr: Expr;
  readonly type: CelType;
  readonly types: ReadonlyMap<Expr, CelType>;
  readonly calls: ReadonlyMap<Expr, readonly Overload[]>;
  /** Dotted names that are types: `net.IP`. */
  readonly typeNames: ReadonlyMap<Expr, string>;
  /** The declared variables that the expression uses. */
  readonly variables: ReadonlySet<string>;
}

export interface Declarations {
  readonly variables: ReadonlyMap<string, CelType>;
  readonly functions: Functions;
  /** Types of message literals; none where only JSON is known. */
  readonly messages?: (name: string) => CelType | undefined;
}

/** The types of all parts, and every error that there is. */
export function check(
  expr: Expr,
  declarations: Declarations,
): { readonly checked: Checked; readonly problems: readonly Problem[] } {
  const checker = new Checker(declarations);
  checker.check(expr);
  return { checked: checker.result(expr), problems: checker.problems };
}

class Checker {
  readonly problems: Problem[] = [];
  readonly #types = new Map<Expr, CelType>();
  readonly #wrong = new Map<Expr, readonly Problem[]>();
  readonly #calls = new Map<Expr, readonly Overload[]>();
  readonly #typeNames = new Map<Expr, string>();
  readonly #used = new Set<string>();
  readonly #known = new Substitutions();
  readonly #scopes: Map<string, CelType>[] = [];

  constructor(private readonly declared: Declarations) {}

  result(expr: Expr): Checked {
    for (const [part, type] of this.#types) this.#types.set(part, this.#known.resolve(type, true));
    return {
      expr,
      type: this.#typeOf(expr),
      types: this.#types,
      calls: this.#calls,
      typeNames: this.#typeNames,
      variables: this.#used,
    };
  }

  check(expr: Expr): void {
    if (this.#types.has(expr)) {
      this.#repeat(expr);
      return;
    }
    const from = this.problems.length;
    const type = this.#check(expr);
    this.#types.set(expr, type);
    if (this.problems.length > from) this.#wrong.set(expr, this.problems.slice(from));
  }

  /** What macros use twice is checked once; what is wrong with it is told for each use. */
  #repeat(expr: Expr): void {
    const left = Math.max(0, problemsMax - this.problems.length);
    this.problems.push(...(this.#wrong.get(expr) ?? []).slice(0, left));
  }

  #typeOf(expr: Expr): CelType {
    return this.#types.get(expr) ?? error;
  }

  #problem(at: number, message: string): CelType {
    this.problems.push({ at, message });
    return error;
  }

  #check(expr: Expr): CelType {
    switch (expr.kind) {
      case "literal":
        return literalType(expr.value);
      case "ident":
        return this.#ident(expr, expr.name) ?? this.#undeclared(expr.at, expr.name);
      case "select":
        return this.#select(expr);
      case "call":
        return this.#call(expr);
      case "list":
        return this.#list(expr);
      case "map":
        return this.#map(expr);
      case "struct":
        return this.#struct(expr);
      case "comprehension":
        return this.#comprehension(expr);
    }
  }

  #undeclared(at: number, name: string): CelType {
    return this.#problem(at, `undeclared reference to '${name}' (in container '')`);
  }

  /** A variable of a loop, a declared one, or the name of a type. */
  #ident(expr: Expr, written: string): CelType | undefined {
    const name = written.replace(/^\./, "");
    for (let index = this.#scopes.length - 1; index >= 0; index--) {
      const type = this.#scopes[index]?.get(name);
      if (type !== undefined) return type;
    }
    const type = this.declared.variables.get(name);
    if (type !== undefined) {
      this.#used.add(name);
      return type;
    }
    const named = typeNamed(name);
    if (named === undefined) return undefined;
    this.#typeNames.set(expr, name);
    return typeOf(named);
  }

  #select(expr: Select): CelType {
    const name = expr.isTest ? undefined : qualifiedName(expr);
    if (name !== undefined && typeNamed(name) !== undefined) {
      const type = this.#ident(expr, name);
      if (type !== undefined) return type;
    }
    const type = this.#field(expr.at, expr.operand, expr.field, false);
    return expr.isTest ? bool : this.#known.resolve(type);
  }

  #field(at: number, operand: Expr, field: string, isOptionalSelect: boolean): CelType {
    this.check(operand);
    const whole = this.#known.resolve(this.#typeOf(operand));
    const isWrapped = isOptional(whole);
    const target = isWrapped ? (whole.params[0] as CelType) : whole;
    const type = this.#fieldOf(at, target, field);
    return isWrapped || isOptionalSelect ? optionalOf(type) : type;
  }

  #fieldOf(at: number, target: CelType, field: string): CelType {
    switch (target.kind) {
      case "map":
        return target.params[1] as CelType;
      case "struct": {
        if (target.fields === undefined) {
          return this.#problem(at, `unexpected failed resolution of '${target.name}'`);
        }
        const found = target.fields.get(field) ?? target.fields.get(keywordField(field));
        return found?.type ?? this.#problem(at, `undefined field '${field}'`);
      }
      case "param":
        this.#known.isAssignable(dyn, target);
        return dyn;
      case "dyn":
      case "error":
        return dyn;
      default:
        this.#problem(at, `type '${formatType(target)}' does not support field selection`);
        return dyn;
    }
  }

  #call(expr: Call): CelType {
    const { name, target, args, at } = expr;
    if (name === "_?._") return this.#optionalSelect(expr);
    for (const arg of args) this.check(arg);
    if (target === undefined) {
      const all = this.declared.functions.named(name);
      return all === undefined ? this.#undeclared(at, name) : this.#resolve(expr, all, args, false);
    }
    const prefix = qualifiedName(target);
    const qualified = prefix && this.declared.functions.named(`${prefix}.${name}`);
    if (qualified) return this.#resolve(expr, qualified, args, false, `${prefix}.${name}`);
    this.check(target);
    const all = this.declared.functions.named(name);
    if (all === undefined) return this.#undeclared(at, name);
    return this.#resolve(expr, all, [target, ...args], true);
  }

  #optionalSelect(expr: Call): CelType {
    const [operand, field] = expr.args as readonly [Expr, Expr];
    const name = field.kind === "literal" ? String(field.value) : "";
    this.#types.set(field, literalType(name));
    const type = this.#field(expr.at, operand, name, true);
    this.#calls.set(expr, this.declared.functions.named("_?._") ?? []);
    return this.#known.resolve(type);
  }

  #resolve(
    expr: Call,
    overloads: readonly Overload[],
    args: readonly Expr[],
    isMember: boolean,
    name = expr.name,
  ): CelType {
    const given = args.map((arg) => this.#typeOf(arg));
    if (name === "_&&_" || name === "_||_") return this.#logical(expr, overloads, args, given);
    const fitting: Overload[] = [];
    let result: CelType | undefined;
    for (const overload of overloads) {
      if (overload.isMember !== isMember) continue;
      const { params, yielded } = this.#instance(overload);
      if (!this.#known.areAssignable(given, params)) continue;
      fitting.push(overload);
      const type = this.#known.resolve(yielded);
      if (result === undefined) result = type;
      else if (result.kind !== "dyn" && !isExact(type, result)) result = dyn;
    }
    if (result === undefined) return this.#noOverload(expr.at, name, given, isMember);
    this.#calls.set(expr, fitting);
    return result;
  }

  /** The overload with type parameters of its own. */
  #instance({ params, result, generic }: Overload) {
    if (generic.length === 0) return { params, yielded: result };
    const own = new Substitutions();
    for (const name of generic) own.isAssignable(this.#known.variable(), param(name));
    return { params: params.map((one) => own.resolve(one)), yielded: own.resolve(result) };
  }

  #logical(
    expr: Call,
    overloads: readonly Overload[],
    args: readonly Expr[],
    given: readonly CelType[],
  ): CelType {
    let type = bool;
    given.forEach((one, index) => {
      if (this.#known.isAssignable(one, bool)) return;
      type = this.#mismatch(args[index]?.at ?? expr.at, bool, one);
    });
    this.#calls.set(expr, overloads);
    return type;
  }

  #mismatch(at: number, wanted: CelType, found: CelType): CelType {
    return this.#problem(
      at,
      `expected type '${formatType(wanted)}' but found '${formatType(found)}'`,
    );
  }

  #noOverload(at: number, name: string, given: readonly CelType[], isMember: boolean): CelType {
    const types = given.map((one) => formatType(this.#known.resolve(one, true)));
    const target = isMember ? `${types.shift()}.` : "";
    const applied = `${target}(${types.join(", ")})`;
    return this.#problem(at, `found no matching overload for '${name}' applied to '${applied}'`);
  }

  /** The type of an item that may be written `?x`. */
  #unwrapped(expr: Expr, isMarked: boolean): CelType {
    const type = this.#typeOf(expr);
    if (!isMarked || type.kind === "dyn") return type;
    if (isOptional(type)) return type.params[0] as CelType;
    return this.#mismatch(expr.at, optionalOf(type), type);
  }

  /** Of what differs nothing is known; literals of mixed types are refused elsewhere. */
  #joined(before: CelType | undefined, type: CelType): CelType {
    if (before === undefined) return type;
    return this.#known.isAssignable(before, type) ? mostGeneral(before, type) : dyn;
  }

  #list({ items, optional }: ListLiteral): CelType {
    let type: CelType | undefined;
    items.forEach((item, index) => {
      this.check(item);
      type = this.#joined(type, this.#unwrapped(item, optional.has(index)));
    });
    return listOf(type ?? this.#known.variable());
  }

  #map({ entries }: MapLiteral): CelType {
    let [keys, values]: (CelType | undefined)[] = [];
    for (const { key, value, isOptional: isMarked } of entries) {
      this.check(key);
      keys = this.#joined(keys, this.#typeOf(key));
      this.check(value);
      values = this.#joined(values, this.#unwrapped(value, isMarked));
    }
    return mapOf(keys ?? this.#known.variable(), values ?? this.#known.variable());
  }

  #struct({ type: name, fields, at }: StructLiteral): CelType {
    const type = this.declared.messages?.(name);
    if (type === undefined) return this.#undeclared(at, name);
    for (const field of fields) {
      this.check(field.value);
      const wanted = this.#fieldOf(field.at, type, field.name);
      const found = this.#unwrapped(field.value, field.isOptional);
      if (this.#known.isAssignable(wanted, found)) continue;
      const [a, b] = [formatType(wanted), formatType(found)];
      const text = `expected type of field '${field.name}' is '${a}' but provided type is '${b}'`;
      this.#problem(field.at, text);
    }
    return type;
  }

  #comprehension(expr: Comprehension): CelType {
    this.check(expr.range);
    this.check(expr.init);
    const range = this.#known.resolve(this.#typeOf(expr.range));
    const folded = this.#typeOf(expr.init);
    this.#scopes.push(new Map([[expr.accu, folded]]));
    const [first, second] = this.#loopTypes(expr, range);
    this.#scopes.push(new Map([[expr.iter, first]]));
    if (expr.iter2 !== undefined) this.#scopes.at(-1)?.set(expr.iter2, second);
    this.check(expr.condition);
    this.#must(expr.condition, bool);
    this.check(expr.step);
    this.#must(expr.step, folded);
    this.#scopes.pop();
    this.check(expr.result);
    this.#scopes.pop();
    return this.#known.resolve(this.#typeOf(expr.result));
  }

  #loopTypes({ iter2, range: over }: Comprehension, range: CelType): [CelType, CelType] {
    const [first = dyn, second = dyn] = range.params;
    switch (range.kind) {
      case "list":
        return iter2 === undefined ? [first, first] : [int, first];
      case "map":
        return [first, second];
      case "dyn":
      case "error":
      case "param":
        this.#known.isAssignable(dyn, range);
        return [dyn, dyn];
      default: {
        const text = `expression of type '${formatType(range)}' cannot be range of a comprehension`;
        this.#problem(over.at, `${text} (must be list, map, or dynamic)`);
        return [error, error];
      }
    }
  }

  #must(expr: Expr, type: CelType): void {
    const found = this.#typeOf(expr);
    if (!this.#known.isAssignable(type, found)) this.#mismatch(expr.at, type, found);
  }
}
