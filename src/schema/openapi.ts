/** The OpenAPI documents: built when asked for, kept only while memory is not needed elsewhere. */
import { createHash } from "node:crypto";
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
import { encodeOpenApiV2 } from "./openapi-protobuf.ts";
import { Definitions, type Json, type OpenApiVersion } from "./openapi-schemas.ts";
import type { TypeName } from "./type-table.ts";
import { typeOf } from "./types.ts";

const meta = "io.k8s.apimachinery.pkg.apis.meta.v1";
const specV2 = "application/com.github.proto-openapi.spec.v2";
const jsonV2Types = ["application/json", "*/*", "application/*", `${specV2}@v1.0+json`];
/** The name of the type with a point is the newer one; "@" is no letter of media types. */
const protobufV2Types = [`${specV2}.v1.0+protobuf`, `${specV2}@v1.0+protobuf`];

export interface OpenApiSource {
  /** All served resources. */
  readonly resources: () => readonly OpenApiResource[];
  /** Grows whenever `resources` would answer differently. */
  readonly generation: () => number;
  /** The server's version, for example v1.36.4+k3.1. */
  readonly version: string;
}

/** The document's place under /openapi/v3: `api/v1`, `apis/apps/v1`. */
function groupVersionPath(resource: { readonly group: string; readonly version: string }): string {
  const { group, version } = resource;
  return group === "" ? `api/${version}` : `apis/${group}/${version}`;
}

/** Names of a built-in type's kinds by type name. */
function kindsByType(resources: readonly OpenApiResource[]): Map<TypeName, Json[]> {
  const kinds = new Map<TypeName, Json[]>();
  for (const { group, version, kind, typeName } of resources) {
    if (typeName === undefined) continue;
    kinds.set(typeName, [{ group, kind, version }]);
    kinds.set(`${typeName}List`, [{ group, kind: `${kind}List`, version }]);
  }
  for (const kind of ["DeleteOptions", "Status", "WatchEvent", "APIResourceList"]) {
    kinds.set(`${meta}.${kind}`, [{ group: "", kind, version: "v1" }]);
  }
  return kinds;
}

/** Builds one document; what it refers to is defined as it is referred to. */
class DocumentBuilder {
  readonly #openApiVersion: OpenApiVersion;
  readonly #version: string;
  readonly #definitions: Definitions;
  readonly #writer: PathWriter;
  readonly #operations = new OperationBuilder();

  constructor(
    openApiVersion: OpenApiVersion,
    version: string,
    kinds: ReadonlyMap<TypeName, Json[]>,
  ) {
    this.#openApiVersion = openApiVersion;
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
      defineCustomResource(resource, this.#definitions, this.#openApiVersion);
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
      deleteOptions: this.meta("DeleteOptions"),
      status: this.meta("Status"),
      watchEvent: this.meta("WatchEvent"),
      patch: this.define(`${meta}.Patch`, patchSchema()),
    };
  }

  document(): Json {
    const info = { title: "Kubernetes", version: this.#version };
    const definitions = this.#definitions.all();
    const { paths } = this.#writer;
    if (this.#openApiVersion === "v3") {
      const components = { schemas: definitions, securitySchemes: security };
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

function patchSchema(): Json {
  return {
    description: "Patch is provided to give a concrete name and type to the Kubernetes PATCH body.",
    type: "object",
  };
}

const isBuiltIn = ({ typeName }: OpenApiResource): boolean => typeName !== undefined;

/** What is added to an empty document, by the document's place under /openapi/v3. */
function partsOf(
  resources: readonly OpenApiResource[],
): Map<string, (to: DocumentBuilder) => void> {
  const parts = new Map<string, (to: DocumentBuilder) => void>(
    Object.entries(openIdPaths).map(([path, operations]) => [path, (to) => to.add(operations)]),
  );
  parts.set("version", (to) => {
    to.add(serverVersionPath(to.define(versionInfo, versionInfoSchema())));
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

function hashOf(text: string | Uint8Array): string {
  return createHash("sha512").update(text).digest("hex").slice(0, 64).toUpperCase();
}

/** How a document is written down. */
interface Form {
  readonly contentType: string;
  readonly encode: (document: Json) => Uint8Array<ArrayBuffer>;
}

const jsonForm: Form = {
  contentType: "application/json",
  encode: (document) => new TextEncoder().encode(JSON.stringify(document)),
};
const protobufForm: Form = {
  contentType: `${specV2}.v1.0+protobuf`,
  encode: encodeOpenApiV2,
};

interface Built {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly etag: string;
}

/** Answers requests for OpenAPI documents. */
export class OpenApiDocuments {
  readonly #source: OpenApiSource;
  #generation = -1;
  #built = new Map<string, WeakRef<Built>>();
  #hashes = new Map<string, string>();

  constructor(source: OpenApiSource) {
    this.#source = source;
  }

  /** Undefined when there is no such document. */
  respond(request: Request): Response | undefined {
    const url = new URL(request.url);
    this.#refresh();
    if (url.pathname === "/openapi/v3") return this.#answer(request, "index", () => this.#index());
    if (url.pathname === "/openapi/v2") return this.#respondV2(request);
    const path = url.pathname.slice("/openapi/v3/".length);
    const hash = this.#hashes.get(path);
    if (!url.pathname.startsWith("/openapi/v3/") || hash === undefined) return undefined;
    const asked = url.searchParams.get("hash");
    if (asked !== null && asked !== hash) {
      url.searchParams.set("hash", hash);
      return new Response(null, {
        status: 301,
        headers: { location: `${url.pathname}${url.search}` },
      });
    }
    const answer = this.#answer(request, path, () => this.#groupVersion(path));
    // With the right hash the address names one content forever.
    if (asked !== null) answer.headers.set("cache-control", "public, immutable");
    return answer;
  }

  #respondV2(request: Request): Response {
    const accept = (request.headers.get("accept") ?? "*/*").toLowerCase();
    const wanted = accept.split(",").map((part) => (part.split(";")[0] ?? "").trim());
    const served = wanted.find((type) => [...jsonV2Types, ...protobufV2Types].includes(type));
    if (served === undefined) {
      return new Response("only JSON and protobuf are served here\n", { status: 406 });
    }
    const build = () => this.#build("v2", partsOf(this.#source.resources()).values());
    if (jsonV2Types.includes(served)) return this.#answer(request, "v2", build);
    return this.#answer(request, "v2 protobuf", build, protobufForm);
  }

  #refresh(): void {
    const generation = this.#source.generation();
    if (generation === this.#generation) return;
    this.#generation = generation;
    this.#built = new Map();
    const resources = this.#source.resources();
    const inputs = Map.groupBy(resources, groupVersionPath);
    // What a document is made of names it as well as its bytes would, without building it.
    this.#hashes = new Map(
      [...partsOf(resources).keys()].map((path) => [
        path,
        hashOf(
          JSON.stringify([this.#source.version, path, ...(inputs.get(path) ?? []).map(inputOf)]),
        ),
      ]),
    );
  }

  #index(): Json {
    const entries = [...this.#hashes].map(([path, hash]) => [
      path,
      { serverRelativeURL: `/openapi/v3/${path}?hash=${hash}` },
    ]);
    return { paths: Object.fromEntries(entries) };
  }

  #groupVersion(path: string): Json {
    const part = partsOf(this.#source.resources()).get(path);
    return this.#build("v3", part === undefined ? [] : [part]);
  }

  #build(openApiVersion: OpenApiVersion, parts: Iterable<(to: DocumentBuilder) => void>): Json {
    const kinds = kindsByType(this.#source.resources());
    const builder = new DocumentBuilder(openApiVersion, this.#source.version, kinds);
    for (const part of parts) part(builder);
    return builder.document();
  }

  #answer(request: Request, name: string, build: () => Json, form: Form = jsonForm): Response {
    let built = this.#built.get(name)?.deref();
    if (built === undefined) {
      const bytes = form.encode(build());
      built = { bytes, etag: `"${hashOf(bytes)}"` };
      this.#built.set(name, new WeakRef(built));
    }
    const headers = {
      etag: built.etag,
      "content-type": form.contentType,
      vary: "Accept",
      "cache-control": "no-cache, private",
    };
    if (request.headers.get("if-none-match") === built.etag) {
      return new Response(null, { status: 304, headers });
    }
    return new Response(built.bytes, { status: 200, headers });
  }
}

function inputOf(resource: OpenApiResource): Json {
  const { group, version, kind, plural, namespaced, verbs, typeName, schema } = resource;
  const subresources = resource.subresources.map(({ name, verbs: of }) => [name, ...of]);
  return { group, version, kind, plural, namespaced, verbs, typeName, schema, subresources };
}
