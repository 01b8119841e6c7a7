/** The Kubernetes API over HTTP: requests become ApiRequests, answers become Responses. */
import { type Context, Hono } from "hono";
import { ApiError } from "../lib/api-error.ts";
import { AssertionError } from "../lib/assert.ts";
import type { Metrics } from "../runtime/metrics.ts";
import type { ByteStream, Runtime } from "../runtime/runtime.ts";
import type { Aggregator } from "./aggregation/aggregator.ts";
import type { LiveApiService } from "./aggregation/backend.ts";
import { auditIdHeader } from "./audit/audited-request.ts";
import { recordAnswer } from "./audit/finish.ts";
import type { Authenticate, Impersonate, Peer } from "./authorizer.ts";
import { Deadlines, requestTimeoutMs } from "./deadlines.ts";
import { aggregatedType, createDiscovery } from "./discovery.ts";
import { enter } from "./entrance.ts";
import { unknownResource } from "./errors.ts";
import type { ExternalGroups } from "./external-groups.ts";
import type { RequestGate } from "./flowcontrol/gate.ts";
import { type HealthCheck, healthAnswer } from "./health.ts";
import {
  answerResponse,
  documentResponse,
  type Encoding,
  jsonResponse,
  statusResponse,
} from "./http-answer.ts";
import { isTrue } from "./options.ts";
import type { Pipeline } from "./pipeline.ts";
import type { ApiRequest, ApiResponse, RequestVerb, User } from "./request.ts";
import { readBody } from "./request-body.ts";
import { RequestEntry } from "./request-entry.ts";
import { createRequestMetrics } from "./request-metrics.ts";
import { isLongRunning, isServed, parsePath, type Target, verbOf } from "./request-path.ts";
import { asksForWebSocket, serveWebSocket } from "./websocket.ts";

const limits = { requestMsMax: 60_000 } as const;

export type HealthEndpoint = "healthz" | "livez" | "readyz";

/** The OpenAPI documents, built elsewhere; undefined answers when there is no such document. */
export interface OpenApi {
  respond(request: Request): Response | undefined;
}

export interface ApiAppOptions {
  readonly pipeline: Pipeline;
  readonly authenticate: Authenticate;
  /** By the headers of a request; without it they are not heeded. */
  readonly impersonate?: Impersonate;
  readonly runtime: Runtime;
  /** The checks of an endpoint, in order. */
  readonly health: (endpoint: HealthEndpoint) => Promise<readonly HealthCheck[]>;
  /** The object of `/version`. */
  readonly version: Readonly<Record<string, string>>;
  /** `host:port` as `/api` tells it. */
  readonly serverAddress: string;
  readonly openapi?: OpenApi;
  /** API groups that other servers implement. */
  readonly aggregator?: Aggregator;
  /** What `/metrics` tells. */
  readonly metrics?: Metrics;
  /** Milliseconds that a request may take which is no watch and no stream; a minute by default. */
  readonly requestTimeoutMs?: number;
  /** Who is served when there are many; absent lets everyone in. */
  readonly gate?: RequestGate;
  /** Further paths (OpenID discovery): undefined when it is not theirs. */
  readonly extra?: (request: Request, user: User) => Promise<Response | undefined>;
}

const metricsType = "text/plain; version=0.0.4; charset=utf-8";

export interface ApiApp {
  readonly fetch: (request: Request, peer: Peer) => Promise<Response>;
  /** Takes over a connection whose request asks for another protocol. */
  readonly upgrade: (request: Request, peer: Peer, stream: ByteStream) => Promise<void>;
}

interface Environment {
  Bindings: { entry: RequestEntry };
  Variables: { user: User; url: URL; target: Target | undefined };
}

export function createApiApp(options: ApiAppOptions): ApiApp {
  const app = new Hono<Environment>();
  const server = new ApiServer(options);
  app.use(async (context, next) => {
    context.set("user", await context.env.entry.enter());
    await server.admit(context, next);
  });
  app.get("/version", (context) => server.open(context, () => jsonResponse(options.version, 200)));
  for (const endpoint of ["healthz", "livez", "readyz"] as const) {
    const answer = (context: Context<Environment>) => server.health(context, endpoint);
    app.get(`/${endpoint}`, answer);
    app.get(`/${endpoint}/*`, answer);
  }
  app.get("/openapi/*", (context) => server.open(context, () => server.openApi(context)));
  for (const path of ["/api", "/api/*", "/apis", "/apis/*"]) {
    app.all(path, (context) => server.api(context));
  }
  app.get("/metrics", (context) => server.open(context, () => server.metrics()));
  app.get("/", (context) => server.open(context, () => server.paths()));
  app.all("*", (context) =>
    server.open(
      context,
      async () => (await options.extra?.(context.req.raw, context.get("user"))) ?? pageNotFound(),
    ),
  );
  app.onError((error, context) => server.failure(error, context));
  return {
    fetch: async (request, peer) => {
      const entry = server.entry(request, peer);
      return server.finish(await app.fetch(request, { entry }), entry);
    },
    upgrade: (request, peer, stream) => server.upgrade(request, peer, stream),
  };
}

class ApiServer {
  readonly #discovery;
  readonly #deadlines: Deadlines;
  readonly #requests;

  constructor(private readonly options: ApiAppOptions) {
    this.#deadlines = new Deadlines(options.runtime.clock);
    this.#requests =
      options.metrics === undefined ? undefined : createRequestMetrics(options.metrics);
    const { pipeline, serverAddress, aggregator } = options;
    this.#discovery = createDiscovery(pipeline.registry, serverAddress, aggregator);
  }

  entry(request: Request, peer: Peer): RequestEntry {
    const { pipeline, authenticate, impersonate, runtime } = this.options;
    const { auditor, registry } = pipeline;
    return new RequestEntry(
      { authenticate, impersonate, auditor, registry, runtime },
      request,
      peer,
    );
  }

  /** Goes on once the gate lets the request in; `next` leaves its response in the context. */
  async admit(context: Context<Environment>, next: () => Promise<void>): Promise<void> {
    const request = context.req.raw;
    const url = new URL(request.url);
    const target = parseTarget(url.pathname);
    context.set("url", url);
    context.set("target", target);
    const { gate, pipeline } = this.options;
    if (gate === undefined || isLongRunning(target)) return next();
    const timeoutMs = requestTimeoutMs(url.searchParams, this.#allowedMs);
    const entering = { request, url, target, user: context.get("user"), timeoutMs };
    let isServed = false;
    const response = await enter(gate, pipeline.registry, entering, async () => {
      await next();
      isServed = true;
      return context.res;
    });
    if (!isServed) context.res = response;
  }

  /** Answers a path that is no resource, once the user may see it. */
  async open(
    context: Context<Environment>,
    answer: () => Response | Promise<Response>,
  ): Promise<Response> {
    const attributes = {
      user: context.get("user"),
      verb: context.req.method.toLowerCase(),
      group: "",
      version: "",
      resource: "",
      subresource: "",
      namespace: "",
      name: "",
      path: context.req.path,
      isResourceRequest: false,
    };
    await this.options.pipeline.authorize(attributes, context.env.entry.trail);
    return answer();
  }

  health(context: Context<Environment>, endpoint: HealthEndpoint): Promise<Response> {
    return this.open(context, async () => {
      const { path } = context.req;
      const answer = healthAnswer(endpoint, await this.options.health(endpoint), {
        single: path.slice(endpoint.length + 2),
        verbose: context.req.query("verbose") !== undefined,
        exclude: context.req.queries("exclude") ?? [],
      });
      if (answer === undefined) return pageNotFound();
      const headers = {
        "content-type": "text/plain; charset=utf-8",
        "x-content-type-options": "nosniff",
      };
      return new Response(answer.text, { status: answer.status, headers });
    });
  }

  async api(context: Context<Environment>): Promise<Response> {
    const request = context.req.raw;
    const url = context.get("url");
    const path = url.pathname;
    const target = context.get("target");
    const foreign = this.options.aggregator?.find(path);
    if (foreign !== undefined) return this.#forward(context, foreign, target);
    if (target === undefined || !isServed(this.options.pipeline.registry, target)) {
      return this.open(context, () => this.#document(context, path));
    }
    const { clock } = this.options.runtime;
    const begunMs = clock.monotonicMs();
    const { trail: audit } = context.env.entry;
    const by = { user: context.get("user"), body: undefined, audit };
    const apiRequest = this.#requestFor(request, url, target, by);
    const record = (code: number): void =>
      this.#requests?.record(apiRequest, code, (clock.monotonicMs() - begunMs) / 1000);
    try {
      const answer = await this.#inTime(apiRequest, async () => {
        const body = await readBody(request);
        return this.options.pipeline.handle({ ...apiRequest, body });
      });
      record(answer.status);
      return answerResponse(answer, encodingOf(request, url));
    } catch (error) {
      record(error instanceof ApiError ? error.code : 500);
      throw error;
    }
  }

  /** OpenAPI of what is served here, and of each group version elsewhere. */
  async openApi(context: Context<Environment>): Promise<Response> {
    const { aggregator, openapi } = this.options;
    const request = context.req.raw;
    const { path } = context.req;
    const foreign = aggregator?.find(path.replace(/^\/openapi\/v3/, ""));
    if (aggregator === undefined || path === "/openapi/v2") {
      return openapi?.respond(request) ?? pageNotFound();
    }
    if (foreign !== undefined) return aggregator.forward(foreign, request, context.get("user"));
    const response = openapi?.respond(request) ?? pageNotFound();
    return path === "/openapi/v3" ? withExternalPaths(response, aggregator) : response;
  }

  /** Hands a request that the user may make to the server that implements its group. */
  async #forward(
    context: Context<Environment>,
    service: LiveApiService,
    target: Target | undefined,
  ): Promise<Response> {
    const request = context.req.raw;
    const user = context.get("user");
    const { aggregator, pipeline } = this.options;
    const forward = async (): Promise<Response> =>
      (await aggregator?.forward(service, request, user)) ?? pageNotFound();
    if (target === undefined) return this.open(context, forward);
    const query = new URL(request.url).searchParams;
    const verb = verbOf(pipeline.registry, request.method, target, query);
    const { resource, namespace, name, subresource } = target;
    const { group, version, plural } = resource;
    const what = { group, version, resource: plural, subresource, namespace, name };
    const attributes = { ...what, user, path: "", isResourceRequest: true };
    const { trail } = context.env.entry;
    await pipeline.authorize({ ...attributes, verb: requiredVerb(verb) }, trail);
    return forward();
  }

  metrics(): Response {
    const text = this.options.metrics?.text();
    if (text === undefined) return pageNotFound();
    return new Response(text, { headers: { "content-type": metricsType } });
  }

  /** What streams for as long as the client likes has no deadline. */
  #inTime(request: ApiRequest, work: () => Promise<ApiResponse>): Promise<ApiResponse> {
    const isLong = request.verb === "watch" || request.verb === "connect";
    if (isLong || isLongRunning(request)) return work();
    return this.#deadlines.within(requestTimeoutMs(request.query, this.#allowedMs), work());
  }

  get #allowedMs(): number {
    return this.options.requestTimeoutMs ?? limits.requestMsMax;
  }

  /** Lets the pipeline hand the stream over; a refusal is written to it. */
  async upgrade(request: Request, peer: Peer, stream: ByteStream): Promise<void> {
    const entry = this.entry(request, peer);
    try {
      const user = await entry.enter();
      const url = new URL(request.url);
      const target = parseTarget(url.pathname);
      if (target === undefined || !isServed(this.options.pipeline.registry, target)) {
        throw unknownResource();
      }
      const by = { user, body: undefined, audit: entry.trail };
      const apiRequest = this.#requestFor(request, url, target, by);
      await this.#upgraded(apiRequest, stream);
      await entry.trail?.complete();
    } catch (error) {
      if (!(error instanceof ApiError)) {
        await entry.trail?.panicked(error);
        throw error;
      }
      entry.trail?.failed(error);
      const head = new Response(null, { status: error.code });
      if (entry.trail !== undefined) await recordAnswer(entry.trail, head);
      await writeRefusal(stream, error);
    }
  }

  async #upgraded(request: ApiRequest, stream: ByteStream): Promise<void> {
    if (request.verb !== "connect" && asksForWebSocket(request.headers ?? new Headers())) {
      return this.#webSocket(request, stream);
    }
    await this.options.pipeline.upgrade(request, stream);
  }

  /** Watches and logs may come over a WebSocket; nothing else may. */
  async #webSocket(request: ApiRequest, stream: ByteStream): Promise<void> {
    const isLog = request.subresource === "log";
    if (!isLog && request.verb !== "watch") return this.options.pipeline.upgrade(request, stream);
    const headers = request.headers ?? new Headers();
    const gone = new AbortController();
    const answer = await this.options.pipeline.handle({ ...request, signal: gone.signal });
    if (answer.type !== "stream") throw new ApiError("BadRequest", "this does not stream");
    await request.audit?.switching();
    try {
      await serveWebSocket(headers, stream, answer.frames, isLog ? "bytes" : "event");
    } finally {
      gone.abort();
    }
  }

  #requestFor(
    request: Request,
    url: URL,
    target: Target,
    by: Pick<ApiRequest, "user" | "body" | "audit">,
  ): ApiRequest {
    const { registry } = this.options.pipeline;
    const { legacyWatch: _, ...asked } = target;
    return {
      ...asked,
      verb: requiredVerb(verbOf(registry, request.method, target, url.searchParams)),
      method: request.method,
      query: url.searchParams,
      accept: request.headers.get("accept") ?? "",
      userAgent: request.headers.get("user-agent") ?? "",
      ...by,
      contentType: request.headers.get("content-type") ?? "",
      headers: request.headers,
      signal: request.signal,
    };
  }

  async #document(context: Context<Environment>, path: string): Promise<Response> {
    const accept = context.req.header("accept") ?? "";
    const clean = path.length > 1 && path.endsWith("/") ? path.slice(0, -1) : path;
    const document = this.#discovery.document(clean, accept);
    if (document === undefined || context.req.method !== "GET") return pageNotFound();
    const { aggregated } = document;
    if (aggregated === undefined) {
      context.env.entry.trail?.responseObject(document.object);
      const url = new URL(context.req.url);
      const response = documentResponse(document.object, encodingOf(context.req.raw, url));
      if (clean === "/api" || clean === "/apis") response.headers.set("vary", "Accept");
      return response;
    }
    const headers = { "content-type": aggregatedType, etag: aggregated.etag, vary: "Accept" };
    if (context.req.header("if-none-match") === aggregated.etag) {
      return new Response(null, { status: 304, headers });
    }
    return new Response(aggregated.bytes as Uint8Array<ArrayBuffer>, { status: 200, headers });
  }

  /** What `/` lists. */
  paths(): Response {
    const versions = new Set<string>();
    for (const { group, version } of this.options.pipeline.registry.all()) {
      if (group === "") versions.add("/api").add(`/api/${version}`);
      else versions.add("/apis").add(`/apis/${group}`).add(`/apis/${group}/${version}`);
    }
    const others = ["/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz"];
    others.push("/version");
    return jsonResponse({ paths: [...versions, ...others].sort() }, 200);
  }

  async failure(error: unknown, context: Context<Environment>): Promise<Response> {
    if (error instanceof AssertionError) throw error;
    const url = new URL(context.req.url);
    const { trail } = context.env.entry;
    if (error instanceof ApiError) {
      trail?.failed(error);
      return statusResponse(error, encodingOf(context.req.raw, url));
    }
    if (context.req.raw.signal.aborted) return new Response(null, { status: 499 });
    await trail?.panicked(error);
    const { log } = this.options.runtime;
    const stack = error instanceof Error ? error.stack : undefined;
    log.error("request failed", { path: url.pathname, error: String(error), stack });
    const told = new ApiError("InternalError", `Internal error occurred: ${String(error)}`);
    return statusResponse(told, encodingOf(context.req.raw, url));
  }

  /** Headers of every answer, and its record. */
  async finish(response: Response, { auditId, trail }: RequestEntry): Promise<Response> {
    const { headers } = response;
    headers.set(auditIdHeader, auditId);
    if (!headers.has("cache-control")) headers.set("cache-control", "no-cache, private");
    return trail === undefined ? response : recordAnswer(trail, response);
  }
}

/** The index of OpenAPI v3 documents, with those of other servers. */
async function withExternalPaths(response: Response, external: ExternalGroups): Promise<Response> {
  const groups = external.groups();
  if (groups.length === 0 || !response.ok) return response;
  const { paths } = (await response.json()) as { paths: Record<string, unknown> };
  for (const { name, versions } of groups) {
    for (const { version } of versions) {
      const serverRelativeURL = `/openapi/v3/apis/${name}/${version}?hash=${external.generation}`;
      paths[`apis/${name}/${version}`] = { serverRelativeURL };
    }
  }
  return jsonResponse({ paths }, 200);
}

function requiredVerb(verb: RequestVerb | undefined): RequestVerb {
  if (verb !== undefined) return verb;
  throw new ApiError(
    "MethodNotAllowed",
    "the server does not allow this method on the requested resource",
    { details: {} },
  );
}

/** Answers an upgrade with a Status, as a plain HTTP/1.1 response. */
async function writeRefusal(stream: ByteStream, error: ApiError): Promise<void> {
  const body = new TextEncoder().encode(JSON.stringify(error.toStatus()));
  const head =
    `HTTP/1.1 ${error.code} ${error.reason || "Error"}\r\ncontent-type: application/json\r\n` +
    `content-length: ${body.length}\r\nconnection: close\r\n\r\n`;
  const writer = stream.writable.getWriter();
  try {
    await writer.write(Buffer.concat([new TextEncoder().encode(head), body]));
    await writer.close();
  } finally {
    stream.close();
  }
}

function parseTarget(path: string): Target | undefined {
  try {
    return parsePath(path);
  } catch (error) {
    if (error instanceof URIError) throw new ApiError("BadRequest", "invalid URL escape");
    throw error;
  }
}

const browsers = ["curl", "Wget", "Mozilla/5.0"];

function encodingOf(request: Request, url: URL): Encoding {
  const asked = url.searchParams.get("pretty");
  const agent = request.headers.get("user-agent") ?? "";
  return {
    pretty: asked === null ? browsers.some((name) => agent.startsWith(name)) : isTrue(asked),
    gzip: (request.headers.get("accept-encoding") ?? "").includes("gzip"),
    accept: request.headers.get("accept") ?? "",
    isHead: request.method === "HEAD",
  };
}

function pageNotFound(): Response {
  const headers = {
    "content-type": "text/plain; charset=utf-8",
    "x-content-type-options": "nosniff",
  };
  return new Response("404 page not found\n", { status: 404, headers });
}
