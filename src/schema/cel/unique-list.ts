/** Lists whose elements are a set, or have keys: equality and `+` go by that. */

type List = readonly unknown[];

/** The members that make an element's key; none where the whole element is its key. */
const identities = new WeakMap<List, readonly string[]>();

/** Marks a list as a set (no keys) or as a map by the members `keys`. */
export function uniqueList(items: unknown[], keys: readonly string[]): unknown[] {
  identities.set(items, keys);
  return items;
}

/** Undefined for a list where order counts. */
export function uniqueKeys(list: List): readonly string[] | undefined {
  return identities.get(list);
}

/** What identifies an element. */
export function keyOf(item: unknown, keys: readonly string[]): unknown {
  if (keys.length === 0) return item;
  const object = item as Readonly<Record<string, unknown>>;
  return keys.map((key) => object[key] ?? null);
}
