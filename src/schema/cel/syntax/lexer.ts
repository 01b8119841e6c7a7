/** Cuts an expression into tokens. */
import { checkInt, checkUint } from "../scalars.ts";
import type { LiteralValue } from "./ast.ts";
import { SyntaxFault } from "./problem.ts";
import { stringLiteral } from "./string-literal.ts";

export type Token =
  | { readonly type: "end"; readonly at: number; readonly text: "<EOF>" }
  | { readonly type: "name"; readonly at: number; readonly text: string }
  | { readonly type: "sign"; readonly at: number; readonly text: string }
  | {
      readonly type: "literal";
      readonly at: number;
      readonly text: string;
      readonly value: LiteralValue;
    };

const blank = /(?:[\t \r\n\f]+|\/\/[^\n]*)*/y;
const word = /[A-Za-z_][A-Za-z0-9_]*/y;
const float = /(?:\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?)/y;
const whole = /(0x[0-9a-fA-F]+|\d+)([uU]?)/y;
const signs = /==|!=|<=|>=|&&|\|\||[[\]{}().,:?+\-*/%!<>]/y;
const stringStart = /(?:[bB][rR]?|[rR][bB]?)?(?:"""|'''|"|')/y;

function match(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

/** @throws SyntaxFault where no token begins. */
export function tokens(source: string): readonly Token[] {
  const found: Token[] = [];
  let at = 0;
  for (;;) {
    at += match(blank, source, at)?.[0].length ?? 0;
    if (at >= source.length) break;
    const token = next(source, at, found.at(-1));
    found.push(token);
    at += token.text.length;
  }
  found.push({ type: "end", at: source.length, text: "<EOF>" });
  return found;
}

function next(source: string, at: number, before: Token | undefined): Token {
  const opening = match(stringStart, source, at);
  if (opening !== null) {
    const { text, value } = stringLiteral(source, at, opening[0]);
    return { type: "literal", at, text, value };
  }
  // `a.1` is no float: after a dot or a name the dot is a selection.
  const decimal = before?.text === "." ? null : match(float, source, at);
  if (decimal !== null) {
    return { type: "literal", at, text: decimal[0], value: Number(decimal[0]) };
  }
  const digits = match(whole, source, at);
  if (digits !== null) return number(digits[0], digits[1] ?? "", digits[2] !== "", at);
  const name = match(word, source, at);
  if (name !== null) return nameToken(name[0], at);
  const sign = match(signs, source, at);
  if (sign !== null) return { type: "sign", at, text: sign[0] };
  const character = String.fromCodePoint(source.codePointAt(at) ?? 0);
  throw new SyntaxFault(at, `Syntax error: token recognition error at: '${character}'`);
}

const constants: ReadonlyMap<string, LiteralValue> = new Map<string, LiteralValue>([
  ["true", true],
  ["false", false],
  ["null", null],
]);

function nameToken(text: string, at: number): Token {
  const value = constants.get(text);
  if (value !== undefined) return { type: "literal", at, text, value };
  return { type: text === "in" ? "sign" : "name", at, text };
}

/** The sign of a number is an operator; the smallest integer is made by the parser. */
function number(text: string, digits: string, isUnsigned: boolean, at: number): Token {
  const value = BigInt(digits);
  try {
    if (isUnsigned) return { type: "literal", at, text, value: checkUint(value) };
    if (value === 2n ** 63n) return { type: "literal", at, text, value };
    return { type: "literal", at, text, value: checkInt(value) };
  } catch {
    throw new SyntaxFault(at, `invalid ${isUnsigned ? "uint" : "int"} literal`);
  }
}
