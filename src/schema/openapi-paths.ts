/** The paths of a resource and what may be done there, for OpenAPI documents. */
import type { Json, OpenApiVersion } from "./openapi-schemas.ts";
import type { TypeName } from "./type-table.ts";

export interface OpenApiSubresource {
  readonly name: string;
  /** Kubernetes verbs: get, update, patch, create. */
  readonly verbs: readonly string[];
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

/** One served resource of one version. */
export interface OpenApiResource {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly namespaced: boolean;
  readonly verbs: readonly string[];
  /** Undefined for custom resources. */
  readonly typeName: TypeName | undefined;
  /** `spec.versions[].schema.openAPIV3Schema` of a custom resource. */
  readonly schema?: Json;
  readonly subresources: readonly OpenApiSubresource[];
}

interface Kind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

interface Operation {
  readonly method: "get" | "post" | "put" | "patch" | "delete";
  readonly action: string;
  readonly id: string;
  readonly description: string;
}

const operations: Readonly<Record<string, Operation>> = {
  get: { method: "get", action: "get", id: "read", description: "read the specified" },
  list: { method: "get", action: "list", id: "list", description: "list or watch objects of kind" },
  create: { method: "post", action: "post", id: "create", description: "create" },
  update: { method: "put", action: "put", id: "replace", description: "replace the specified" },
  patch: {
    method: "patch",
    action: "patch",
    id: "patch",
    description: "partially update the specified",
  },
  delete: { method: "delete", action: "delete", id: "delete", description: "delete" },
  deletecollection: {
    method: "delete",
    action: "deletecollection",
    id: "deleteCollection",
    description: "delete collection of",
  },
};

const patchTypes = [
  "application/apply-patch+yaml",
  "application/json-patch+json",
  "application/merge-patch+json",
] as const;
/** Only for types that were compiled in; kubectl picks the kind of patch by this list. */
const strategicType = "application/strategic-merge-patch+json";

const listParameters: Readonly<Record<string, string>> = {
  allowWatchBookmarks: "boolean",
  continue: "string",
  fieldSelector: "string",
  labelSelector: "string",
  limit: "integer",
  resourceVersion: "string",
  resourceVersionMatch: "string",
  sendInitialEvents: "boolean",
  timeoutSeconds: "integer",
  watch: "boolean",
};

const writeParameters: Readonly<Record<string, string>> = {
  dryRun: "string",
  fieldManager: "string",
  fieldValidation: "string",
};

const parametersOf: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  get: {},
  list: listParameters,
  create: writeParameters,
  update: writeParameters,
  patch: { ...writeParameters, force: "boolean" },
  delete: {
    dryRun: "string",
    gracePeriodSeconds: "integer",
    orphanDependents: "boolean",
    propagationPolicy: "string",
  },
  deletecollection: { ...listParameters, dryRun: "string", propagationPolicy: "string" },
};

/** What the paths refer to. */
export interface PathRefs {
  readonly object: Json;
  readonly list: Json;
  readonly deleteOptions: Json;
  readonly status: Json;
  readonly patch: Json;
  readonly isCustom: boolean;
}

function parameter(name: string, type: string, place: "path" | "query", version: OpenApiVersion) {
  const required = place === "path" ? { required: true } : {};
  const schema = { type, uniqueItems: true };
  return { name, in: place, ...(version === "v2" ? schema : { schema }), ...required };
}

function bodyOf(verb: string, refs: PathRefs): Json | undefined {
  switch (verb) {
    case "create":
    case "update":
      return refs.object;
    case "patch":
      return refs.patch;
    case "delete":
    case "deletecollection":
      return refs.deleteOptions;
    default:
      return undefined;
  }
}

function answerOf(verb: string, refs: PathRefs): Json {
  if (verb === "list") return refs.list;
  return verb === "delete" || verb === "deletecollection" ? refs.status : refs.object;
}

/** Writes the operations of one document version. */
export class PathWriter {
  readonly paths: Json = {};
  readonly #version: OpenApiVersion;

  constructor(version: OpenApiVersion) {
    this.#version = version;
  }

  add(path: string, verbs: readonly string[], kind: Kind, refs: PathRefs, id: string): void {
    const names = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1] as string);
    const common = names.map((name) => parameter(name, "string", "path", this.#version));
    const item: Json = {};
    for (const verb of verbs) {
      const operation = operations[verb];
      if (operation === undefined) continue;
      item[operation.method] = this.#operation(verb, operation, kind, refs, id);
    }
    if (Object.keys(item).length === 0) return;
    this.paths[path] = { ...item, ...(common.length > 0 && { parameters: common }) };
  }

  #operation(verb: string, operation: Operation, kind: Kind, refs: PathRefs, id: string): Json {
    const { group, version } = kind;
    const parameters: Json[] = Object.entries(parametersOf[verb] ?? {}).map(([name, type]) =>
      parameter(name, type, "query", this.#version),
    );
    const body = bodyOf(verb, refs);
    const answer = answerOf(verb, refs);
    const v2 = this.#version === "v2";
    if (v2 && body !== undefined) parameters.push({ name: "body", in: "body", schema: body });
    const patches = refs.isCustom ? patchTypes : [...patchTypes, strategicType];
    const types = verb === "patch" ? patches : ["*/*"];
    const content = Object.fromEntries(types.map((type) => [type, { schema: body }]));
    const response = v2
      ? { schema: answer }
      : { content: { "application/json": { schema: answer } } };
    const tag = `${group === "" ? "core" : group.split(".")[0]}_${version}`;
    return {
      tags: [tag],
      description: `${operation.description} ${kind.kind}`,
      operationId: `${operation.id}${id}`,
      ...(v2 ? { consumes: types, produces: ["application/json"] } : {}),
      ...(parameters.length > 0 && { parameters }),
      ...(v2 || body === undefined ? {} : { requestBody: { content } }),
      responses: { 200: { description: "OK", ...response }, 401: { description: "Unauthorized" } },
      "x-kubernetes-action": operation.action,
      "x-kubernetes-group-version-kind": { group, version, kind: kind.kind },
    };
  }
}

const collectionVerbs = new Set(["list", "create", "deletecollection"]);
const objectVerbs = new Set(["get", "update", "patch", "delete"]);

function operationName(resource: OpenApiResource, tail = ""): string {
  const group = resource.group === "" ? "core" : (resource.group.split(".")[0] ?? "");
  const pascal = (text: string) => text.replace(/(?:^|-)(\w)/g, (_, c: string) => c.toUpperCase());
  const scope = resource.namespaced ? "Namespaced" : "";
  return `${pascal(group)}${pascal(resource.version)}${scope}${resource.kind}${pascal(tail)}`;
}

/** Adds every path of `resource`. */
export function addResourcePaths(
  writer: PathWriter,
  resource: OpenApiResource,
  refs: PathRefs,
  subresourceRefs: (subresource: OpenApiSubresource) => PathRefs,
): void {
  const { group, version, plural, namespaced, verbs } = resource;
  const root = group === "" ? `/api/${version}` : `/apis/${group}/${version}`;
  const base = namespaced ? `${root}/namespaces/{namespace}/${plural}` : `${root}/${plural}`;
  const id = operationName(resource);
  const collection = verbs.filter((verb) => collectionVerbs.has(verb));
  // One DELETE stands at a path: the collection's here, the object's below.
  writer.add(base, collection, resource, refs, id);
  if (namespaced && verbs.includes("list")) {
    writer.add(`${root}/${plural}`, ["list"], resource, refs, `${id}ForAllNamespaces`);
  }
  const single = verbs.filter((verb) => objectVerbs.has(verb));
  writer.add(`${base}/{name}`, single, resource, refs, id);
  for (const subresource of resource.subresources) {
    writer.add(
      `${base}/{name}/${subresource.name}`,
      subresource.verbs,
      subresource,
      subresourceRefs(subresource),
      operationName(resource, subresource.name),
    );
  }
}
