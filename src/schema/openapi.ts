/** The OpenAPI documents: built when asked for, kept only while memory is not needed elsewhere. */
import { createHash } from "node:crypto";
import { typeTable } from "../gen/table.ts";
import { customDefinitionName, defineCustomResource } from "./openapi-custom.ts";
import {
  addResourcePaths,
  type OpenApiResource,
  type OpenApiSubresource,
  type PathRefs,
  PathWriter,
} from "./openapi-paths.ts";
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

function document(
  openApiVersion: OpenApiVersion,
  resources: readonly OpenApiResource[],
  version: string,
): Json {
  const kinds = kindsByType(resources);
  const definitions = new Definitions(openApiVersion, (type) => kinds.get(type) ?? []);
  const writer = new PathWriter(openApiVersion);
  const status = definitions.reference(`${meta}.Status`);
  definitions.add(`${meta}.Patch`, {
    description: "Patch is provided to give a concrete name and type to the Kubernetes PATCH body.",
    type: "object",
  });
  const shared = {
    deleteOptions: definitions.reference(`${meta}.DeleteOptions`),
    status,
    patch: definitions.referenceTo(`${meta}.Patch`),
  };
  const refsOf = (type: TypeName | undefined, fallback: Json): Omit<PathRefs, "isCustom"> => {
    const object = type === undefined ? fallback : definitions.reference(type);
    const listed = type !== undefined && typeTable.has(`${type}List`);
    const list = listed ? definitions.reference(`${type}List`) : object;
    return { object, list, ...shared };
  };
  for (const resource of resources) {
    const isCustom = resource.typeName === undefined;
    let refs: PathRefs = { ...refsOf(resource.typeName, {}), isCustom };
    if (isCustom) {
      defineCustomResource(resource, definitions, openApiVersion);
      const name = customDefinitionName(resource);
      const list = definitions.referenceTo(`${name}List`);
      refs = { object: definitions.referenceTo(name), list, ...shared, isCustom };
    }
    addResourcePaths(writer, resource, refs, (part: OpenApiSubresource) =>
      part.kind === resource.kind
        ? refs
        : { ...refsOf(typeOf(part.group, part.version, part.kind), refs.object), isCustom },
    );
  }
  const info = { title: "Kubernetes", version };
  const security = { BearerToken: { type: "apiKey", name: "authorization", in: "header" } };
  return openApiVersion === "v2"
    ? {
        swagger: "2.0",
        info,
        paths: writer.paths,
        definitions: definitions.all(),
        securityDefinitions: security,
      }
    : {
        openapi: "3.0.0",
        info,
        paths: writer.paths,
        components: { schemas: definitions.all(), securitySchemes: security },
      };
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
    const build = () => document("v2", this.#source.resources(), this.#source.version);
    if (jsonV2Types.includes(served)) return this.#answer(request, "v2", build);
    return this.#answer(request, "v2 protobuf", build, protobufForm);
  }

  #refresh(): void {
    const generation = this.#source.generation();
    if (generation === this.#generation) return;
    this.#generation = generation;
    this.#built = new Map();
    const inputs = new Map<string, OpenApiResource[]>();
    for (const resource of this.#source.resources()) {
      const path = groupVersionPath(resource);
      inputs.set(path, [...(inputs.get(path) ?? []), resource]);
    }
    // What a document is made of names it as well as its bytes would, without building it.
    this.#hashes = new Map(
      [...inputs].map(([path, rows]) => [
        path,
        hashOf(JSON.stringify([this.#source.version, ...rows.map(inputOf)])),
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
    const rows = this.#source.resources().filter((row) => groupVersionPath(row) === path);
    return document("v3", rows, this.#source.version);
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
