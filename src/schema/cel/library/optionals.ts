/** Optional values: `a.?b.orValue(1)`. */
import type { Functions } from "../check/functions.ts";
import { CelFault } from "../fault.ts";
import { isZero } from "../run/map.ts";
import { CelOptional } from "../scalars.ts";

type List = readonly unknown[];

/** Never called: the interpreter does these itself. */
function built(): never {
  throw new Error("this is a part of the language");
}

export function registerOptionals(functions: Functions): void {
  functions
    .add("optional.of(V): optional<V>", CelOptional.of)
    .add("optional.ofNonZeroValue(V): optional<V>", (value: unknown) =>
      isZero(value) ? CelOptional.none : CelOptional.of(value),
    )
    .add("optional.none(): optional<V>", () => CelOptional.none)
    .add("optional<V>->value(): V", (optional: CelOptional) => optional.value)
    .add("optional<V>->hasValue(): bool", (optional: CelOptional) => optional.hasValue)
    .add("optional<V>->or(optional<V>): optional<V>", built)
    .add("optional<V>->orValue(V): V", built)
    .add("_?._(dyn, string): optional<V>", built)
    .add("_[?_](list<V>, int): optional<V>", built)
    .add("_[?_](optional<list<V>>, int): optional<V>", built)
    .add("_[?_](map<K, V>, K): optional<V>", built)
    .add("_[?_](optional<map<K, V>>, K): optional<V>", built)
    .add("list<V>->first(): optional<V>", (list: List) =>
      list.length === 0 ? CelOptional.none : CelOptional.of(list[0]),
    )
    .add("list<V>->last(): optional<V>", (list: List) =>
      list.length === 0 ? CelOptional.none : CelOptional.of(list.at(-1)),
    )
    .add("optional.unwrap(list<optional<V>>): list<V>", unwrapped)
    .add("list<optional<V>>->unwrapOpt(): list<V>", unwrapped);
}

function unwrapped(list: List): List {
  return list.flatMap((item) => {
    if (!(item instanceof CelOptional)) throw new CelFault(`value ${String(item)} is not optional`);
    return item.hasValue ? [item.value] : [];
  });
}
