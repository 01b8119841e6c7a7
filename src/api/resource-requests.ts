/** Requests for resources: from the head and the body to an ApiRequest, and back to an answer. */
import { ApiError } from "../lib/api-error.ts";
import type { Metrics } from "../runtime/metrics.ts";
import type { Clock } from "../runtime/runtime.ts";
import { attributesOf } from "./authorize-call.ts";
import type { Attributes } from "./authorizer.ts";
import { Deadlines, requestTimeoutMs } from "./deadlines.ts";
import { methodNotServed } from "./errors.ts";
import { type Encoding, httpAnswer } from "./http-answer.ts";
import type { HttpAnswer, HttpRequest } from "./http-exchange.ts";
import { isTrue } from "./options.ts";
import type { Pipeline } from "./pipeline.ts";
import type { Registry } from "./registry.ts";
import type { ApiRequest, ApiResponse, RequestVerb, User } from "./request.ts";
import { createRequestMetrics } from "./request-metrics.ts";
import { isLongRunning, parsePath, type Target, verbOf } from "./request-path.ts";

const limits = { bodyBytesMax: 3 * 1024 * 1024, smallBodyBytesMax: 64 * 1024 } as const;

/** What a request says besides its target and its body. */
export type RequestFacts = Pick<HttpRequest, "method" | "headers" | "signal">;

export interface ResourceRequestsOptions {
  readonly pipeline: Pipeline;
  readonly clock: Clock;
  readonly metrics?: Metrics | undefined;
  /** What no request may take longer than. */
  readonly allowedMs: number;
}

/** A request whose body may still have to be read. */
type OpenRequest = Omit<ApiRequest, "body"> & { body: Uint8Array | undefined };

export class ResourceRequests {
  readonly #deadlines: Deadlines;
  readonly #metrics;

  constructor(private readonly options: ResourceRequestsOptions) {
    const { clock, metrics } = options;
    this.#deadlines = new Deadlines(clock);
    this.#metrics = metrics === undefined ? undefined : createRequestMetrics(metrics);
  }

  async answer(
    request: HttpRequest,
    query: URLSearchParams,
    target: Target,
    by: Pick<ApiRequest, "user" | "audit">,
  ): Promise<HttpAnswer> {
    const { clock } = this.options;
    const begunMs = clock.monotonicMs();
    const asked = this.requestFor(request, query, target, by);
    const record = (code: number): void =>
      this.#metrics?.record(asked, code, (clock.monotonicMs() - begunMs) / 1000);
    try {
      const answer = await this.#inTime(asked, () => this.#handle(request, asked));
      record(answer.status);
      const sent = httpAnswer(answer, encodingOf(request));
      this.#size(asked, sent);
      return sent;
    } catch (error) {
      record(error instanceof ApiError ? error.code : 500);
      throw error;
    }
  }

  /** Only answers to reads, and only those that are known as a whole. */
  #size(asked: OpenRequest, { headers }: HttpAnswer): void {
    if (this.#metrics === undefined || (asked.verb !== "get" && asked.verb !== "list")) return;
    const length = headers.get("content-length");
    if (length !== undefined && length !== null) this.#metrics.sized(asked, Number(length));
  }

  async #handle(request: HttpRequest, asked: OpenRequest): Promise<ApiResponse> {
    // Who may not do it need not send it: memory is for those who may.
    if (mayBeLarge(request)) {
      await this.options.pipeline.authorize(attributesOf(asked), asked.audit);
    }
    const body = await request.body(limits.bodyBytesMax);
    if (body === "too-large") throw bodyTooLarge();
    asked.body = body;
    return this.options.pipeline.handle(asked);
  }

  requestFor(
    facts: RequestFacts,
    query: URLSearchParams,
    target: Target,
    by: Pick<ApiRequest, "user" | "audit">,
  ): OpenRequest {
    const { headers, method } = facts;
    const { legacyWatch: _, ...asked } = target;
    return {
      ...asked,
      verb: requiredVerb(verbOf(this.options.pipeline.registry, method, target, query)),
      method,
      query,
      accept: headers.get("accept") ?? "",
      userAgent: headers.get("user-agent") ?? "",
      ...by,
      body: undefined,
      contentType: headers.get("content-type") ?? "",
      headers,
      // Few requests last long enough to ask.
      get signal() {
        return facts.signal;
      },
    };
  }

  /** What streams for as long as the client likes has no deadline. */
  #inTime(request: OpenRequest, work: () => Promise<ApiResponse>): Promise<ApiResponse> {
    const isLong = request.verb === "watch" || request.verb === "connect";
    if (isLong || isLongRunning(request)) return work();
    const timeoutMs = requestTimeoutMs(request.query, this.options.allowedMs);
    return this.#deadlines.within(timeoutMs, work());
  }
}

function mayBeLarge({ method, headers }: HttpRequest): boolean {
  if (method === "GET" || method === "HEAD") return false;
  const announced = headers.get("content-length");
  return announced === null || Number(announced) > limits.smallBodyBytesMax;
}

export function requiredVerb(verb: RequestVerb | undefined): RequestVerb {
  if (verb !== undefined) return verb;
  throw methodNotServed();
}

/** What a user wants of a group that another server implements. */
export function foreignAttributes(
  registry: Registry,
  request: Pick<Request, "method" | "url">,
  target: Target,
  user: User,
): Attributes {
  const { namespace, name, subresource } = target;
  const { group, version, plural } = target.resource;
  const query = new URL(request.url).searchParams;
  return {
    user,
    verb: requiredVerb(verbOf(registry, request.method, target, query)),
    group,
    version,
    resource: plural,
    subresource,
    namespace,
    name,
    path: "",
    isResourceRequest: true,
  };
}

export function parseTarget(path: string): Target | undefined {
  try {
    return parsePath(path);
  } catch (error) {
    if (error instanceof URIError) throw new ApiError("BadRequest", "invalid URL escape");
    throw error;
  }
}

function bodyTooLarge(): ApiError {
  const { bodyBytesMax } = limits;
  return new ApiError(
    "RequestEntityTooLarge",
    `Request entity too large: limit is ${bodyBytesMax}`,
  );
}

const browsers = ["curl", "Wget", "Mozilla/5.0"];

export function encodingOf(request: Pick<HttpRequest, "method" | "headers" | "query">): Encoding {
  const { headers, method, query } = request;
  const asked = query === "" ? null : new URLSearchParams(query).get("pretty");
  const agent = headers.get("user-agent") ?? "";
  return {
    pretty: asked === null ? browsers.some((name) => agent.startsWith(name)) : isTrue(asked),
    gzip: (headers.get("accept-encoding") ?? "").includes("gzip"),
    accept: headers.get("accept") ?? "",
    isHead: method === "HEAD",
  };
}
