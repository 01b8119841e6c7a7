/** Maps of CEL: plain objects, whose keys are strings, and maps with any keys. */
import { setOwn } from "../../copy.ts";
import { CelDuration, CelOptional, CelTimestamp, CelTypeValue, CelUint } from "../scalars.ts";

/** A map by value: 1, 1u and 1.0 are one key. */
export class CelMap {
  readonly #entries = new Map<string, readonly [key: unknown, value: unknown]>();

  get size(): number {
    return this.#entries.size;
  }
  get(key: unknown): unknown {
    return this.#entries.get(keyText(key))?.[1];
  }
  has(key: unknown): boolean {
    return this.#entries.has(keyText(key));
  }
  /** The first key that was set stays the key. */
  set(key: unknown, value: unknown): void {
    const text = keyText(key);
    this.#entries.set(text, [this.#entries.get(text)?.[0] ?? key, value]);
  }
  entries(): (readonly [unknown, unknown])[] {
    return [...this.#entries.values()];
  }
  values(): unknown[] {
    return this.entries().map(([, value]) => value);
  }
}

/** Equal values have equal texts. */
function keyText(key: unknown): string {
  switch (typeof key) {
    case "string":
      return `s${key}`;
    case "bigint":
      return `n${key}`;
    case "number":
      return Number.isInteger(key) ? `n${BigInt(key)}` : `n${key}`;
    case "boolean":
      return `b${key}`;
    default:
      break;
  }
  if (key === null || key === undefined) return "null";
  if (key instanceof CelUint) return `n${key.value}`;
  if (key instanceof CelTimestamp || key instanceof CelDuration) return `t${key}`;
  if (key instanceof Uint8Array) return `x${key.toHex()}`;
  if (Array.isArray(key)) return `[${key.map(keyText).map((text) => `${text.length}:${text}`)}]`;
  if (!isMap(key)) return `o${String(key)}`;
  const entries = mapEntries(key).map(([name, value]) => `${keyText(name)}=${keyText(value)}`);
  return `{${entries.sort().map((text) => `${text.length}:${text}`)}}`;
}

/** True for objects and maps, false for lists and for values of any other type. */
export function isMap(value: unknown): value is object {
  if (typeof value !== "object" || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null || value instanceof CelMap;
}

export function mapSize(map: object): number {
  return map instanceof CelMap ? map.size : Object.keys(map).length;
}

export function mapEntries(map: object): readonly (readonly [unknown, unknown])[] {
  return map instanceof CelMap ? map.entries() : Object.entries(map);
}

/** The value of a key; undefined where there is none. */
export function mapGet(map: object, key: unknown): unknown {
  if (map instanceof CelMap) return map.get(key);
  if (typeof key !== "string" || !Object.hasOwn(map, key)) return undefined;
  return (map as Readonly<Record<string, unknown>>)[key] ?? null;
}

/** A map with those entries; a plain object where all keys are strings. */
export function mapOfEntries(entries: readonly (readonly [unknown, unknown])[]): object {
  if (entries.every(([key]) => typeof key === "string")) {
    const object: Record<string, unknown> = {};
    for (const [key, value] of entries) setOwn(object, key as string, value);
    return object;
  }
  const map = new CelMap();
  for (const [key, value] of entries) map.set(key, value);
  return map;
}

/** The first moment of the first year. */
const zeroTime = -62_135_596_800_000_000_000n;

/** True for the value that a type begins with: 0, "", an empty list. */
export function isZero(value: unknown): boolean {
  if (value === null || value === undefined || value === false) return true;
  if (value === 0 || value === 0n || value === "") return true;
  if (value instanceof CelUint) return value.value === 0n;
  if (value instanceof CelDuration) return value.nanos === 0n;
  if (value instanceof CelTimestamp) return value.total === zeroTime;
  if (value instanceof CelOptional) return !value.hasValue || isZero(value.value);
  if (value instanceof CelTypeValue) return false;
  if (Array.isArray(value) || value instanceof Uint8Array) return value.length === 0;
  return isMap(value) && mapSize(value) === 0;
}
