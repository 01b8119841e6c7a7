/** The OpenAPI documents: built when asked for, kept only while memory is not needed elsewhere. */
import { createHash } from "node:crypto";
import { buildDocument, documentPaths, groupVersionPath } from "./openapi-document.ts";
import type { OpenApiResource } from "./openapi-operations.ts";
import { encodeOpenApiV2 } from "./openapi-protobuf.ts";
import type { Json } from "./openapi-schemas.ts";

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
    const answer = this.#answer(request, path, () => this.#part(path));
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
    const { version } = this.#source;
    const build = () =>
      buildDocument({ openApiVersion: "v2", version, resources: this.#source.resources() });
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
      documentPaths(resources).map((path) => [
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

  #part(path: string): Json {
    const { version } = this.#source;
    const resources = this.#source.resources();
    return buildDocument({ openApiVersion: "v3", version, resources, path });
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
      vary: "Accept-Encoding, Accept",
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
