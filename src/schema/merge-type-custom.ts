/** How custom resources merge, by the extensions of their schema. */
import {
  deduced,
  type MergeList,
  type MergeMap,
  type MergeType,
  mapOf,
  mergeTypeOf,
} from "./merge-type.ts";
import { isObject, type Json } from "./typed-value.ts";

const objectMeta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const text: MergeType = { type: "scalar", scalar: "string" };
const untyped: MergeType = { type: "scalar", scalar: "untyped" };

const scalars: Readonly<Record<string, MergeType>> = {
  string: text,
  boolean: { type: "scalar", scalar: "boolean" },
  integer: { type: "scalar", scalar: "numeric" },
  number: { type: "scalar", scalar: "numeric" },
};

/** The merge type of a custom resource; without a schema everything is as it says it is. */
export function customMergeType(schema: unknown): MergeType {
  const tells = isObject(schema) && (schema.type !== undefined || isObject(schema.properties));
  return tells ? resourceType(schema) : deduced;
}

/** An object with apiVersion, kind and metadata, whatever its schema says of them. */
function resourceType(schema: Json): MergeMap {
  const inner = objectType(schema);
  const own: Readonly<Record<string, MergeType>> = {
    apiVersion: text,
    kind: text,
    metadata: mergeTypeOf(objectMeta),
  };
  return {
    type: "map",
    atomic: inner.atomic,
    member: (name) => (Object.hasOwn(own, name) ? own[name] : inner.member(name)),
    declares: (name) => Object.hasOwn(own, name) || inner.declares(name),
  };
}

function schemaType(schema: unknown): MergeType {
  if (!isObject(schema)) return deduced;
  if (schema["x-kubernetes-int-or-string"] === true) return untyped;
  if (schema["x-kubernetes-embedded-resource"] === true) return resourceType(schema);
  const { type } = schema;
  if (type === "object") return objectType(schema);
  if (type === "array") return arrayType(schema);
  return (typeof type === "string" ? scalars[type] : undefined) ?? deduced;
}

function objectType(schema: Json): MergeMap {
  const atomic = schema["x-kubernetes-map-type"] === "atomic";
  const properties = isObject(schema.properties) ? schema.properties : undefined;
  const { additionalProperties: additional } = schema;
  if (properties === undefined) {
    return mapOf(isObject(additional) ? schemaType(additional) : deduced, atomic);
  }
  const members = new Map<string, MergeType>();
  const others = schema["x-kubernetes-preserve-unknown-fields"] === true ? deduced : undefined;
  return {
    type: "map",
    atomic,
    declares: (name) => Object.hasOwn(properties, name),
    member(name) {
      if (!Object.hasOwn(properties, name)) return others;
      const known = members.get(name);
      if (known !== undefined) return known;
      const made = schemaType(properties[name]);
      members.set(name, made);
      return made;
    },
  };
}

function arrayType(schema: Json): MergeList {
  const kind = schema["x-kubernetes-list-type"];
  const given = schema["x-kubernetes-list-map-keys"];
  const keys = kind === "map" && Array.isArray(given) ? given.map(String).sort() : [];
  const properties = isObject(schema.items) ? schema.items.properties : undefined;
  const keyDefaults: Record<string, unknown> = {};
  for (const key of keys) {
    const property = isObject(properties) ? properties[key] : undefined;
    if (isObject(property) && property.default !== undefined) keyDefaults[key] = property.default;
  }
  return {
    type: "list",
    atomic: kind !== "map" && kind !== "set",
    keys,
    keyDefaults,
    items: schemaType(schema.items),
  };
}
