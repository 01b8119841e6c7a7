/** The Client of everything that runs in the server's own process: no HTTP, no JSON between. */
import type {
  Client,
  DeleteOptions,
  GetOptions,
  ListOptions,
  PatchType,
  Resource,
  WatchEvent,
  WriteOptions,
} from "../client/client.ts";
import { apiVersionOf, patchTypes } from "../client/request-form.ts";
import { ApiError } from "../lib/api-error.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { copyJson } from "../schema/copy.ts";
import type { KubeObject } from "../schema/object.ts";
import type { Pipeline } from "./pipeline.ts";
import type { ApiRequest, RequestVerb, User } from "./request.ts";
import type { WatchSink } from "./watch.ts";

const never = new AbortController().signal;

export function createLocalClient(pipeline: Pipeline, user: User, runtime: Runtime): Client {
  return new LocalClient(pipeline, user, runtime);
}

interface Ask {
  readonly namespace?: string;
  readonly name?: string;
  readonly subresource?: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly body?: unknown;
  readonly contentType?: string;
  readonly signal?: AbortSignal;
}

class LocalClient implements Client {
  constructor(
    private readonly pipeline: Pipeline,
    private readonly user: User,
    private readonly runtime: Runtime,
  ) {}

  async get<T extends KubeObject>(
    resource: Resource<T>,
    namespace: string,
    name: string,
    options: GetOptions = {},
  ): Promise<T> {
    return this.#ask<T>(resource, "get", { namespace, name, ...options });
  }

  async list<T extends KubeObject>(
    resource: Resource<T>,
    namespace: string,
    options: ListOptions = {},
  ) {
    const query = { ...listQuery(options) };
    const list = await this.#ask<ListObject<T>>(resource, "list", { namespace, query });
    const identity = { apiVersion: apiVersionOf(resource), kind: resource.kind };
    return {
      items: list.items.map((item) => ({ ...identity, ...copyJson<T>(item) })),
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
    return this.#ask<T>(resource, "create", {
      namespace,
      name: subresource === "" ? "" : name,
      subresource,
      query: writeQuery(options),
      body: object,
    });
  }

  async createSubresource<R>(
    resource: Resource<KubeObject>,
    namespace: string,
    name: string,
    subresource: string,
    body: unknown,
  ): Promise<R> {
    return this.#ask<R>(resource, "create", { namespace, name, subresource, body });
  }

  async update<T extends KubeObject>(
    resource: Resource<T>,
    object: T,
    options: WriteOptions = {},
  ): Promise<T> {
    const { namespace = "", name = "" } = object.metadata;
    const { subresource = "" } = options;
    const query = writeQuery(options);
    return this.#ask<T>(resource, "update", { namespace, name, subresource, query, body: object });
  }

  async patch<T extends KubeObject>(
    resource: Resource<T>,
    namespace: string,
    name: string,
    type: PatchType,
    body: unknown,
    options: WriteOptions = {},
  ): Promise<T> {
    const { subresource = "" } = options;
    const query = writeQuery(options);
    const contentType = patchTypes[type];
    const ask = { namespace, name, subresource, query, body, contentType };
    return this.#ask<T>(resource, "patch", ask);
  }

  async delete(
    resource: Resource<KubeObject>,
    namespace: string,
    name: string,
    options: DeleteOptions = {},
  ): Promise<void> {
    await this.#ask(resource, "delete", { namespace, name, body: options });
  }

  async *watch<T extends KubeObject>(
    resource: Resource<T>,
    namespace: string,
    options: ListOptions & { readonly resourceVersion: string },
    signal: AbortSignal,
  ): AsyncIterable<WatchEvent<T>> {
    const stopped = new AbortController();
    const query = { ...listQuery(options), allowWatchBookmarks: "true" };
    const both = AbortSignal.any([signal, stopped.signal]);
    const request = this.#request(resource, "watch", { namespace, query, signal: both });
    const sink = new QueueSink<T>();
    try {
      await this.pipeline.watch(request, sink);
      for (;;) {
        const events = await sink.take();
        if (events === "end") return;
        yield* events;
      }
    } finally {
      stopped.abort();
    }
  }

  as(userName: string, groups: readonly string[]): Client {
    const user = {
      name: userName,
      uid: "",
      groups: [...groups, "system:authenticated"],
      extra: {},
    };
    return new LocalClient(this.pipeline, user, this.runtime);
  }

  async #ask<T>(resource: Resource<KubeObject>, verb: RequestVerb, ask: Ask): Promise<T> {
    const answer = await this.pipeline.handle(this.#request(resource, verb, ask));
    if (answer.type === "object") return answer.object as unknown as T;
    throw new ApiError("InternalError", "the answer is no object", { code: 500 });
  }

  #request(resource: Resource<KubeObject>, verb: RequestVerb, ask: Ask): ApiRequest {
    const { group, version, plural } = resource;
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(ask.query ?? {})) {
      if (value !== undefined) query.set(name, value);
    }
    return {
      verb,
      resource: { group, version, plural },
      subresource: ask.subresource ?? "",
      namespace: resource.namespaced ? (ask.namespace ?? "") : "",
      name: ask.name ?? "",
      rest: "",
      method: "",
      query,
      accept: "",
      userAgent: "k3",
      user: this.user,
      body: ask.body as KubeObject | undefined,
      contentType: ask.contentType ?? "application/json",
      signal: ask.signal ?? never,
    };
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
  return {
    fieldValidation: "Ignore",
    fieldManager: options.fieldManager,
    ...(options.force === undefined ? {} : { force: String(options.force) }),
  };
}

/** Gathers events until the reader takes them. */
class QueueSink<T extends KubeObject> implements WatchSink {
  #events: WatchEvent<T>[] = [];
  #failure: ApiError | undefined;
  #ended = false;
  #wake: (() => void) | undefined;
  #taken: (() => void) | undefined;

  event(...[type, object, asOf]: Parameters<WatchSink["event"]>): void {
    const copy = copyJson<KubeObject>(object.object as KubeObject);
    if (asOf !== undefined) copy.metadata.resourceVersion = String(asOf);
    this.#events.push({ type, object: copy as T });
    this.#wake?.();
  }

  bookmark(object: KubeObject): void {
    this.#events.push({ type: "BOOKMARK", object: object as T });
    this.#wake?.();
  }

  async room(): Promise<void> {
    while (this.#events.length > 0 && !this.#ended) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#taken = resolve;
      await promise;
    }
  }

  fail(error: ApiError): void {
    this.#failure = error;
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
    this.#taken?.();
  }

  async take(): Promise<readonly WatchEvent<T>[] | "end"> {
    while (this.#events.length === 0) {
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#ended) return "end";
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
      this.#wake = undefined;
    }
    const events = this.#events;
    this.#events = [];
    this.#taken?.();
    return events;
  }
}
