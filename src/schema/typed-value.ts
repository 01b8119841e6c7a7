/** Values seen through a MergeType: which shape they have, and what their list items are called. */
import { deduced, type MergeList, type MergeMap, type MergeType, mapOf } from "./merge-type.ts";
import { keyElement, valueElement } from "./path-element.ts";

export type Json = Readonly<Record<string, unknown>>;

const deducedMap = mapOf(deduced, false);
const deducedUnit = mapOf(deduced, true);
const deducedList: MergeList = {
  type: "list",
  atomic: true,
  keys: [],
  keyDefaults: {},
  items: deduced,
};
const scalar: MergeType = { type: "scalar", scalar: "untyped" };

/** The type that holds for a value: what a deduced type is depends on the value. */
export function shapeOf(type: MergeType, value: unknown): Exclude<MergeType, { type: "deduced" }> {
  if (type.type !== "deduced") return type;
  if (Array.isArray(value)) return deducedList;
  if (typeof value !== "object" || value === null) return scalar as typeof deducedMap;
  return type.atomic === true ? deducedUnit : deducedMap;
}

export function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Nothing in it: null, `{}` or `[]`. */
export function isEmptyContainer(value: unknown): boolean {
  if (value === null || value === undefined) return true;
  if (Array.isArray(value)) return value.length === 0;
  if (typeof value !== "object") return false;
  for (const name in value) if ((value as Json)[name] !== undefined) return false;
  return true;
}

export function memberType(type: MergeMap, name: string): MergeType {
  return type.member(name) ?? deduced;
}

/** Why an item of a list that merges has no name. */
export class BadItem extends Error {}

/** The path element of an item; throws BadItem. */
export function itemElement(type: MergeList, item: unknown): string {
  if (type.keys.length === 0) return setElement(item);
  if (item === null || item === undefined) {
    throw new BadItem("associative list with keys may not have a null element");
  }
  if (!isObject(item))
    throw new BadItem("associative list with keys may not have non-map elements");
  const names: string[] = [];
  const values: unknown[] = [];
  for (const key of type.keys) {
    const value = item[key] ?? type.keyDefaults[key];
    if (value === undefined) {
      throw new BadItem(
        `associative list with keys has an element that omits key field "${key}" ` +
          "(and doesn't have default value)",
      );
    }
    names.push(key);
    values.push(value);
  }
  return keyElement(names, values);
}

function setElement(item: unknown): string {
  if (item === null || item === undefined) {
    throw new BadItem("associative list without keys has an element that's an explicit null");
  }
  if (Array.isArray(item)) {
    throw new BadItem("not supported: associative list with lists as elements");
  }
  if (typeof item === "object") {
    throw new BadItem("associative list without keys has an element that's a map type");
  }
  return valueElement(item);
}

/** Items by element, in the list's order; items without a name are left out. */
export function itemsByElement(type: MergeList, list: unknown): ReadonlyMap<string, unknown[]> {
  const found = new Map<string, unknown[]>();
  if (!Array.isArray(list)) return found;
  for (const item of list) {
    const element = elementOrNothing(type, item);
    if (element === undefined) continue;
    const same = found.get(element);
    if (same === undefined) found.set(element, [item]);
    else same.push(item);
  }
  return found;
}

/** As `itemElement`, for stored lists: undefined where an item has no name. */
export function elementOrNothing(type: MergeList, item: unknown): string | undefined {
  try {
    return itemElement(type, item);
  } catch (error) {
    if (error instanceof BadItem) return undefined;
    throw error;
  }
}
