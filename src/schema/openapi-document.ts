/** One OpenAPI document: its paths, and the types that they refer to. */
import { typeTable } from "../gen/table.ts";
import { customDefinitionName, defineCustomResource } from "./openapi-custom.ts";
import {
  groupPath,
  groupsPath,
  openIdPaths,
  serverVersionPath,
  versionInfo,
  versionInfoSchema,
  versionPath,
} from "./openapi-discovery.ts";
import {
  type OpenApiResource,
  OperationBuilder,
  type PathOperations,
  type Refs,
} from "./openapi-operations.ts";
import { PathWriter } from "./openapi-paths.ts";
import { Definitions, type Json, type OpenApiVersion } from "./openapi-schemas.ts";
import type { TypeName } from "./type-table.ts";
import { typeOf } from "./types.ts";

const meta = "io.k8s.apimachinery.pkg.apis.meta.v1";

/** The document's place under /openapi/v3: `api/v1`, `apis/apps/v1`. */
export function groupVersionPath(resource: {
  readonly group: string;
  readonly version: string;
}): string {
  const { group, version } = resource;
  return group === "" ? `api/${version}` : `apis/${group}/${version}`;
}

/** Names of a built-in type's kinds by type name; some kinds belong to every group. */
function kindsByType(
  resources: readonly OpenApiResource[],
  told: readonly OpenApiResource[],
): Map<TypeName, Json[]> {
  const kinds = new Map<TypeName, Json[]>();
  for (const { group, version, kind, typeName, subresources } of resources) {
    if (typeName === undefined) continue;
    kinds.set(typeName, [{ group, kind, version }]);
    kinds.set(`${typeName}List`, [{ group, kind: `${kind}List`, version }]);
    for (const part of subresources) {
      const type = typeOf(part.group, part.version, part.kind);
      if (type === undefined || part.connects) continue;
      kinds.set(type, [{ group: part.group, kind: part.kind, version: part.version }]);
    }
  }
  for (const kind of ["Status", "APIVersions", "APIGroup", "APIGroupList", "APIResourceList"]) {
    kinds.set(`${meta}.${kind}`, [{ group: "", kind, version: "v1" }]);
  }
  const groups = new Set(["/v1"]);
  for (const { group, version, typeName } of told) {
    if (typeName !== undefined) groups.add(`${group}/${version}`);
  }
  for (const kind of ["DeleteOptions", "WatchEvent"]) {
    const all = [...groups].toSorted().map((name) => name.split("/"));
    kinds.set(
      `${meta}.${kind}`,
      all.map(([group, version]) => ({ group, kind, version })),
    );
  }
  return kinds;
}

/** Builds one document; what it refers to is defined as it is referred to. */
class DocumentBuilder {
  readonly openApiVersion: OpenApiVersion;
  readonly #version: string;
  readonly #definitions: Definitions;
  readonly #writer: PathWriter;
  readonly #operations = new OperationBuilder();

  constructor(
    openApiVersion: OpenApiVersion,
    version: string,
    kinds: ReadonlyMap<TypeName, Json[]>,
  ) {
    this.openApiVersion = openApiVersion;
    this.#version = version;
    this.#definitions = new Definitions(openApiVersion, (type) => kinds.get(type) ?? []);
    this.#writer = new PathWriter(openApiVersion);
  }

  add(operations: PathOperations): void {
    this.#writer.add(operations);
  }

  addResource(resource: OpenApiResource): void {
    const isCustom = resource.typeName === undefined;
    let refs = this.#refsOf(resource.typeName, {});
    if (isCustom) {
      defineCustomResource(resource, this.#definitions, this.openApiVersion);
      const name = customDefinitionName(resource);
      const object = this.#definitions.referenceTo(name);
      refs = { ...refs, object, list: this.#definitions.referenceTo(`${name}List`) };
    }
    const paths = this.#operations.pathsOf(resource, refs, (part) => {
      if (part.kind === resource.kind || part.connects) return refs;
      return this.#refsOf(typeOf(part.group, part.version, part.kind), refs.object);
    });
    for (const path of paths) this.add(path);
  }

  /** A reference to a kind of meta/v1. */
  meta(kind: string): Json {
    return this.#definitions.reference(`${meta}.${kind}`);
  }

  define(name: string, schema: Json): Json {
    this.#definitions.add(name, schema);
    return this.#definitions.referenceTo(name);
  }

  #refsOf(type: TypeName | undefined, fallback: Json): Refs {
    const object = type === undefined ? fallback : this.#definitions.reference(type);
    const listed = type !== undefined && typeTable.has(`${type}List`);
    return {
      object,
      list: listed ? this.#definitions.reference(`${type}List`) : object,
      meta: (kind) => this.meta(kind),
      patch: () => this.meta("Patch"),
    };
  }

  document(): Json {
    const info = { title: "Kubernetes", version: this.#version };
    const definitions = this.#definitions.all();
    const { paths } = this.#writer;
    if (this.openApiVersion === "v3") {
      const isEmpty = Object.keys(definitions).length === 0;
      const components = { ...(!isEmpty && { schemas: definitions }), securitySchemes: security };
      return { openapi: "3.0.0", info, paths, components };
    }
    return {
      swagger: "2.0",
      info,
      paths,
      definitions,
      parameters: this.#writer.sharedParameters(),
      securityDefinitions: security,
      security: [{ BearerToken: [] }],
    };
  }
}

const security = {
  BearerToken: {
    description: "Bearer Token authentication",
    type: "apiKey",
    name: "authorization",
    in: "header",
  },
};

const isBuiltIn = ({ typeName }: OpenApiResource): boolean => typeName !== undefined;

/** What is added to an empty document, by the document's place under /openapi/v3. */
function partsOf(
  resources: readonly OpenApiResource[],
): Map<string, (to: DocumentBuilder) => void> {
  const parts = new Map<string, (to: DocumentBuilder) => void>(
    Object.entries(openIdPaths).map(([path, operations]) => [path, (to) => to.add(operations)]),
  );
  parts.set("version", (to) => {
    to.add(serverVersionPath(to.define(versionInfo, versionInfoSchema(to.openApiVersion))));
  });
  parts.set("apis", (to) => to.add(groupsPath(to.meta("APIGroupList"))));
  for (const group of new Set(resources.filter(isBuiltIn).map((row) => row.group))) {
    const answer = group === "" ? "APIVersions" : "APIGroup";
    parts.set(group === "" ? "api" : `apis/${group}`, (to) => {
      to.add(groupPath(group, to.meta(answer)));
    });
  }
  for (const [path, rows] of Map.groupBy(resources, groupVersionPath)) {
    parts.set(path, (to) => {
      const first = rows.find(isBuiltIn);
      if (first !== undefined) {
        to.add(versionPath(first.group, first.version, to.meta("APIResourceList")));
      }
      for (const row of rows) to.addResource(row);
    });
  }
  return parts;
}

/** What a document is about. */
export interface DocumentOptions {
  readonly openApiVersion: OpenApiVersion;
  /** The server's version. */
  readonly version: string;
  /** All that is served. */
  readonly resources: readonly OpenApiResource[];
  /** A place of version 3; absent for the whole. */
  readonly path?: string;
}

/** The places under /openapi/v3. */
export function documentPaths(resources: readonly OpenApiResource[]): string[] {
  return [...partsOf(resources).keys()];
}

export function buildDocument(options: DocumentOptions): Json {
  const { openApiVersion, version, resources, path } = options;
  const told =
    path === undefined ? resources : resources.filter((row) => groupVersionPath(row) === path);
  const builder = new DocumentBuilder(openApiVersion, version, kindsByType(resources, told));
  for (const [place, add] of partsOf(resources)) {
    if (path === undefined || place === path) add(builder);
  }
  return builder.document();
}
