/** The Client of another process's API server: JSON over HTTP, watches line by line. */
import { ApiError, type StatusObject } from "../lib/api-error.ts";
import type { Runtime, TlsOptions } from "../runtime/runtime.ts";
import type { KubeObject } from "../schema/object.ts";
import type { Client, WatchEvent } from "./client.ts";
import { linesOf } from "./lines.ts";
import { type Ask, createRequestClient, type Transport } from "./request-client.ts";
import { pathOf } from "./request-form.ts";

const limits = { requestTimeoutMs: 60_000, retriesMax: 5, retryAfterSecondsMax: 30 } as const;

export interface HttpClientOptions {
  /** `https://127.0.0.1:6443`. */
  readonly server: string;
  /** PEM texts. */
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly token?: string;
  readonly runtime: Runtime;
  readonly userAgent?: string;
}

export function createHttpClient(options: HttpClientOptions): Client {
  return createRequestClient(new HttpTransport(options, {}));
}

const methods: Readonly<Record<Ask["verb"], string>> = {
  get: "GET",
  list: "GET",
  watch: "GET",
  create: "POST",
  update: "PUT",
  patch: "PATCH",
  delete: "DELETE",
};

class HttpTransport implements Transport {
  readonly #tls: TlsOptions;

  constructor(
    private readonly options: HttpClientOptions,
    /** Impersonation, when acting as somebody else. */
    private readonly identity: Readonly<Record<string, string | readonly string[]>>,
  ) {
    const { ca, cert, key } = options;
    this.#tls = {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
    };
  }

  async *watch<T extends KubeObject>(ask: Ask, signal: AbortSignal): AsyncIterable<WatchEvent<T>> {
    const query = { ...ask.query, watch: "true" };
    const stopped = new AbortController();
    const both = AbortSignal.any([signal, stopped.signal]);
    try {
      const response = await this.#send({ ...ask, query }, both);
      if (!response.ok) throw await errorOf(response);
      if (response.body === null) return;
      for await (const line of linesOf(response.body)) yield eventOf<T>(line);
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      stopped.abort();
    }
  }

  as(userName: string, groups: readonly string[]): Transport {
    const identity = { "impersonate-user": userName, "impersonate-group": groups };
    return new HttpTransport(this.options, identity);
  }

  /** Sends, and sends again when the server asks to wait; reads the whole answer. */
  async request<T>(ask: Ask): Promise<T> {
    const { clock } = this.options.runtime;
    for (let tries = 0; ; tries += 1) {
      const over = new AbortController();
      const timeout = clock.sleep(limits.requestTimeoutMs, over.signal).then(() => {
        if (!over.signal.aborted) over.abort(new Error("the server did not answer in time"));
      });
      try {
        const response = await this.#send(ask, over.signal);
        if (response.ok) return (await response.json()) as T;
        const seconds = Number(response.headers.get("retry-after") ?? "");
        const error = await errorOf(response);
        const mayRetry = tries < limits.retriesMax && seconds > 0;
        if (!mayRetry || (response.status !== 429 && response.status < 500)) throw error;
        const waitMs = Math.min(seconds, limits.retryAfterSecondsMax) * 1000;
        await clock.sleep(waitMs, over.signal);
      } finally {
        over.abort();
        await timeout;
      }
    }
  }

  #send(ask: Ask, signal: AbortSignal): Promise<Response> {
    const { server, token, runtime, userAgent = "k3" } = this.options;
    const url = new URL(pathOf(ask.resource, ask.namespace, ask.name, ask.subresource), server);
    for (const [name, value] of Object.entries(ask.query)) {
      if (value !== undefined) url.searchParams.set(name, value);
    }
    const headers = new Headers({ accept: "application/json", "user-agent": userAgent });
    if (token !== undefined) headers.set("authorization", `Bearer ${token}`);
    for (const [name, value] of Object.entries(this.identity)) {
      for (const one of typeof value === "string" ? [value] : value) headers.append(name, one);
    }
    const hasBody = ask.body !== undefined;
    if (hasBody) headers.set("content-type", ask.contentType ?? "application/json");
    const request = new Request(url, {
      method: methods[ask.verb],
      headers,
      signal,
      ...(hasBody ? { body: JSON.stringify(ask.body) } : {}),
    });
    return runtime.net.fetch(request, { tls: this.#tls });
  }
}

function eventOf<T>(line: string): WatchEvent<T> {
  const event = JSON.parse(line) as
    | WatchEvent<T>
    | { readonly type: "ERROR"; readonly object: StatusObject };
  if (event.type === "ERROR") throw ApiError.fromStatus(event.object, 500);
  return event;
}

/** The Status in a failed answer, or what its text tells. */
async function errorOf(response: Response): Promise<ApiError> {
  const text = await response.text();
  try {
    const status = JSON.parse(text) as StatusObject;
    if (status.kind === "Status") return ApiError.fromStatus(status, response.status);
  } catch (error) {
    // Proxies and unknown paths answer plain text.
    if (!(error instanceof SyntaxError)) throw error;
  }
  const message = text.trim().slice(0, 1000) || `the server answered ${response.status}`;
  if (response.status === 404) {
    return new ApiError("NotFound", "the server could not find the requested resource");
  }
  return new ApiError("", message, { code: response.status });
}
