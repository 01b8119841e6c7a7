/** Requests as the API reads them. */
import type { Readable } from "node:stream";
import { listedValue } from "../api/auth/identity-headers.ts";
import type { HttpRequest } from "../api/http-exchange.ts";
import { ApiError } from "../lib/api-error.ts";
import { joinBytes } from "../lib/bytes.ts";
import { readableOf } from "../runtime/readable.ts";
import type { Exchange, RequestHead } from "./door-exchange.ts";

/**
 * The segment of a path that steps to itself or up, decoded. URLs resolve such steps by
 * themselves, so that `DELETE .../pods/..` would become the deletion of a namespace.
 */
export function dotSegmentOf(target: string): string | undefined {
  if (!/(?:\.|%2e)(?:[/\\?#.%]|$)/i.test(target)) return undefined;
  const [path = ""] = target.split(/[?#]/, 1);
  const segments = path.split(/[/\\]/).map((segment) => segment.replace(/%2e/gi, "."));
  return segments.find((segment) => segment === "." || segment === "..");
}

/** Proxies' forms of targets and methods are not ours to serve. */
export function isServable({ method, url }: Pick<RequestHead, "method" | "url">): boolean {
  if (method === "CONNECT" || method === "TRACE") return false;
  return url.startsWith("/") && dotSegmentOf(url) === undefined;
}

/** Names as Kubernetes refuses them, anything else in plain words. */
export function badRequest(target: string): ApiError {
  const dots = dotSegmentOf(target);
  return dots === undefined
    ? new ApiError("BadRequest", "the request's method or target cannot be served")
    : new ApiError("BadRequest", `Name parameter invalid: "${dots}": may not be '${dots}'`);
}

/** One request and the place for its answer. */
export class DoorRequest implements HttpRequest {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  #headers: Headers | undefined;
  #gone: AbortController | undefined;

  constructor(private readonly exchange: Exchange) {
    this.method = exchange.method;
    const { url } = exchange;
    const fragmentAt = url.indexOf("#");
    const target = fragmentAt < 0 ? url : url.slice(0, fragmentAt);
    const queryAt = target.indexOf("?");
    this.path = queryAt < 0 ? target : target.slice(0, queryAt);
    this.query = queryAt < 0 ? "" : target.slice(queryAt + 1);
  }

  /** The host is the client's word and part of no decision; routers want a plain one. */
  get url(): string {
    return `https://localhost${this.exchange.url}`;
  }

  get headers(): Headers {
    this.#headers ??= headersOf(this.exchange);
    return this.#headers;
  }

  get signal(): AbortSignal {
    this.#gone ??= this.#follow();
    return this.#gone.signal;
  }

  #follow(): AbortController {
    const { exchange } = this;
    const gone = new AbortController();
    if (exchange.isGone) gone.abort();
    else {
      exchange.out.on("close", () => {
        if (exchange.isGone) gone.abort();
      });
    }
    return gone;
  }

  async body(bytesMax: number): Promise<Uint8Array | undefined | "too-large"> {
    if (!this.#hasBody()) return undefined;
    if (Number(this.headers.get("content-length") ?? "0") > bytesMax) return "too-large";
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array | "too-large">();
    const chunks: Uint8Array[] = [];
    let length = 0;
    const { source } = this.exchange;
    source.on("data", (chunk: Uint8Array) => {
      length += chunk.length;
      if (length <= bytesMax) chunks.push(chunk);
      else resolve("too-large");
    });
    source.on("end", () => {
      const [only] = chunks;
      resolve(chunks.length === 1 && only !== undefined ? only : joinBytes(chunks));
    });
    source.on("error", reject);
    source.on("close", () => reject(new Error("The client went away")));
    return promise;
  }

  #hasBody(): boolean {
    if (this.method === "GET" || this.method === "HEAD") return false;
    return this.headers.get("content-length") !== "0";
  }

  toRequest(): Request {
    const { headers, method, signal } = this;
    const body = this.#hasBody() ? bodyStream(this.exchange.source) : null;
    // Streams as bodies need `duplex`, which the DOM's types do not know.
    return webRequest(this.exchange.url, { method, headers, signal, body, duplex: "half" });
  }
}

/** The head of a request to switch protocols. */
export function upgradeRequest(request: RequestHead): Request | undefined {
  if (!isServable(request)) return undefined;
  try {
    return webRequest(request.url, { method: request.method, headers: headersOf(request) });
  } catch (error) {
    if (error instanceof ApiError) return undefined;
    throw error;
  }
}

function webRequest(target: string, init: object): Request {
  return orBadRequest(target, () => new Request(`https://localhost${target}`, init as RequestInit));
}

const isIdentity = /^(x-remote-|impersonate-)/i;
const isSingle = /^((x-remote|impersonate)-(user|uid)|authorization|audit-id)$/i;

function headersOf(request: RequestHead): Headers {
  return orBadRequest(request.url, () => {
    const headers = new Headers();
    const raw = request.rawHeaders;
    for (let i = 0; i + 1 < raw.length; i += 2) {
      const name = raw[i] ?? "";
      const value = raw[i + 1] ?? "";
      if (name === ":authority") headers.set("host", value);
      // Two names at once, or two credentials: who asks must be beyond doubt.
      else if (isSingle.test(name) && headers.has(name)) throw badRequest(request.url);
      else if (isIdentity.test(name)) headers.append(name, listedValue(value));
      else if (!name.startsWith(":")) headers.append(name, value);
    }
    return headers;
  });
}

/** What the platform's classes refuse is the client's fault. */
function orBadRequest<T>(target: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (error instanceof TypeError) throw badRequest(target);
    throw error;
  }
}

function bodyStream(source: Readable): ReadableStream<Uint8Array> {
  // What still comes after a cancel is thrown away.
  const cancel = (): void => void source.resume();
  return readableOf(source, { closedEarly: new Error("The client went away"), cancel });
}
