/** Kubernetes' list functions, cel-go's list (version 3) and set extensions. */
import type { Functions } from "../check/functions.ts";
import { CelFault, CostExceeded } from "../fault.ts";
import { celCompare, celEqual, typeName } from "../run/values.ts";
import { CelDuration, CelUint, checkInt, checkUint } from "../scalars.ts";

type List = readonly unknown[];

/** More than this costs more than one evaluation may. */
const limits = { rangeMax: 1_000_000n } as const;
const comparable = ["int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes"];

export function registerLists(functions: Functions): void {
  for (const type of comparable) {
    functions
      .add(`list<${type}>->isSorted(): bool`, isSorted)
      .add(`list<${type}>->min(): ${type}`, (list: List) => extreme(list, "min", -1))
      .add(`list<${type}>->max(): ${type}`, (list: List) => extreme(list, "max", 1))
      .add(`list<${type}>->sort(): list<${type}>`, (list: List) => sortedBy(list, list))
      .add(`list<T>->@sortByAssociatedKeys(list<${type}>): list<T>`, sortedBy);
  }
  const sum = <T>(type: string, zero: T, add: (a: T, b: T) => T): void => {
    functions.add(`list<${type}>->sum(): ${type}`, (list: readonly T[]) => list.reduce(add, zero));
  };
  sum<bigint>("int", 0n, (a, b) => checkInt(a + b));
  sum<CelUint>("uint", new CelUint(0n), (a, b) => checkUint(a.value + b.value));
  sum<number>("double", 0, (a, b) => a + b);
  sum<CelDuration>("duration", new CelDuration(0n), (a, b) => new CelDuration(a.nanos + b.nanos));
  functions
    .add("list<A>->indexOf(A): int", (list: List, item: unknown) =>
      BigInt(list.findIndex((one) => celEqual(one, item))),
    )
    .add("list<A>->lastIndexOf(A): int", (list: List, item: unknown) =>
      BigInt(list.findLastIndex((one) => celEqual(one, item))),
    )
    .add("list<T>->slice(int, int): list<T>", slice)
    .add("list<list<T>>->flatten(): list<T>", (list: List) => list.flat())
    .add("list<dyn>->flatten(int): list<dyn>", (list: List, depth: bigint) => {
      if (depth < 0n) throw new CelFault("level must be non-negative");
      return list.flat(Number(depth));
    })
    .add("lists.range(int): list<int>", (count: bigint) => {
      if (count > limits.rangeMax) throw new CostExceeded();
      return Array.from({ length: Math.max(0, Number(count)) }, (_, index) => BigInt(index));
    })
    .add("list<T>->reverse(): list<T>", (list: List) => list.toReversed(), "list_reverse")
    .add("list<T>->distinct(): list<T>", (list: List) =>
      list.filter((item, index) => list.findIndex((one) => celEqual(one, item)) === index),
    );
  registerSets(functions);
}

function registerSets(functions: Functions): void {
  const contains = (list: List, all: List): boolean =>
    all.every((item) => list.some((one) => celEqual(one, item)));
  functions
    .add("sets.contains(list<T>, list<T>): bool", contains)
    .add(
      "sets.equivalent(list<T>, list<T>): bool",
      (a: List, b: List) => contains(a, b) && contains(b, a),
    )
    .add("sets.intersects(list<T>, list<T>): bool", (a: List, b: List) =>
      a.some((item) => b.some((one) => celEqual(one, item))),
    );
}

function isSorted(list: List): boolean {
  return list.every((item, index) => index === 0 || celCompare(list[index - 1], item) <= 0);
}

function extreme(list: List, name: string, sign: number): unknown {
  const [first, ...rest] = list;
  if (first === undefined) throw new CelFault(`${name} called on empty list`);
  return rest.reduce((best, item) => (celCompare(item, best) === sign ? item : best), first);
}

function slice(list: List, start: bigint, end: bigint): List {
  const call = `cannot slice(${start}, ${end})`;
  if (start < 0n || end < 0n) throw new CelFault(`${call}, negative indexes not supported`);
  if (start > end) {
    throw new CelFault(`${call}, start index must be less than or equal to end index`);
  }
  if (end > list.length) throw new CelFault(`${call}, list is length ${list.length}`);
  return list.slice(Number(start), Number(end));
}

function sortedBy(list: List, keys: List): List {
  if (list.length !== keys.length) {
    const sizes = `${list.length} and ${keys.length} elements respectively`;
    const text = "expected a list of the same size as the associated keys list, but got";
    throw new CelFault(`@sortByAssociatedKeys() ${text} ${sizes}`);
  }
  const type = typeName(keys[0]);
  if (keys.some((key) => typeName(key) !== type)) {
    throw new CelFault("list elements must have the same type");
  }
  const order = list.map((_, index) => index);
  order.sort((a, b) => celCompare(keys[a], keys[b]));
  return order.map((index) => list[index]);
}
