/**
 * JSON whose whole numbers keep their digits, as Go's int64 does: those beyond 2^53 are bigints in
 * objects, and digits where they are written. All others are numbers; so is what no int64 holds.
 */

declare global {
  interface BigInt {
    toJSON(): unknown;
  }
  interface JSON {
    /** Stands in an object for a text that is written as it is. */
    rawJSON(text: string): unknown;
  }
}

/** Bigints written so far, by whomever. */
let written = 0;

Object.defineProperty(BigInt.prototype, "toJSON", {
  configurable: true,
  value(this: bigint): unknown {
    written += 1;
    return JSON.rawJSON(String(this));
  },
});

/** As JSON.stringify; `hasLarge` when there are numbers that JSON.parse would round. */
export function stringifyExact(value: unknown): {
  readonly text: string;
  readonly hasLarge: boolean;
} {
  const before = written;
  const text = JSON.stringify(value);
  return { text, hasLarge: written > before };
}

/** True for a number that JSON.parse may have rounded. */
export function mayBeRounded(value: number): boolean {
  return value > Number.MAX_SAFE_INTEGER || value < -Number.MAX_SAFE_INTEGER;
}

/** A whole number as objects hold it: a bigint only where it must be. */
export function wholeNumber(value: bigint): number | bigint {
  const near = Number(value);
  return mayBeRounded(near) && BigInt.asIntN(64, value) === value ? value : near;
}

/** True for whole numbers that an int64 holds. */
export function isInt64(value: unknown): value is number | bigint {
  return typeof value === "bigint" || Number.isSafeInteger(value);
}

const [quote, backslash, minus, zero, nine] = [0x22, 0x5c, 0x2d, 0x30, 0x39];
/** Shorter numbers are exact. */
const digitsMin = 16;
/** What a number may hold beside its digits. */
const numberPattern = /-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const largePattern = /^-?\d{16,}$/;

/** As JSON.parse, to the last digit; slower for texts that may hold large numbers. */
export function parseExact(text: string): unknown {
  if (!/\d{16}/.test(text)) return JSON.parse(text);
  const mark = `${Bun.hash(text)}:`;
  const holder = { value: JSON.parse(markLarge(text, mark)) as unknown };
  const rest: object[] = [holder];
  for (let next = rest.pop(); next !== undefined; next = rest.pop()) {
    const container = next as Record<string, unknown>;
    for (const key of Object.keys(container)) {
      const value = container[key];
      if (typeof value === "object" && value !== null) rest.push(value);
      else if (typeof value === "string" && value.startsWith(mark))
        container[key] = wholeNumber(BigInt(value.slice(mark.length)));
    }
  }
  return holder.value;
}

/** A valid text with large whole numbers as strings that begin with `mark`. */
function markLarge(text: string, mark: string): string {
  const parts: string[] = [];
  let copied = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === quote) at = stringEnd(text, at + 1);
    else if (code === minus || (code >= zero && code <= nine)) {
      const end = numberEnd(text, at);
      if (end - at >= digitsMin) {
        const number = text.slice(at, end);
        if (largePattern.test(number)) {
          parts.push(text.slice(copied, at), `"${mark}${number}"`);
          copied = end;
        }
      }
      at = end - 1;
    }
  }
  parts.push(text.slice(copied));
  return parts.join("");
}

function stringEnd(text: string, from: number): number {
  let at = from;
  for (let code = text.charCodeAt(at); code !== quote && at < text.length; ) {
    at += code === backslash ? 2 : 1;
    code = text.charCodeAt(at);
  }
  return at;
}

function numberEnd(text: string, from: number): number {
  numberPattern.lastIndex = from;
  return numberPattern.test(text) ? numberPattern.lastIndex : from + 1;
}
