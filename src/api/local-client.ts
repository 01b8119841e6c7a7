/** The Client of everything that runs in the server's own process: no HTTP, no JSON between. */
import type { Client, WatchEvent } from "../client/client.ts";
import { type Ask, createRequestClient, type Transport } from "../client/request-client.ts";
import { ApiError } from "../lib/api-error.ts";
import { copyJson } from "../schema/copy.ts";
import type { KubeObject } from "../schema/object.ts";
import type { Pipeline } from "./pipeline.ts";
import type { ApiRequest, User } from "./request.ts";
import type { WatchSink } from "./watch.ts";

const never = new AbortController().signal;

export function createLocalClient(pipeline: Pipeline, user: User): Client {
  return createRequestClient(createLocalTransport(pipeline, user));
}

export function createLocalTransport(pipeline: Pipeline, user: User): Transport {
  return new LocalTransport(pipeline, user);
}

class LocalTransport implements Transport {
  constructor(
    private readonly pipeline: Pipeline,
    private readonly user: User,
  ) {}

  async request<T>(ask: Ask): Promise<T> {
    const request = this.#requestOf(ask, never);
    const { auditor } = this.pipeline;
    const handle = (one: ApiRequest) => this.pipeline.handle(one);
    const answer = await (auditor?.record(request, handle) ?? handle(request));
    if (answer.type !== "object") {
      throw new ApiError("InternalError", "the answer is no object", { code: 500 });
    }
    // The items of a list are the ones that everybody sees; a single object is the asker's own.
    return (ask.verb === "list" ? copyJson(answer.object) : answer.object) as T;
  }

  async *watch<T extends KubeObject>(ask: Ask, signal: AbortSignal): AsyncIterable<WatchEvent<T>> {
    const stopped = new AbortController();
    const both = AbortSignal.any([signal, stopped.signal]);
    const sink = new QueueSink<T>();
    const request = this.#requestOf(ask, both);
    request.query.set("watch", "true");
    const audit = await this.pipeline.auditor?.called(request);
    try {
      await this.pipeline.watch({ ...request, audit }, sink);
      audit?.responseCode(200);
      await audit?.started();
      for (;;) {
        const events = await sink.take();
        if (events === "end") return;
        yield* events;
      }
    } catch (error) {
      if (error instanceof ApiError) audit?.failed(error);
      throw error;
    } finally {
      stopped.abort();
      await audit?.complete();
    }
  }

  as(userName: string, groups: readonly string[]): Transport {
    const user = {
      name: userName,
      uid: "",
      groups: [...groups, "system:authenticated"],
      extra: {},
    };
    return new LocalTransport(this.pipeline, user);
  }

  #requestOf(ask: Ask, signal: AbortSignal): ApiRequest {
    const { group, version, plural, namespaced } = ask.resource;
    // What the process itself writes is typed: no search for unknown fields.
    const query = new URLSearchParams({ fieldValidation: "Ignore" });
    for (const [name, value] of Object.entries(ask.query)) {
      if (value !== undefined) query.set(name, value);
    }
    return {
      verb: ask.verb,
      resource: { group, version, plural },
      subresource: ask.subresource,
      namespace: namespaced ? ask.namespace : "",
      name: ask.name,
      rest: "",
      method: "",
      query,
      accept: "",
      userAgent: "k3",
      user: this.user,
      body: ask.body as KubeObject | undefined,
      contentType: ask.contentType ?? "application/json",
      signal,
    };
  }
}

/** Gathers events until the reader takes them. */
class QueueSink<T extends KubeObject> implements WatchSink {
  #events: WatchEvent<T>[] = [];
  #failure: ApiError | undefined;
  #ended = false;
  #wake: (() => void) | undefined;
  #taken: (() => void) | undefined;

  together(work: () => void): void {
    work();
  }

  event(...[type, object]: Parameters<WatchSink["event"]>): number {
    const copy = copyJson<KubeObject>(object.object as KubeObject);
    this.#events.push({ type, object: copy as T });
    this.#wake?.();
    return 0;
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
