/** CEL's own operators and functions (https://github.com/google/cel-spec). */

import { linearRegexp } from "../../../lib/regexp/regexp.ts";
import { RegexpError } from "../../../lib/regexp/syntax.ts";
import type { Functions } from "../check/functions.ts";
import { CelFault } from "../fault.ts";
import { isGrowing } from "../run/growing.ts";
import { CelMap, isMap, mapEntries, mapOfEntries, mapSize } from "../run/map.ts";
import { celCompare, celEqual, joinLists, sizeOf, typeName } from "../run/values.ts";
import { CelTypeValue, type CelUint, checkInt, checkUint } from "../scalars.ts";

type List = readonly unknown[];

/** Never called: the interpreter does these itself. */
function built(): never {
  throw new Error("this is a part of the language");
}

export function registerStandard(functions: Functions): void {
  registerLogic(functions);
  registerArithmetic(functions);
  registerCollections(functions);
  registerTexts(functions);
}

function registerLogic(functions: Functions): void {
  functions
    .add("_?_:_(bool, T, T): T", built, "conditional")
    .add("_&&_(bool, bool): bool", built, "logical_and")
    .add("_||_(bool, bool): bool", built, "logical_or")
    .add("!_(bool): bool", (value: boolean) => !value)
    .add("@not_strictly_false(bool): bool", built)
    .add("_==_(A, A): bool", celEqual, "equals")
    .add("_!=_(A, A): bool", (a, b) => !celEqual(a, b), "not_equals")
    .add("type(A): type<A>", (value: unknown) => new CelTypeValue(typeName(value)))
    .add("dyn(A): dyn", (value: unknown) => value);
  const orders: Readonly<Record<string, (order: number) => boolean>> = {
    "_<_": (order) => order < 0,
    "_<=_": (order) => order <= 0,
    "_>_": (order) => order > 0,
    "_>=_": (order) => order >= 0,
  };
  const numbers = ["int", "uint", "double"];
  const others = ["bool", "string", "bytes", "timestamp", "duration"];
  for (const [name, holds] of Object.entries(orders)) {
    const run = (a: unknown, b: unknown): boolean => holds(celCompare(a, b));
    const pairs = numbers.flatMap((a) => numbers.map((b) => [a, b]));
    for (const [a, b] of [...others.map((one) => [one, one]), ...pairs]) {
      functions.add(`${name}(${a}, ${b}): bool`, run, a === b ? `order_${a}` : "");
    }
  }
}

type Whole = (a: bigint, b: bigint) => bigint;

function registerArithmetic(functions: Functions): void {
  const whole = (name: string, work: Whole): void => {
    functions.add(`${name}(int, int): int`, (a: bigint, b: bigint) => checkInt(work(a, b)));
    functions.add(`${name}(uint, uint): uint`, (a: CelUint, b: CelUint) =>
      checkUint(work(a.value, b.value)),
    );
  };
  const real = (name: string, work: (a: number, b: number) => number): void => {
    functions.add(`${name}(double, double): double`, work);
  };
  whole("_+_", (a, b) => a + b);
  whole("_-_", (a, b) => a - b);
  whole("_*_", (a, b) => a * b);
  whole("_/_", (a, b) => {
    if (b === 0n) throw new CelFault("division by zero");
    return a / b;
  });
  whole("_%_", (a, b) => {
    if (b === 0n) throw new CelFault("modulus by zero");
    return a % b;
  });
  real("_+_", (a, b) => a + b);
  real("_-_", (a, b) => a - b);
  real("_*_", (a, b) => a * b);
  real("_/_", (a, b) => a / b);
  functions
    .add("-_(int): int", (value: bigint) => checkInt(-value))
    .add("-_(double): double", (value: number) => -value);
}

function registerCollections(functions: Functions): void {
  const size = (value: unknown): bigint => BigInt(sizeOf(value));
  for (const type of ["string", "bytes", "list<A>", "map<A, B>"]) {
    functions.add(`size(${type}): int`, size).add(`${type}->size(): int`, size);
  }
  functions
    .add("_+_(list<A>, list<A>): list<A>", joinLists, "add_list")
    .add("_+_(string, string): string", (a: string, b: string) => a + b, "add_string")
    .add(
      "_+_(bytes, bytes): bytes",
      (a: Uint8Array, b: Uint8Array) => Uint8Array.from([...a, ...b]),
      "add_bytes",
    )
    .add("_[_](list<A>, int): A", built, "index_list")
    .add("_[_](map<A, B>, A): B", built, "index_map")
    .add("_[_](optional<list<V>>, int): optional<V>", built)
    .add("_[_](optional<map<K, V>>, K): optional<V>", built)
    .add(
      "@in(A, list<A>): bool",
      (item: unknown, list: List) => list.some((one) => celEqual(one, item)),
      "in_list",
    )
    .add("@in(A, map<A, B>): bool", (key: unknown, map: object) => {
      return map instanceof CelMap
        ? map.has(key)
        : typeof key === "string" && Object.hasOwn(map, key);
    })
    .add("cel.@mapInsert(map<K, V>, map<K, V>): map<K, V>", (map: object, more: object) =>
      inserted(map, mapEntries(more)),
    )
    .add(
      "cel.@mapInsert(map<K, V>, K, V): map<K, V>",
      (map: object, key: unknown, value: unknown) => inserted(map, [[key, value]]),
    );
}

function inserted(map: object, more: readonly (readonly [unknown, unknown])[]): object {
  if (map instanceof CelMap && isGrowing(map)) {
    for (const [key, value] of more) {
      if (map.has(key)) throw new CelFault(`insert failed: key ${String(key)} already exists`);
      map.set(key, value);
    }
    return map;
  }
  const before = isMap(map) ? mapEntries(map) : [];
  const result = mapOfEntries([...before, ...more]);
  if (mapSize(result) === before.length + more.length) return result;
  const twice = more.find(([key]) => before.some(([one]) => celEqual(one, key)));
  throw new CelFault(`insert failed: key ${String(twice?.[0])} already exists`);
}

function registerTexts(functions: Functions): void {
  functions
    .add(
      "string->contains(string): bool",
      (a: string, b: string) => a.includes(b),
      "contains_string",
    )
    .add("string->startsWith(string): bool", (a: string, b: string) => a.startsWith(b))
    .add("string->endsWith(string): bool", (a: string, b: string) => a.endsWith(b))
    .add("matches(string, string): bool", matches, "matches")
    .add("string->matches(string): bool", matches, "matches_string");
}

function matches(text: string, pattern: string): boolean {
  return celRegexp(pattern).test(text);
}

/** @throws CelFault where RE2 would not take the expression. */
export function celRegexp(source: string) {
  try {
    return linearRegexp(source);
  } catch (error) {
    if (error instanceof RegexpError) throw new CelFault(error.message);
    throw error;
  }
}
