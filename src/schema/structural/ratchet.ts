/** Finds what an element of a list was before, so that unchanged parts stay allowed. */
import { isJson, memberSchema, type Structural } from "./schema.ts";

/** A stored value; undefined when nothing stored answers to the new value. */
export type Old = { readonly value: unknown } | undefined;

/** The stored element with the same keys, in lists that have keys; undefined in all others. */
export function correlated(old: Old, schema: Structural, item: unknown): Old {
  const keys = schema["x-kubernetes-list-map-keys"];
  if (old === undefined || !Array.isArray(old.value) || !isJson(item)) return undefined;
  if (schema["x-kubernetes-list-type"] !== "map" || keys === undefined) return undefined;
  const found = old.value.find(
    (before) => isJson(before) && keys.every((key) => before[key] === item[key]),
  );
  return found === undefined ? undefined : { value: found };
}

/** What is wrong with lists that are sets or maps: elements that occur twice. */
export interface Twice {
  readonly type: "FieldValueDuplicate";
  readonly field: string;
  readonly value: unknown;
  readonly detail: string;
}

/** Elements of x-kubernetes-list-type set and map that repeat an earlier one. */
export function repeatedElements(
  value: unknown,
  schema: Structural | undefined,
  path = "",
): readonly Twice[] {
  if (schema === undefined) return [];
  if (isJson(value)) {
    return Object.entries(value).flatMap(([name, member]) =>
      repeatedElements(member, memberSchema(schema, name), path === "" ? name : `${path}.${name}`),
    );
  }
  if (!Array.isArray(value)) return [];
  const inner = value.flatMap((item, index) =>
    repeatedElements(item, schema.items, `${path}[${index}]`),
  );
  return [...repeatedHere(value, schema, path), ...inner];
}

function repeatedHere(list: readonly unknown[], schema: Structural, path: string): Twice[] {
  const type = schema["x-kubernetes-list-type"];
  if (type !== "set" && type !== "map") return [];
  const keys = schema["x-kubernetes-list-map-keys"] ?? [];
  const seen = new Set<string>();
  const found: Twice[] = [];
  for (const [index, item] of list.entries()) {
    const value = type === "set" ? item : keyValues(item, keys, schema);
    const mark = JSON.stringify(value);
    const field = `${path}[${index}]`;
    if (seen.has(mark)) found.push({ type: "FieldValueDuplicate", field, value, detail: "" });
    seen.add(mark);
  }
  return found;
}

function keyValues(
  item: unknown,
  keys: readonly string[],
  schema: Structural,
): Record<string, unknown> {
  const object = isJson(item) ? item : {};
  const values = keys.toSorted().map((key) => {
    return [key, object[key] ?? schema.items?.properties?.[key]?.default ?? null] as const;
  });
  return Object.fromEntries(values.filter(([, value]) => value !== null));
}
