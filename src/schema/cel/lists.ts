/** Kubernetes' list functions, cel-go's list and set extensions. */
import type { Environment } from "@marcbachmann/cel-js";

type Ordered = string | number | bigint | boolean | Date;

export function registerLists(environment: Environment): void {
  const add = environment.registerFunction.bind(environment);
  add("list<A>.isSorted(): bool", (list: Ordered[]) =>
    list.every((item, i) => i === 0 || compare(list[i - 1] as Ordered, item) <= 0),
  );
  add("list<A>.sum(): A", (list: (number | bigint)[]) => sum(list));
  add("list<A>.min(): A", (list: Ordered[]) => extreme(list, "min", -1));
  add("list<A>.max(): A", (list: Ordered[]) => extreme(list, "max", 1));
  add("list<A>.indexOf(A): int", (list: unknown[], item: unknown) =>
    BigInt(list.findIndex((one) => celEqual(one, item))),
  );
  add("list<A>.lastIndexOf(A): int", (list: unknown[], item: unknown) =>
    BigInt(list.findLastIndex((one) => celEqual(one, item))),
  );
  add("list<A>.slice(int, int): list<A>", slice);
  add("list<A>.reverse(): list<A>", (list: unknown[]) => [...list].reverse());
  add("list<A>.distinct(): list<A>", distinct);
  add("list<A>.sort(): list<A>", (list: Ordered[]) => [...list].sort(compare));
  add("list.flatten(): list", (list: unknown[]) => list.flat());
  add("list.flatten(int): list", (list: unknown[], depth: bigint) => list.flat(Number(depth)));
  registerSets(environment);
}

function registerSets(environment: Environment): void {
  class Sets {}
  environment.registerType("SetsNamespace", Sets);
  environment.registerConstant("sets", "SetsNamespace", new Sets());
  const add = environment.registerFunction.bind(environment);
  const contains = (list: readonly unknown[], all: readonly unknown[]): boolean =>
    all.every((item) => list.some((one) => celEqual(one, item)));
  add("SetsNamespace.contains(list, list): bool", (_sets: Sets, a: unknown[], b: unknown[]) =>
    contains(a, b),
  );
  add(
    "SetsNamespace.equivalent(list, list): bool",
    (_sets: Sets, a: unknown[], b: unknown[]) => contains(a, b) && contains(b, a),
  );
  add("SetsNamespace.intersects(list, list): bool", (_sets: Sets, a: unknown[], b: unknown[]) =>
    a.some((item) => contains(b, [item])),
  );
}

function compare(a: Ordered, b: Ordered): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function sum(list: readonly (number | bigint)[]): number | bigint {
  if (list.every((item) => typeof item === "bigint")) {
    return list.reduce((total: bigint, item) => total + (item as bigint), 0n);
  }
  return list.reduce((total: number, item) => total + Number(item), 0);
}

function extreme(list: readonly Ordered[], name: string, sign: number): Ordered {
  const [first, ...rest] = list;
  if (first === undefined) throw new Error(`${name} called on empty list`);
  return rest.reduce((best, item) => (compare(item, best) * sign > 0 ? item : best), first);
}

function slice(list: readonly unknown[], from: bigint, to: bigint): readonly unknown[] {
  const [start, end] = [Number(from), Number(to)];
  if (start < 0 || end < 0)
    throw new Error(`cannot slice(${start}, ${end}), negative indexes not supported`);
  if (start > end) {
    throw new Error(
      `cannot slice(${start}, ${end}), start index must be less than or equal to end index`,
    );
  }
  if (end > list.length) {
    throw new Error(`cannot slice(${start}, ${end}), list is length ${list.length}`);
  }
  return list.slice(start, end);
}

function distinct(list: readonly unknown[]): readonly unknown[] {
  return list.filter((item, i) => list.findIndex((one) => celEqual(one, item)) === i);
}

/** Equality of CEL values: numbers by value across their types, lists and maps by content. */
export function celEqual(a: unknown, b: unknown): boolean {
  if (typeof a === "bigint" || typeof a === "number") {
    // biome-ignore lint/suspicious/noDoubleEquals: an int and a double of one value are equal.
    return (typeof b === "bigint" || typeof b === "number") && a == b;
  }
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return a === b;
  if (Array.isArray(a)) {
    if (!Array.isArray(b) || a.length !== b.length) return false;
    return a.every((item, i) => celEqual(item, b[i]));
  }
  if (a instanceof Date) return b instanceof Date && a.getTime() === b.getTime();
  if (a instanceof Uint8Array) return b instanceof Uint8Array && Buffer.compare(a, b) === 0;
  const entries = (value: object) => (value instanceof Map ? [...value] : Object.entries(value));
  const other = new Map(entries(b));
  const own = entries(a);
  return own.length === other.size && own.every(([key, value]) => celEqual(value, other.get(key)));
}
