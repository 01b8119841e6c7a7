/** What values are: their types, their sizes, equality and order. */
import { CelFault, CostExceeded } from "../fault.ts";
import { CelDuration, CelOptional, CelTimestamp, CelTypeValue, CelUint } from "../scalars.ts";
import { keyOf, uniqueKeys } from "../unique-list.ts";
import { isGrowing } from "./growing.ts";
import { CelMap, isMap, mapEntries, mapGet, mapSize } from "./map.ts";

const limits = { joinedMax: 1_000_000, shortMax: 256, countedUnitsMax: 8_000_000 } as const;

/** A value of a type that Kubernetes adds: a quantity, an address, the authorizer. */
export abstract class CelOpaque {
  abstract readonly typeName: string;
  abstract equals(other: CelOpaque): boolean;
  /** A field that expressions may select; undefined where there is none. */
  field(_name: string): unknown {
    return undefined;
  }
}

/** The name of the type of a value, as `type(x)` tells it. */
export function typeName(value: unknown): string {
  switch (typeof value) {
    case "bigint":
      return "int";
    case "number":
      return "double";
    case "boolean":
      return "bool";
    case "string":
      return "string";
    default:
      return objectTypeName(value);
  }
}

function objectTypeName(value: unknown): string {
  if (value === null || value === undefined) return "null_type";
  if (Array.isArray(value)) return "list";
  if (value instanceof CelUint) return "uint";
  if (value instanceof Uint8Array) return "bytes";
  if (value instanceof CelTimestamp) return "google.protobuf.Timestamp";
  if (value instanceof CelDuration) return "google.protobuf.Duration";
  if (value instanceof CelOptional) return "optional_type";
  if (value instanceof CelTypeValue) return "type";
  return value instanceof CelOpaque ? value.typeName : "map";
}

/** How much of it there is, for costs: characters, bytes, elements; 1 for all else. */
export function sizeOf(value: unknown): number {
  if (typeof value === "string") return codePoints(value);
  if (Array.isArray(value)) return value.length;
  if (value instanceof Uint8Array) return value.length;
  if (value instanceof CelOptional) return value.hasValue ? sizeOf(value.value) : 1;
  return isMap(value) ? mapSize(value) : 1;
}

/** Most strings are ASCII, whose length is at hand. */
export function codePoints(text: string): number {
  return isAscii(text) ? text.length : countOf(text).codePoints;
}

export function isAscii(text: string): boolean {
  if (text.length > limits.shortMax) return countOf(text).isAscii;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII begins with them.
  return /^[\x00-\x7f]*$/.test(text);
}

interface Count {
  readonly isAscii: boolean;
  readonly codePoints: number;
}

/** Long texts are counted once: expressions ask again and again for what upstream has for free. */
const counts = new Map<string, Count>();
let countedUnits = 0;

function countOf(text: string): Count {
  const known = counts.get(text);
  if (known !== undefined) return known;
  let codePoints = 0;
  for (let at = 0; at < text.length; codePoints++)
    at += (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII begins with them.
  const count = { isAscii: /^[\x00-\x7f]*$/.test(text), codePoints };
  countedUnits += text.length;
  if (countedUnits > limits.countedUnitsMax) {
    counts.clear();
    countedUnits = text.length;
  }
  counts.set(text, count);
  return count;
}

type Numeric = number | bigint | CelUint;

function isNumeric(value: unknown): value is Numeric {
  return typeof value === "bigint" || typeof value === "number" || value instanceof CelUint;
}

function plain(value: Numeric): number | bigint {
  return value instanceof CelUint ? value.value : value;
}

/** Equality: numbers by value across their types, lists and maps by content. */
export function celEqual(a: unknown, b: unknown): boolean {
  if (isNumeric(a)) {
    // biome-ignore lint/suspicious/noDoubleEquals: an int and a double of one value are equal.
    return isNumeric(b) && plain(a) == plain(b);
  }
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) {
    return (a ?? null) === (b ?? null);
  }
  if (Array.isArray(a)) return Array.isArray(b) && listsEqual(a, b);
  if (a instanceof Uint8Array) return b instanceof Uint8Array && Buffer.compare(a, b) === 0;
  if (a instanceof CelTimestamp) return b instanceof CelTimestamp && a.total === b.total;
  if (a instanceof CelDuration) return b instanceof CelDuration && a.nanos === b.nanos;
  if (a instanceof CelTypeValue) return b instanceof CelTypeValue && a.name === b.name;
  if (a instanceof CelOptional) return b instanceof CelOptional && optionalsEqual(a, b);
  if (a instanceof CelOpaque) {
    return b instanceof CelOpaque && a.typeName === b.typeName && a.equals(b);
  }
  return isMap(a) && isMap(b) && mapsEqual(a, b);
}

function optionalsEqual(a: CelOptional, b: CelOptional): boolean {
  if (!a.hasValue || !b.hasValue) return a.hasValue === b.hasValue;
  return celEqual(a.value, b.value);
}

type List = readonly unknown[];

function listsEqual(a: List, b: List): boolean {
  if (a.length !== b.length) return false;
  const keys = uniqueKeys(a) ?? uniqueKeys(b);
  if (keys === undefined) return a.every((item, index) => celEqual(item, b[index]));
  const others = new CelMap();
  for (const item of b) others.set(keyOf(item, keys), item);
  return a.every((item) => celEqual(item, others.get(keyOf(item, keys))));
}

function mapsEqual(a: object, b: object): boolean {
  if (mapSize(a) !== mapSize(b)) return false;
  return mapEntries(a).every(([key, value]) => {
    const other = mapGet(b, key);
    return other !== undefined && celEqual(value, other);
  });
}

/** Concatenation; of lists with identities a merge: what is new replaces or is appended. */
export function joinLists(a: List, b: List): List {
  if (isGrowing(a)) {
    for (const item of b) (a as unknown[]).push(item);
    return a;
  }
  // Upstream does not copy; what is longer than this could not be looked at either.
  if (a.length + b.length > limits.joinedMax) throw new CostExceeded();
  const keys = uniqueKeys(a);
  if (keys === undefined) return [...a, ...b];
  const merged = new CelMap();
  for (const item of [...a, ...b]) merged.set(keyOf(item, keys), item);
  return merged.values();
}

/**
 * Below, equal, above: -1, 0, 1.
 *
 * @throws CelFault for what has no order.
 */
export function celCompare(a: unknown, b: unknown): number {
  if (isNumeric(a) && isNumeric(b)) return compareNumbers(plain(a), plain(b));
  if (typeof a === "string" && typeof b === "string") return compareTexts(a, b);
  if (typeof a === "boolean" && typeof b === "boolean") return Number(a) - Number(b);
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b);
  if (a instanceof CelTimestamp && b instanceof CelTimestamp) return order(a.total, b.total);
  if (a instanceof CelDuration && b instanceof CelDuration) return order(a.nanos, b.nanos);
  throw new CelFault("no such overload");
}

function compareNumbers(a: number | bigint, b: number | bigint): number {
  if (Number.isNaN(a) || Number.isNaN(b)) throw new CelFault("NaN values cannot be ordered");
  return order(a, b);
}

function order<T extends number | bigint | string>(a: T, b: T): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** By code points, as UTF-8 orders them: surrogates stand above the rest. */
function compareTexts(a: string, b: string): number {
  const isWide = /[\ud800-\udfff]/.test(a) || /[\ud800-\udfff]/.test(b);
  return isWide ? Buffer.compare(Buffer.from(a), Buffer.from(b)) : order(a, b);
}
