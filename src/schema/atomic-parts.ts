/** Lists and objects of a value that are one unit: a policy must not change parts of them. */
import type { MergeType } from "./merge-type.ts";
import { isObject } from "./typed-value.ts";

/** The paths of all units in `value`: `.spec.selector`. */
export function atomicParts(type: MergeType, value: unknown, path = ""): readonly string[] {
  if (type.type === "map" && isObject(value)) {
    const inner = Object.entries(value).flatMap(([name, member]) => {
      // Entries of a map are not looked into, only fields.
      const of = type.declares(name) ? type.member(name) : undefined;
      return of === undefined ? [] : atomicParts(of, member, `${path}.${name}`);
    });
    return type.atomic ? [path, ...inner] : inner;
  }
  if (type.type === "list" && Array.isArray(value)) {
    const inner = value.flatMap((item, index) => {
      return atomicParts(type.items, item, `${path}[${index}]`);
    });
    return type.atomic ? [path, ...inner] : inner;
  }
  return [];
}
