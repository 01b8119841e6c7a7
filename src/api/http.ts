/** The Kubernetes API over HTTP: requests become ApiRequests, answers become Responses. */
import { type Context, Hono } from "hono";
import { ApiError } from "../lib/api-error.ts";
import { AssertionError } from "../lib/assert.ts";
import { createMetrics, type Metrics } from "../runtime/metrics.ts";
import type { ByteStream, Runtime } from "../runtime/runtime.ts";
import type { Aggregator } from "./aggregation/aggregator.ts";
import type { LiveApiService } from "./aggregation/backend.ts";
import { auditIdHeader } from "./audit/audited-request.ts";
import { recordAnswer } from "./audit/finish.ts";
import type { Authenticate, Impersonate, Peer } from "./authorizer.ts";
import { requestTimeoutMs } from "./deadlines.ts";
import { aggregatedType, createDiscovery } from "./discovery.ts";
import { type Entering, enter } from "./entrance.ts";
import { methodNotServed, unknownResource } from "./errors.ts";
import type { ExternalGroups } from "./external-groups.ts";
import type { RequestGate } from "./flowcontrol/gate.ts";
import { type HealthCheck, healthAnswer } from "./health.ts";
import { HealthMetrics } from "./health-metrics.ts";
import { documentAnswer, jsonResponse, statusAnswer } from "./http-answer.ts";
import { AnswerHeaders, type HttpAnswer, type HttpRequest, responseOf } from "./http-exchange.ts";
import { serveUpgrade } from "./http-upgrade.ts";
import { listedPaths } from "./listed-paths.ts";
import type { Pipeline } from "./pipeline.ts";
import type { User } from "./request.ts";
import { RequestEntry } from "./request-entry.ts";
import { isLongRunning, isServed, type Target } from "./request-path.ts";
import {
  encodingOf,
  foreignAttributes,
  parseTarget,
  ResourceRequests,
} from "./resource-requests.ts";

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
  /** Brings what is only counted when asked for up to date. */
  readonly beforeMetrics?: () => Promise<void>;
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
  readonly fetch: (request: HttpRequest, peer: Peer) => Promise<HttpAnswer | Response>;
  /** Takes over a connection whose request asks for another protocol. */
  readonly upgrade: (request: Request, peer: Peer, stream: ByteStream) => Promise<void>;
}

interface Environment {
  Bindings: { entry: RequestEntry; request: HttpRequest };
  Variables: { user: User; target: Target | undefined };
}

export function createApiApp(options: ApiAppOptions): ApiApp {
  const app = new Hono<Environment>();
  const server = new ApiServer(options);
  app.use(async (context, next) => {
    context.set("user", await context.env.entry.enter());
    await server.admit(context, next);
  });
  for (const path of ["/version", "/version/"])
    app.all(path, (context) =>
      server.open(context, () => {
        if (context.req.method !== "GET") throw methodNotServed();
        return jsonResponse(options.version, 200);
      }),
    );
  for (const endpoint of ["healthz", "livez", "readyz"] as const) {
    const answer = (context: Context<Environment>) => server.health(context, endpoint);
    app.all(`/${endpoint}`, answer);
    app.all(`/${endpoint}/*`, answer);
  }
  app.get("/openapi/*", (context) => server.open(context, () => server.openApi(context)));
  for (const path of ["/api", "/api/*", "/apis", "/apis/*"]) {
    app.all(path, (context) => server.api(context));
  }
  app.get("/metrics/slis", (context) => server.open(context, () => server.slis()));
  app.get("/metrics", (context) => server.open(context, () => server.metrics()));
  app.get("/", (context) =>
    server.open(context, () =>
      jsonResponse({ paths: listedPaths(options.pipeline.registry) }, 200),
    ),
  );
  app.all("*", (context) =>
    server.open(
      context,
      async () => (await options.extra?.(context.req.raw, context.get("user"))) ?? pageNotFound(),
    ),
  );
  app.onError(async (error, { env }) => {
    return responseOf(await server.failure(error, env.request, env.entry));
  });
  return {
    fetch: async (request, peer) => {
      const entry = server.entry(request, peer);
      const answer =
        (await server.resource(request, entry)) ??
        (await app.fetch(request.toRequest(), { entry, request }));
      return server.finish(answer, entry);
    },
    upgrade: (request, peer, stream) =>
      server.upgrade(request, server.entry(request, peer), stream),
  };
}

class ApiServer {
  readonly #discovery;
  readonly #resources: ResourceRequests;
  readonly #health = new HealthMetrics(createMetrics());
  /** What no request may take longer than. */
  readonly #allowedMs: number;

  constructor(private readonly options: ApiAppOptions) {
    const { pipeline, serverAddress, aggregator, runtime, metrics } = options;
    const { clock } = runtime;
    this.#allowedMs = options.requestTimeoutMs ?? limits.requestMsMax;
    this.#resources = new ResourceRequests({
      pipeline,
      clock,
      metrics,
      allowedMs: this.#allowedMs,
    });
    this.#discovery = createDiscovery(pipeline.registry, serverAddress, aggregator);
  }

  entry(request: Pick<HttpRequest, "method" | "url" | "headers">, peer: Peer): RequestEntry {
    const { pipeline, authenticate, impersonate, runtime } = this.options;
    const { auditor, registry } = pipeline;
    return new RequestEntry(
      { authenticate, impersonate, auditor, registry, runtime },
      request,
      peer,
    );
  }

  /** Answers a request for a resource that is served here, which is nearly every request. */
  async resource(
    request: HttpRequest,
    entry: RequestEntry,
  ): Promise<HttpAnswer | Response | undefined> {
    const target = this.#servedTarget(request.path);
    if (target === undefined) return undefined;
    try {
      const user = await entry.enter();
      const query = new URLSearchParams(request.query);
      const by = { user, audit: entry.trail };
      const serve = (): Promise<HttpAnswer> =>
        this.#resources
          .answer(request, query, target, by)
          .catch((error: unknown) => this.failure(error, request, entry));
      return await this.#admit(request, { query, target, user }, serve);
    } catch (error) {
      return this.failure(error, request, entry);
    }
  }

  #servedTarget(path: string): Target | undefined {
    const { aggregator, pipeline } = this.options;
    if (!path.startsWith("/api") || aggregator?.find(path) !== undefined) return undefined;
    try {
      const target = parseTarget(path);
      return target !== undefined && isServed(pipeline.registry, target) ? target : undefined;
    } catch {
      return undefined; // who asks so is told once it is known who asks
    }
  }

  /** Goes on once the gate lets the request in; `next` leaves its response in the context. */
  async admit(context: Context<Environment>, next: () => Promise<void>): Promise<void> {
    const { request } = context.env;
    const target = parseTarget(request.path);
    context.set("target", target);
    const query = new URLSearchParams(request.query);
    let isServed = false;
    const answer = await this.#admit(
      request,
      { query, target, user: context.get("user") },
      async () => {
        await next();
        isServed = true;
        return context.res;
      },
    );
    if (!isServed) context.res = answer;
  }

  #admit<T extends HttpAnswer | Response>(
    request: HttpRequest,
    asked: Pick<Entering, "query" | "target" | "user">,
    serve: () => Promise<T>,
  ): Promise<T | Response> {
    const { gate, pipeline } = this.options;
    if (gate === undefined || isLongRunning(asked.target)) return serve();
    const timeoutMs = requestTimeoutMs(asked.query, this.#allowedMs);
    return enter(gate, pipeline.registry, { ...asked, request, timeoutMs }, serve);
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
      const checks = await this.options.health(endpoint);
      this.#health.record(endpoint, checks);
      const answer = healthAnswer(endpoint, checks, {
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

  /** What else lies below `/api` and `/apis`: documents, and groups of other servers. */
  api(context: Context<Environment>): Promise<Response> {
    const foreign = this.options.aggregator?.find(context.env.request.path);
    if (foreign !== undefined) return this.#forward(context, foreign, context.get("target"));
    return this.open(context, () => this.#document(context));
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
    const response = openapi?.respond(request) ?? noDocument(path);
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
    const attributes = foreignAttributes(pipeline.registry, request, target, user);
    await pipeline.authorize(attributes, context.env.entry.trail);
    return forward();
  }

  async metrics(): Promise<Response> {
    await this.options.beforeMetrics?.();
    const text = this.options.metrics?.text();
    if (text === undefined) return pageNotFound();
    return new Response(text, { headers: { "content-type": metricsType } });
  }

  slis(): Response {
    const text = this.#health.metrics.text();
    return new Response(text, { headers: { "content-type": metricsType } });
  }

  /** Takes over the connection of a request that asks for another protocol. */
  upgrade(request: Request, entry: RequestEntry, stream: ByteStream): Promise<void> {
    const { pipeline, aggregator, runtime } = this.options;
    return serveUpgrade(
      { pipeline, aggregator, resources: this.#resources, clock: runtime.clock, entry },
      request,
      stream,
    );
  }

  #document(context: Context<Environment>): Response {
    const { entry, request } = context.env;
    const { path, method } = request;
    const clean = path.length > 1 && path.endsWith("/") ? path.slice(0, -1) : path;
    const document = this.#discovery.document(clean, request.headers.get("accept") ?? "");
    if (document === undefined && this.#isOwn(clean)) throw unknownResource();
    if (document === undefined) return pageNotFound();
    if (method !== "GET") throw methodNotServed();
    const { aggregated } = document;
    if (aggregated === undefined) {
      entry.trail?.responseObject(document.object);
      return responseOf(documentAnswer(document.object, encodingOf(request)));
    }
    const headers = {
      "cache-control": "public",
      "content-type": aggregatedType,
      etag: aggregated.etag,
      vary: "Accept",
    };
    if (request.headers.get("if-none-match") === aggregated.etag) {
      return new Response(null, { status: 304, headers });
    }
    return new Response(aggregated.bytes as Uint8Array<ArrayBuffer>, { status: 200, headers });
  }

  /** True below the core group and those that are built in: there every error is a Status. */
  #isOwn(path: string): boolean {
    const [, root, group] = path.split("/");
    if (root === "api") return true;
    const { registry } = this.options.pipeline;
    return registry.all().some((row) => row.custom === undefined && row.group === group);
  }

  async failure(
    error: unknown,
    request: HttpRequest,
    { trail }: RequestEntry,
  ): Promise<HttpAnswer> {
    if (error instanceof AssertionError) throw error;
    if (error instanceof ApiError) {
      trail?.failed(error);
      return statusAnswer(error, encodingOf(request));
    }
    if (request.signal.aborted) {
      return { status: 499, headers: new AnswerHeaders(), body: undefined };
    }
    await trail?.panicked(error);
    const { log } = this.options.runtime;
    const stack = error instanceof Error ? error.stack : undefined;
    log.error("request failed", { path: request.path, error: String(error), stack });
    const told = new ApiError("InternalError", `Internal error occurred: ${String(error)}`);
    return statusAnswer(told, encodingOf(request));
  }

  /** Headers of every answer, and its record. */
  async finish(
    answer: HttpAnswer | Response,
    { auditId, trail }: RequestEntry,
  ): Promise<HttpAnswer | Response> {
    const { headers } = answer;
    headers.set(auditIdHeader, auditId);
    if (!headers.has("cache-control")) headers.set("cache-control", "no-cache, private");
    if (trail === undefined) return answer;
    return recordAnswer(trail, answer instanceof Response ? answer : responseOf(answer));
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

/** Upstream says nothing about documents of version 3 that it does not have. */
function noDocument(path: string): Response {
  return path.startsWith("/openapi/v3/") ? new Response(null, { status: 404 }) : pageNotFound();
}

function pageNotFound(): Response {
  const headers = {
    "content-type": "text/plain; charset=utf-8",
    "x-content-type-options": "nosniff",
  };
  return new Response("404 page not found\n", { status: 404, headers });
}
