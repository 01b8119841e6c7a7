/** Lookups in the type table. */
import { typeTable } from "../gen/table.ts";
import type { FieldType, MessageType, TypeName } from "./type-table.ts";

const metaPrefix = "io.k8s.apimachinery.pkg.apis.meta.v1";

/** Packages by group and version. The group is the first part of a group's DNS name. */
const prefixes: Readonly<Record<string, string>> = {
  "apiextensions.k8s.io/v1": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1",
  "apiregistration.k8s.io/v1": "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1",
  "metrics.k8s.io/v1beta1": "io.k8s.metrics.pkg.apis.metrics.v1beta1",
  "meta.k8s.io/v1": metaPrefix,
  "meta.k8s.io/v1beta1": metaPrefix,
};

/** Kinds of meta/v1 that may stand in a body of any group version. */
const metaKinds = new Set([
  "PartialObjectMetadata",
  "PartialObjectMetadataList",
  "CreateOptions",
  "DeleteOptions",
  "GetOptions",
  "ListOptions",
  "PatchOptions",
  "UpdateOptions",
  "Status",
  "Table",
  "WatchEvent",
  "APIGroup",
  "APIGroupList",
  "APIResourceList",
  "APIVersions",
]);

/** The type of a built-in kind, or undefined when there is none. */
export function typeOf(group: string, version: string, kind: string): TypeName | undefined {
  const own = prefixes[`${group}/${version}`];
  const prefix = own ?? `io.k8s.api.${group === "" ? "core" : group.split(".")[0]}.${version}`;
  const name = `${prefix}.${kind}`;
  if (typeTable.has(name)) return name;
  return metaKinds.has(kind) ? `${metaPrefix}.${kind}` : undefined;
}

/** False for custom resources, whose types come and go. */
export function isBuiltIn(type: TypeName): boolean {
  return typeTable.has(type);
}

/** The type of that name; throws when there is none. */
export function messageOf(type: TypeName): MessageType {
  const message = typeTable.get(type);
  if (message === undefined) throw new Error(`No type is called ${type}`);
  return message;
}

/** The last part of a type name: `Pod`. */
export function shortName(type: TypeName): string {
  return type.slice(type.lastIndexOf(".") + 1);
}

const flattened = new Map<TypeName, ReadonlyMap<string, FieldType>>();

const conventions =
  "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md";

const typeMetaFields: readonly FieldType[] = ["kind", "apiVersion"].map((name) => ({
  name,
  number: 0,
  of: { scalar: "string" },
  shape: "single",
  required: false,
  omitEmpty: true,
  doc:
    name === "kind"
      ? "Kind is a string value representing the REST resource this object represents. Servers " +
        "may infer this from the endpoint the client submits requests to. Cannot be updated. In " +
        `CamelCase. More info: ${conventions}#types-kinds`
      : "APIVersion defines the versioned schema of this representation of an object. Servers " +
        "should convert recognized schemas to the latest internal value, and may reject " +
        `unrecognized values. More info: ${conventions}#resources`,
}));

/** Fields by JSON name as they stand in JSON: inlined structs are flattened, TypeMeta is there. */
export function fieldsOf(type: TypeName): ReadonlyMap<string, FieldType> {
  const known = flattened.get(type);
  if (known !== undefined) return known;
  const message = messageOf(type);
  const fields = new Map<string, FieldType>();
  if (message.kind !== undefined) for (const field of typeMetaFields) fields.set(field.name, field);
  for (const field of message.fields) {
    if (field.inline !== true || !("message" in field.of)) {
      fields.set(field.name, field);
      continue;
    }
    const struct = shortName(field.of.message);
    for (const [name, inner] of fieldsOf(field.of.message)) {
      const embedding = inner.embedding === undefined ? struct : `${struct}.${inner.embedding}`;
      fields.set(name, { ...inner, embedding });
    }
  }
  flattened.set(type, fields);
  return fields;
}

/** What Kubernetes says of a field; empty when it says nothing. */
export function fieldDoc(type: TypeName, field: string): string {
  return messageOf(type).fields.find(({ name }) => name === field)?.doc ?? "";
}

/** True when Go calls a struct of some package so: `v1.Container`. */
export function isGoStruct(name: string): boolean {
  return typeTable.keys().some((type) => type.endsWith(`.${name}`));
}
