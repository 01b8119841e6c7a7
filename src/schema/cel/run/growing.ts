/** Lists and maps that a loop fills: nobody else sees them, so that they need not be copied. */
import { CelMap, isMap, mapSize } from "./map.ts";

const open = new WeakSet<object>();

/** What a loop begins with: a list or a map of its own where it begins with an empty one. */
export function growing(value: unknown): unknown {
  const isList = Array.isArray(value) && value.length === 0;
  if (!isList && !(isMap(value) && mapSize(value) === 0)) return value;
  const own = isList ? [] : new CelMap();
  open.add(own);
  return own;
}

/** The loop is over: from now on the value does not change. */
export function finished(value: unknown): void {
  if (typeof value === "object" && value !== null) open.delete(value);
}

export function isGrowing(value: object): boolean {
  return open.has(value);
}
