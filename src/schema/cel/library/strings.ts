/** cel-go's string extensions (version 2) and Kubernetes' regular expressions. */
import type { Functions } from "../check/functions.ts";
import { CelFault, CostExceeded } from "../fault.ts";
import { codePoints, isAscii } from "../run/values.ts";
import { formatText } from "./format-text.ts";
import { celRegexp } from "./standard.ts";

export function registerStrings(functions: Functions): void {
  registerPositions(functions);
  functions
    .add("string->lowerAscii(): string", (text: string) =>
      text.replace(/[A-Z]+/g, (part) => part.toLowerCase()),
    )
    .add("string->upperAscii(): string", (text: string) =>
      text.replace(/[a-z]+/g, (part) => part.toUpperCase()),
    )
    .add("string->replace(string, string): string", (text: string, from: string, to: string) =>
      replaced(text, from, to, -1n),
    )
    .add("string->replace(string, string, int): string", replaced)
    .add("string->split(string): list<string>", (text: string, by: string) => split(text, by, -1n))
    .add("string->split(string, int): list<string>", split)
    .add("string->trim(): string", (text: string) => {
      return text.replace(/^[\p{White_Space}]+|[\p{White_Space}]+$/gu, "");
    })
    .add("string->format(list<dyn>): string", formatText, "string_format")
    .add("strings.quote(string): string", quoted, "strings_quote")
    .add("list<string>->join(): string", (list: readonly string[]) => list.join(""))
    .add("list<string>->join(string): string", (list: readonly string[], by: string) => {
      checkLength(list.length * by.length);
      return list.join(by);
    });
  registerExpressions(functions);
}

function registerExpressions(functions: Functions): void {
  const findAll = (text: string, pattern: string, most: bigint): readonly string[] => {
    const found = expression(pattern).findAll(text, most < 0n ? undefined : Number(most));
    return found.map(({ start, end }) => text.slice(start, end));
  };
  functions
    .add("string->find(string): string", (text: string, pattern: string) => {
      const found = expression(pattern).find(text);
      return found === undefined ? "" : text.slice(found.start, found.end);
    })
    .add("string->findAll(string): list<string>", (text: string, pattern: string) =>
      findAll(text, pattern, -1n),
    )
    .add("string->findAll(string, int): list<string>", findAll);
}

function expression(pattern: string) {
  try {
    return celRegexp(pattern);
  } catch (fault) {
    throw fault instanceof CelFault ? new CelFault(`Illegal regex: ${fault.message}`) : fault;
  }
}

/** Positions count code points. */
function registerPositions(functions: Functions): void {
  functions
    .add("string->charAt(int): string", (text: string, at: bigint) => {
      const length = codePoints(text);
      if (at < 0n || at > length) throw outOfRange(at);
      return part(text, Number(at), Number(at) + 1);
    })
    .add("string->indexOf(string): int", (text: string, part: string) => indexOf(text, part, 0n))
    .add("string->indexOf(string, int): int", indexOf)
    .add("string->lastIndexOf(string): int", (text: string, part: string) => {
      const length = codePoints(text);
      if (part === "") return BigInt(length);
      return text.length < part.length ? -1n : lastIndexOf(text, part, BigInt(length - 1));
    })
    .add("string->lastIndexOf(string, int): int", lastIndexOf)
    .add("string->substring(int): string", (text: string, from: bigint) => {
      const length = codePoints(text);
      if (from < 0n || from > length) throw outOfRange(from);
      return part(text, Number(from), length);
    })
    .add("string->substring(int, int): string", (text: string, from: bigint, to: bigint) => {
      const length = codePoints(text);
      if (from > to) {
        throw new CelFault(`invalid substring range. start: ${from}, end: ${to}`);
      }
      for (const at of [from, to]) if (at < 0n || at > length) throw outOfRange(at);
      return part(text, Number(from), Number(to));
    });
}

function outOfRange(at: bigint): CelFault {
  return new CelFault(`index out of range: ${at}`);
}

/** From one code point to before another. */
function part(text: string, from: number, to: number): string {
  const start = unitsOf(text, from);
  return text.slice(start, start + unitsOf(text.slice(start), to - from));
}

/** How long the first code points of a text are. */
function unitsOf(text: string, count: number): number {
  if (isAscii(text)) return Math.min(count, text.length);
  let at = 0;
  for (let seen = 0; seen < count && at < text.length; seen++)
    at += (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1;
  return at;
}

function indexOf(text: string, sought: string, from: bigint): bigint {
  return positionOf(text, sought, from, (at) => text.indexOf(sought, at));
}

function lastIndexOf(text: string, sought: string, from: bigint): bigint {
  return positionOf(text, sought, from, (at) => text.lastIndexOf(sought, at));
}

function positionOf(
  text: string,
  sought: string,
  from: bigint,
  search: (at: number) => number,
): bigint {
  if (sought === "") return from;
  if (from < 0n) throw outOfRange(from);
  if (from >= codePoints(text)) return -1n;
  const found = search(unitsOf(text, Number(from)));
  if (found < 0) return -1n;
  return BigInt(isAscii(text) ? found : codePoints(text.slice(0, found)));
}

/** What would be longer than this would cost more than one evaluation may. */
const limits = { lengthMax: 10_000_000 } as const;

function checkLength(length: number): void {
  if (length > limits.lengthMax) throw new CostExceeded();
}

function replaced(text: string, from: string, to: string, most: bigint): string {
  const times = from === "" ? text.length + 1 : text.length / from.length;
  if (times * to.length > limits.lengthMax) {
    const found = from === "" ? times : text.split(from).length - 1;
    checkLength(found * to.length);
  }
  if (most < 0n && from !== "") return text.replaceAll(from, () => to);
  // An empty text is found before every character, and at the end.
  const pieces = from === "" ? ["", ...text] : text.split(from);
  const count = from === "" ? pieces.length : pieces.length - 1;
  const limit = most < 0n ? count : Math.min(count, Number(most));
  if (from === "") {
    return pieces.map((piece, index) => piece + (index < limit ? to : "")).join("");
  }
  return pieces
    .map((piece, index) => piece + (index === pieces.length - 1 ? "" : index < limit ? to : from))
    .join("");
}

function split(text: string, by: string, most: bigint): readonly string[] {
  if (most === 0n) return [];
  const pieces = by === "" ? [...text] : text.split(by);
  if (most < 0n || pieces.length <= most) return pieces;
  const count = Number(most) - 1;
  return [...pieces.slice(0, count), pieces.slice(count).join(by)];
}

const escapes: Readonly<Record<string, string>> = {
  "\x07": "\\a",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\v": "\\v",
  "\\": "\\\\",
  '"': '\\"',
};

function quoted(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is escaped.
  return `"${text.toWellFormed().replace(/[\x07-\r"\\]/g, (one) => escapes[one] ?? one)}"`;
}
