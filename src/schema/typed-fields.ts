/** From values to the sets of their fields. */
import { asMember, type FieldSet, hasChildren, mapChildren, nothing } from "./field-set.ts";
import type { MergeType } from "./merge-type.ts";
import { fieldElement, fieldName } from "./path-element.ts";
import { isEmptyContainer, isObject, itemsByElement, memberType, shapeOf } from "./typed-value.ts";

type Building = Record<string, FieldSet>;

/** The fields that a configuration names: what whoever applies it owns. */
export function fieldsOfValue(type: MergeType, value: unknown): FieldSet {
  return namedFields(type, value) ?? nothing;
}

/** Undefined when nothing in the value is named, as in an empty list that merges. */
function namedFields(type: MergeType, value: unknown): FieldSet | undefined {
  const shape = shapeOf(type, value);
  if (shape.type === "scalar" || shape.atomic) return nothing;
  const found: Building = {};
  if (shape.type === "list") {
    for (const [element, items] of itemsByElement(shape, value)) {
      const fields = items.length === 1 ? namedFields(shape.items, items[0]) : nothing;
      found[element] = asMember(fields ?? nothing);
    }
  } else if (isObject(value)) {
    for (const name in value) {
      const member = value[name];
      if (member === undefined) continue;
      const fields = namedFields(memberType(shape, name), member);
      const isEmpty = member === null || (isObject(member) && isEmptyContainer(member));
      if (isEmpty || !shape.declares(name)) found[fieldElement(name)] = asMember(fields ?? nothing);
      else if (fields !== undefined) found[fieldElement(name)] = fields;
    }
  }
  return isEmptyContainer(found) ? undefined : found;
}

/** Everything in a value that came or went as a whole: its containers are members too. */
export function allFields(type: MergeType, value: unknown): FieldSet {
  const shape = shapeOf(type, value);
  if (shape.type === "scalar" || shape.atomic || isEmptyContainer(value)) return nothing;
  const found: Building = { ".": nothing };
  if (shape.type === "list") {
    for (const [element, items] of itemsByElement(shape, value)) {
      found[element] = items.length === 1 ? allFields(shape.items, items[0]) : nothing;
    }
  } else if (isObject(value)) {
    for (const name in value) {
      const member = value[name];
      if (member === undefined) continue;
      found[fieldElement(name)] = allFields(memberType(shape, name), member);
    }
  }
  return found;
}

/**
 * Owners of parts of what has since become one unit own the unit; upstream's name for it is
 * reconciling a field set with the schema.
 */
export function reconciled(type: MergeType, set: FieldSet): FieldSet {
  if (type.type === "scalar" || type.type === "deduced") return set;
  return mapChildren(set, (element, node) => {
    const name = fieldName(element);
    const inner = type.type === "list" ? type.items : name && type.member(name);
    if (!inner || inner.type === "scalar" || inner.type === "deduced") return node;
    if (!inner.atomic) return reconciled(inner, node);
    return hasChildren(node) ? nothing : node;
  });
}
