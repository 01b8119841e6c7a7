/** Merges a configuration into a value, and takes fields out of one. */

import { setOwn } from "./copy.ts";
import {
  asMember,
  below,
  type FieldSet,
  hasChildren,
  hasMember,
  mapChildren,
} from "./field-set.ts";
import type { MergeList, MergeMap, MergeType } from "./merge-type.ts";
import { fieldElement, fieldName } from "./path-element.ts";
import {
  elementOrNothing,
  isEmptyContainer,
  isObject,
  itemsByElement,
  memberType,
  shapeOf,
} from "./typed-value.ts";

/** `change` over `live`: what both name is taken from `change`. Shares parts with both. */
export function mergeValues(type: MergeType, live: unknown, change: unknown): unknown {
  if (live === undefined) return change;
  if (change === undefined) return live;
  const shape = shapeOf(type, change ?? live);
  if (shape.type === "scalar" || shape.atomic) return change;
  if (isEmptyContainer(live) && isEmptyContainer(change)) return change;
  if (shape.type === "map") return mergeMaps(shape, live, change);
  return mergeLists(shape, live, change);
}

function mergeMaps(type: MergeMap, live: unknown, change: unknown): unknown {
  if (!isObject(live)) return change;
  if (change === null) return live;
  if (!isObject(change)) return change;
  const result: Record<string, unknown> = {};
  for (const name in live) {
    setOwn(result, name, mergeValues(memberType(type, name), live[name], change[name]));
  }
  for (const name in change) if (!Object.hasOwn(result, name)) setOwn(result, name, change[name]);
  return result;
}

/**
 * Items of `change` keep their order; items that only `live` has stay before the item that they
 * stood before.
 */
function mergeLists(type: MergeList, live: unknown, change: unknown): unknown {
  if (!Array.isArray(live)) return change;
  if (change === null) return live;
  if (!Array.isArray(change)) return change;
  const changed = itemsByElement(type, change);
  const known = itemsByElement(type, live);
  const merged: unknown[] = [];
  const done = new Set<string>();
  const shared = [...changed.keys()].filter((element) => known.has(element));
  const take = (element: string) => {
    done.add(element);
    if (element === shared[0]) shared.shift();
    const same = known.get(element) ?? [];
    const before = same.length === 1 ? same[0] : undefined;
    merged.push(mergeValues(type.items, before, changed.get(element)?.[0]));
  };
  const wanted = [...changed.keys()];
  let at = 0;
  for (const item of live) {
    const element = elementOrNothing(type, item);
    if (element === undefined || !changed.has(element)) {
      merged.push(item);
      continue;
    }
    // A shared item out of turn: it comes where `change` has it.
    if (done.has(element) || element !== shared[0]) continue;
    while (wanted[at] !== element) take(wanted[at++] as string);
    take(element);
    at++;
  }
  for (; at < wanted.length; at++) {
    const element = wanted[at] as string;
    if (!done.has(element)) take(element);
  }
  return merged;
}

/** The value without the fields of a set; undefined when nothing is left of it. */
export function removeFields(type: MergeType, value: unknown, fields: FieldSet): unknown {
  const shape = shapeOf(type, value);
  if (shape.type === "scalar") return value;
  if (isEmptyContainer(value) || shape.atomic) return undefined;
  if (shape.type === "list") return removeItems(shape, value, fields);
  if (!isObject(value)) return undefined;
  const result: Record<string, unknown> = {};
  let left = false;
  for (const name in value) {
    const element = fieldElement(name);
    if (hasMember(fields, element)) continue;
    const inner = below(fields, element);
    const kept =
      inner === undefined ? value[name] : removeFields(memberType(shape, name), value[name], inner);
    // What stays without any content is still there: whoever owns it goes on to.
    setOwn(result, name, kept ?? null);
    left = true;
  }
  return left ? result : undefined;
}

function removeItems(type: MergeList, value: unknown, fields: FieldSet): unknown {
  if (!Array.isArray(value)) return undefined;
  const result: unknown[] = [];
  for (const item of value) {
    const element = elementOrNothing(type, item);
    if (element === undefined) {
      result.push(item);
      continue;
    }
    if (hasMember(fields, element)) continue;
    const inner = below(fields, element);
    result.push(inner === undefined ? item : removeFields(type.items, item, inner));
  }
  return result.length === 0 ? undefined : result;
}

/** The set in which a named field counts as a member when something below it does. */
export function withNamedFields(type: MergeType, set: FieldSet): FieldSet {
  if (type.type === "scalar") return set;
  return mapChildren(set, (element, node) => {
    if (!hasChildren(node)) return node;
    const inner = innerType(type, element);
    const filled = inner === undefined ? node : withNamedFields(inner, node);
    const name = fieldName(element);
    const isNamed = name !== undefined && type.type === "map" && type.declares(name);
    return isNamed ? asMember(filled) : filled;
  });
}

function innerType(type: MergeType, element: string): MergeType | undefined {
  switch (type.type) {
    case "list":
      return type.items;
    case "map":
      return type.member(element.slice("f:".length));
    case "deduced":
      return type;
    case "scalar":
      return undefined;
  }
}
