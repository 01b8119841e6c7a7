/**
 * How values of a type merge: which lists and maps are one unit, which are merged by key. Made
 * from the type table for built-in kinds and from the schema for custom resources.
 */
import { zeroScalar } from "./scalars.ts";
import type { FieldType, MessageType, Scalar, TypeName } from "./type-table.ts";
import { fieldsOf, messageOf } from "./types.ts";

export type MergeType =
  | { readonly type: "scalar"; readonly scalar: "string" | "numeric" | "boolean" | "untyped" }
  | MergeList
  | MergeMap
  /** Whatever the value says it is: maps are merged unless atomic, lists are one unit. */
  | { readonly type: "deduced"; readonly atomic?: boolean };

export interface MergeList {
  readonly type: "list";
  readonly atomic: boolean;
  /** Sorted names of the members that tell items apart; none for a set of scalars. */
  readonly keys: readonly string[];
  /** What an item has where it lacks a key. */
  readonly keyDefaults: Readonly<Record<string, unknown>>;
  readonly items: MergeType;
}

export interface MergeMap {
  readonly type: "map";
  readonly atomic: boolean;
  /** The type of a member; undefined when the schema declares none of that name. */
  member(name: string): MergeType | undefined;
  /** True for a named field, false for an entry of a map. */
  declares(name: string): boolean;
}

export const deduced: MergeType = { type: "deduced" };
const untyped: MergeType = { type: "scalar", scalar: "untyped" };
const text: MergeType = { type: "scalar", scalar: "string" };
const numeric: MergeType = { type: "scalar", scalar: "numeric" };

const scalarTypes: Readonly<Record<Scalar, MergeType>> = {
  string: text,
  bytes: text,
  Time: text,
  MicroTime: text,
  Duration: text,
  bool: { type: "scalar", scalar: "boolean" },
  int32: numeric,
  int64: numeric,
  double: numeric,
  // Both may be written as a number or as a text.
  Quantity: untyped,
  IntOrString: untyped,
  raw: { type: "deduced", atomic: true },
};

const made = new Map<TypeName, MergeType>();
const madeAtomic = new Map<TypeName, MergeType>();

/** How objects of a built-in type merge. */
export function mergeTypeOf(type: TypeName): MergeType {
  return messageType(type, undefined);
}

function messageType(type: TypeName, mapType: FieldType["mapType"]): MergeType {
  const message = messageOf(type);
  const atomic = (mapType ?? message.mapType) === "atomic";
  const cache = atomic ? madeAtomic : made;
  let merge = cache.get(type);
  if (merge === undefined) {
    merge = isShapeless(message) ? jsonFormType(message) : struct(type, atomic);
    cache.set(type, merge);
  }
  return merge;
}

/** Of a struct without fields upstream's schema says nothing. */
function isShapeless({ json, fields }: MessageType): boolean {
  return json !== undefined || fields.length === 0;
}

function jsonFormType(message: MessageType): MergeType {
  const [only] = message.fields;
  return message.json === "list" && only !== undefined ? fieldType(only) : deduced;
}

function struct(type: TypeName, atomic: boolean): MergeMap {
  const members = new Map<string, MergeType>();
  return {
    type: "map",
    atomic,
    declares: (name) => fieldsOf(type).has(name),
    member(name) {
      const known = members.get(name);
      if (known !== undefined) return known;
      const field = fieldsOf(type).get(name);
      if (field === undefined) return undefined;
      const merge = fieldType(field);
      members.set(name, merge);
      return merge;
    },
  };
}

function fieldType(field: FieldType): MergeType {
  switch (field.shape) {
    case "single":
      return elementType(field, field.mapType);
    case "list":
      return listType(field);
    case "map": {
      const entry = elementType(field, undefined);
      return mapOf(entry, field.mapType === "atomic");
    }
  }
}

/** A map from names to values of one type. */
export function mapOf(entry: MergeType, atomic: boolean): MergeMap {
  return { type: "map", atomic, member: () => entry, declares: () => false };
}

function elementType(field: FieldType, mapType: FieldType["mapType"]): MergeType {
  if ("scalar" in field.of) return scalarTypes[field.of.scalar];
  return messageType(field.of.message, mapType);
}

function listType(field: FieldType): MergeList {
  const items = elementType(field, undefined);
  const { listType: kind, listMapKeys = [], patchMergeKey, patchStrategy = "" } = field;
  // Older types say only how strategic merge patches treat them.
  const merges = kind === undefined && patchStrategy.split(",").includes("merge");
  const keys = (merges && patchMergeKey !== undefined ? [patchMergeKey] : listMapKeys).toSorted();
  return {
    type: "list",
    atomic: kind === undefined ? !merges : kind === "atomic",
    keys,
    keyDefaults: keyDefaults(field, keys),
    items,
  };
}

function keyDefaults(field: FieldType, keys: readonly string[]): Record<string, unknown> {
  if (!("message" in field.of)) return {};
  const fields = fieldsOf(field.of.message);
  const defaults: Record<string, unknown> = {};
  for (const key of keys) {
    const field = fields.get(key);
    const value = field?.default ?? zeroKey(field);
    if (value !== undefined) defaults[key] = value;
  }
  return defaults;
}

/** Upstream's schema gives its zero value to what Go always writes. */
function zeroKey(field: FieldType | undefined): unknown {
  if (field === undefined || field.pointer === true || field.omitEmpty === true) return undefined;
  return "scalar" in field.of ? zeroScalar(field.of.scalar) : undefined;
}

/** Go writes times as null, even where it leaves out what is empty. */
function isUnsetTime({ of, omitZero }: FieldType): boolean {
  return omitZero !== true && "scalar" in of && /Time$/.test(of.scalar);
}

const empties = new Map<TypeName, Readonly<Record<string, unknown>>>();

/** What Go writes for a new object of the type: nobody owns what is there from the start. */
export function emptyObject(type: TypeName): Readonly<Record<string, unknown>> {
  const known = empties.get(type);
  if (known !== undefined) return known;
  const empty: Record<string, unknown> = {};
  for (const field of fieldsOf(type).values()) {
    if (field.pointer === true) continue;
    if (field.shape !== "single") {
      if (field.omitEmpty !== true)
        empty[field.name] = field.required ? (field.shape === "list" ? [] : {}) : null;
    } else if ("message" in field.of) {
      if (messageOf(field.of.message).json === undefined) {
        empty[field.name] = emptyObject(field.of.message);
      }
    } else if (field.omitEmpty !== true || isUnsetTime(field))
      empty[field.name] = zeroScalar(field.of.scalar) ?? null;
  }
  empties.set(type, empty);
  return empty;
}
