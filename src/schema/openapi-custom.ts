/** Schemas of custom resources as they are published. */
import { copyJson } from "./copy.ts";
import type { OpenApiResource } from "./openapi-operations.ts";
import type { Definitions, Json, OpenApiVersion } from "./openapi-schemas.ts";

const objectMeta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const listMeta = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";

const typeMeta: Readonly<Json> = {
  apiVersion: {
    description: "APIVersion defines the versioned schema of this representation of an object.",
    type: "string",
  },
  kind: {
    description: "Kind is a string value representing the REST resource this object represents.",
    type: "string",
  },
};

/** `com.example.v1.Foo` for kind Foo of example.com/v1. */
export function customDefinitionName(resource: {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}): string {
  const reversed = resource.group.split(".").toReversed().join(".");
  return `${reversed}.${resource.version}.${resource.kind}`;
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Visits a schema and all schemas below it. */
function visit(schema: unknown, change: (schema: Json) => void): void {
  if (!isObject(schema)) return;
  change(schema);
  for (const name of ["items", "additionalProperties", "not"]) visit(schema[name], change);
  for (const name of ["allOf", "anyOf", "oneOf"]) {
    if (Array.isArray(schema[name])) for (const part of schema[name]) visit(part, change);
  }
  if (isObject(schema.properties)) {
    for (const part of Object.values(schema.properties)) visit(part, change);
  }
}

/** Leaves out what readers of version 2 do not know or stumble over. */
function forVersion2(schema: Json): void {
  for (const name of ["allOf", "anyOf", "oneOf", "not"]) delete schema[name];
  if (schema.nullable === true) {
    for (const name of ["type", "nullable", "items", "properties"]) delete schema[name];
  }
  if (schema["x-kubernetes-preserve-unknown-fields"] === true) {
    delete schema.items;
    delete schema.properties;
  }
  if (schema["x-kubernetes-int-or-string"] === true) {
    schema.type = "string";
    schema.format = "int-or-string";
  }
}

function embed(schema: Json, definitions: Definitions, version: OpenApiVersion): void {
  const properties = isObject(schema.properties) ? schema.properties : {};
  const reference = definitions.reference(objectMeta);
  const description = "Standard object's metadata.";
  const metadata =
    version === "v2" ? { ...reference, description } : { allOf: [reference], description };
  schema.properties = { ...typeMeta, ...properties, metadata };
}

/** Defines a custom resource and its list. */
export function defineCustomResource(
  resource: OpenApiResource,
  definitions: Definitions,
  version: OpenApiVersion,
): void {
  const { group, kind } = resource;
  const name = customDefinitionName(resource);
  const given: Json = copyJson(resource.schema ?? {});
  const preserves = given["x-kubernetes-preserve-unknown-fields"] === true;
  let schema: Json;
  if (resource.schema === undefined || (version === "v2" && preserves)) schema = { type: "object" };
  else {
    visit(given, (inner) => {
      if (inner["x-kubernetes-embedded-resource"] === true && inner !== given) {
        embed(inner, definitions, version);
      }
      if (version === "v2") forVersion2(inner);
    });
    embed(given, definitions, version);
    schema = given;
  }
  const kindEntry = { group, kind, version: resource.version };
  schema["x-kubernetes-group-version-kind"] = [kindEntry];
  definitions.add(name, schema);
  definitions.add(`${name}List`, {
    description: `${kind}List is a list of ${kind}`,
    type: "object",
    required: ["items"],
    properties: {
      ...typeMeta,
      items: { type: "array", items: definitions.referenceTo(name) },
      metadata: definitions.reference(listMeta),
    },
    "x-kubernetes-group-version-kind": [{ ...kindEntry, kind: `${kind}List` }],
  });
}
