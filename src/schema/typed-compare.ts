/** What differs between two values of one type, as sets of fields. */
import {
  type FieldSet,
  FieldSetBuilder,
  isEmptySet,
  nothing,
  recursiveDifference,
  union,
} from "./field-set.ts";
import type { MergeList, MergeMap, MergeType } from "./merge-type.ts";
import { fieldElement } from "./path-element.ts";
import { sameJson } from "./same-json.ts";
import { allFields } from "./typed-fields.ts";
import { isEmptyContainer, isObject, itemsByElement, memberType, shapeOf } from "./typed-value.ts";

export interface Comparison {
  readonly added: FieldSet;
  readonly modified: FieldSet;
  readonly removed: FieldSet;
}

/** The differences that `next` has from `old`. */
export function compareValues(type: MergeType, old: unknown, next: unknown): Comparison {
  const walk = new CompareWalk();
  walk.values(type, old, next);
  return { added: walk.added.set, modified: walk.modified.set, removed: walk.removed.set };
}

/** The differences without those at or below the fields of `ignored`. */
export function ignoring(comparison: Comparison, ignored: FieldSet): Comparison {
  if (isEmptySet(ignored)) return comparison;
  return {
    added: recursiveDifference(comparison.added, ignored),
    modified: recursiveDifference(comparison.modified, ignored),
    removed: recursiveDifference(comparison.removed, ignored),
  };
}

/** Fields that are there now and are not what they were. */
export function changedFields({ added, modified }: Comparison): FieldSet {
  return union(added, modified);
}

export function isSame({ added, modified, removed }: Comparison): boolean {
  return isEmptySet(added) && isEmptySet(modified) && isEmptySet(removed);
}

class CompareWalk {
  readonly added = new FieldSetBuilder();
  readonly modified = new FieldSetBuilder();
  readonly removed = new FieldSetBuilder();
  readonly #path: string[] = [];

  values(type: MergeType, old: unknown, next: unknown): void {
    if (old === next) return;
    if (old === undefined) {
      this.added.insert(this.#path, allFields(type, next));
      return;
    }
    if (next === undefined) {
      this.removed.insert(this.#path, allFields(type, old));
      return;
    }
    const shape = shapeOf(type, next ?? old);
    const isLeaf =
      shape.type === "scalar" ||
      shape.atomic ||
      (isEmptyContainer(old) && isEmptyContainer(next)) ||
      !hasShape(shape, old) ||
      !hasShape(shape, next);
    if (isLeaf) {
      if (!sameJson(old, next)) this.modified.insert(this.#path, nothing);
    } else if (shape.type === "map") this.#maps(shape, old, next);
    else this.#lists(shape, old, next);
  }

  #maps(type: MergeMap, old: unknown, next: unknown): void {
    const before = isObject(old) ? old : {};
    const after = isObject(next) ? next : {};
    for (const name in before) {
      if (before[name] !== undefined) this.#member(type, name, before[name], after[name]);
    }
    for (const name in after) {
      if (before[name] === undefined && after[name] !== undefined) {
        this.#member(type, name, undefined, after[name]);
      }
    }
  }

  #member(type: MergeMap, name: string, old: unknown, next: unknown): void {
    if (old === next) return;
    this.#path.push(fieldElement(name));
    this.values(memberType(type, name), old, next);
    this.#path.pop();
  }

  #lists(type: MergeList, old: unknown, next: unknown): void {
    const before = itemsByElement(type, old);
    const after = itemsByElement(type, next);
    for (const [element, items] of before) this.#items(type, element, items, after.get(element));
    for (const [element, items] of after) {
      if (!before.has(element)) this.#items(type, element, undefined, items);
    }
  }

  /** Items that stand twice are compared as one unit. */
  #items(
    type: MergeList,
    element: string,
    old: readonly unknown[] = [],
    next: readonly unknown[] = [],
  ): void {
    this.#path.push(element);
    const path = this.#path;
    if (old.length <= 1 && next.length <= 1) this.values(type.items, old[0], next[0]);
    else if (old.length > 1 && next.length > 1) {
      if (!sameJson(old, next)) this.modified.insert(path, nothing);
    } else if (old.length > 1) {
      this.removed.insert(path, nothing);
      if (next.length === 1) this.added.insert(path, allFields(type.items, next[0]));
    } else {
      this.added.insert(path, nothing);
      if (old.length === 1) this.removed.insert(path, allFields(type.items, old[0]));
    }
    this.#path.pop();
  }
}

/** Null may stand where a map or a list is expected. */
function hasShape(shape: MergeList | MergeMap, value: unknown): boolean {
  if (value === null) return true;
  return shape.type === "list" ? Array.isArray(value) : isObject(value);
}
