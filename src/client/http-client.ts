/** The Client of another process's API server: JSON over HTTP, watches line by line. */
import { ApiError, type StatusObject } from "../lib/api-error.ts";
import type { Runtime, TlsOptions } from "../runtime/runtime.ts";
import type { KubeObject } from "../schema/object.ts";
import type {
  Client,
  DeleteOptions,
  GetOptions,
  ListOptions,
  ListResult,
  PatchType,
  Resource,
  WatchEvent,
  WriteOptions,
} from "./client.ts";
import { linesOf } from "./lines.ts";
import { apiVersionOf, patchTypes, pathOf } from "./request-form.ts";

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
  return new HttpClient(options, {});
}

interface Ask {
  readonly method: string;
  readonly path: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly body?: unknown;
  readonly contentType?: string;
  readonly signal?: AbortSignal;
}

class HttpClient implements Client {
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

  async get<T extends KubeObject>(
    resource: Resource<T>,
    namespace: string,
    name: string,
    options: GetOptions = {},
  ) {
    const path = pathOf(resource, namespace, name, options.subresource);
    const { query = {} } = options;
    return this.#json<T>({ method: "GET", path, query });
  }

  async list<T extends KubeObject>(
    resource: Resource<T>,
    namespace: string,
    options: ListOptions = {},
  ): Promise<ListResult<T>> {
    const path = pathOf(resource, namespace, "");
    const query = listQuery(options);
    const list = await this.#json<ListObject<T>>({ method: "GET", path, query });
    const identity = { apiVersion: apiVersionOf(resource), kind: resource.kind };
    return {
      items: list.items.map((item) => ({ ...identity, ...item })),
      resourceVersion: list.metadata.resourceVersion ?? "",
      continue: list.metadata.continue ?? "",
    };
  }

  async create<T extends KubeObject>(
    resource: Resource<T>,
    object: T,
    options: WriteOptions = {},
  ): Promise<T> {
    const { namespace = "", name = "" } = object.metadata;
    const { subresource = "" } = options;
    const path = pathOf(resource, namespace, subresource === "" ? "" : name, subresource);
    return this.#json<T>({ method: "POST", path, query: writeQuery(options), body: object });
  }

  async createSubresource<R>(
    ...[resource, namespace, name, subresource, body]: Parameters<Client["createSubresource"]>
  ): Promise<R> {
    const path = pathOf(resource, namespace, name, subresource);
    return this.#json<R>({ method: "POST", path, body });
  }

  async update<T extends KubeObject>(
    resource: Resource<T>,
    object: T,
    options: WriteOptions = {},
  ): Promise<T> {
    const { namespace = "", name = "" } = object.metadata;
    const path = pathOf(resource, namespace, name, options.subresource);
    return this.#json<T>({ method: "PUT", path, query: writeQuery(options), body: object });
  }

  async patch<T extends KubeObject>(
    resource: Resource<T>,
    namespace: string,
    name: string,
    type: PatchType,
    body: unknown,
    options: WriteOptions = {},
  ): Promise<T> {
    const path = pathOf(resource, namespace, name, options.subresource);
    const query = writeQuery(options);
    return this.#json<T>({ method: "PATCH", path, query, body, contentType: patchTypes[type] });
  }

  async delete(
    resource: Resource<KubeObject>,
    namespace: string,
    name: string,
    options: DeleteOptions = {},
  ): Promise<void> {
    const body = { kind: "DeleteOptions", apiVersion: "v1", ...options };
    await this.#json({ method: "DELETE", path: pathOf(resource, namespace, name), body });
  }

  async *watch<T extends KubeObject>(
    resource: Resource<T>,
    namespace: string,
    options: ListOptions & { readonly resourceVersion: string },
    signal: AbortSignal,
  ): AsyncIterable<WatchEvent<T>> {
    const path = pathOf(resource, namespace, "");
    const query = { ...listQuery(options), watch: "true", allowWatchBookmarks: "true" };
    const stopped = new AbortController();
    const both = AbortSignal.any([signal, stopped.signal]);
    try {
      const response = await this.#send({ method: "GET", path, query, signal: both });
      if (!response.ok) throw await errorOf(response);
      if (response.body === null) return;
      for await (const line of linesOf(response.body)) yield eventOf<T>(line);
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      stopped.abort();
    }
  }

  as(userName: string, groups: readonly string[]): Client {
    const identity = { "impersonate-user": userName, "impersonate-group": groups };
    return new HttpClient(this.options, identity);
  }

  /** Sends, and sends again when the server asks to wait; reads the whole answer. */
  async #json<T>(ask: Ask): Promise<T> {
    const { clock } = this.options.runtime;
    for (let tries = 0; ; tries += 1) {
      const over = new AbortController();
      const timeout = clock.sleep(limits.requestTimeoutMs, over.signal).then(() => {
        if (!over.signal.aborted) over.abort(new Error("the server did not answer in time"));
      });
      try {
        const response = await this.#send({ ...ask, signal: over.signal });
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

  #send(ask: Ask): Promise<Response> {
    const { server, token, runtime, userAgent = "k3" } = this.options;
    const url = new URL(ask.path, server);
    for (const [name, value] of Object.entries(ask.query ?? {})) {
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
      method: ask.method,
      headers,
      ...(hasBody ? { body: JSON.stringify(ask.body) } : {}),
      ...(ask.signal === undefined ? {} : { signal: ask.signal }),
    });
    return runtime.net.fetch(request, { tls: this.#tls });
  }
}

interface ListObject<T> {
  readonly items: readonly T[];
  readonly metadata: { readonly resourceVersion?: string; readonly continue?: string };
}

function listQuery(options: ListOptions): Record<string, string | undefined> {
  const { limit, ...texts } = options;
  return { ...texts, ...(limit === undefined ? {} : { limit: String(limit) }) };
}

function writeQuery(options: WriteOptions): Record<string, string | undefined> {
  const { fieldManager, force } = options;
  return { fieldManager, ...(force === undefined ? {} : { force: String(force) }) };
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
