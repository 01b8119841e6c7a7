/** The verbs of a Client as requests; a Transport carries them: by HTTP, or within the process. */
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
import { apiVersionOf, patchTypes } from "./request-form.ts";

/** One request on a resource. */
export interface Ask {
  readonly verb: "get" | "list" | "watch" | "create" | "update" | "patch" | "delete";
  readonly resource: Resource<KubeObject>;
  /** "" for all namespaces, and for what has none. */
  readonly namespace: string;
  /** "" for a collection. */
  readonly name: string;
  readonly subresource: string;
  readonly query: Readonly<Record<string, string | undefined>>;
  readonly body?: unknown;
  /** `application/json` unless told. */
  readonly contentType?: string;
}

/** How requests reach the API server. Both methods throw `ApiError` with the server's reason. */
export interface Transport {
  /** Answers the object of the reply, for the caller to keep. */
  request<T>(ask: Ask): Promise<T>;
  /** Ends when `signal` aborts or the server closes; leaving the loop early ends the watch. */
  watch<T extends KubeObject>(ask: Ask, signal: AbortSignal): AsyncIterable<WatchEvent<T>>;
  as(userName: string, groups: readonly string[]): Transport;
}

export function createRequestClient(transport: Transport): Client {
  return new RequestClient(transport);
}

class RequestClient implements Client {
  constructor(private readonly transport: Transport) {}

  get<T extends KubeObject>(
    resource: Resource<T>,
    namespace: string,
    name: string,
    options: GetOptions = {},
  ): Promise<T> {
    const { subresource = "", query = {} } = options;
    return this.transport.request({ verb: "get", resource, namespace, name, subresource, query });
  }

  async list<T extends KubeObject>(
    resource: Resource<T>,
    namespace: string,
    options: ListOptions = {},
  ): Promise<ListResult<T>> {
    const query = listQuery(options);
    const collection = { name: "", subresource: "" };
    const ask = { verb: "list", resource, namespace, query, ...collection } as const;
    const list = await this.transport.request<ListObject<T>>(ask);
    const identity = { apiVersion: apiVersionOf(resource), kind: resource.kind };
    return {
      items: list.items.map((item) => ({ ...identity, ...item })),
      resourceVersion: list.metadata.resourceVersion ?? "",
      continue: list.metadata.continue ?? "",
    };
  }

  create<T extends KubeObject>(
    resource: Resource<T>,
    object: T,
    options: WriteOptions = {},
  ): Promise<T> {
    const { subresource = "" } = options;
    const { namespace = "" } = object.metadata;
    const name = subresource === "" ? "" : (object.metadata.name ?? "");
    const query = writeQuery(options);
    const ask = { verb: "create", resource, namespace, name, subresource, query } as const;
    return this.transport.request({ ...ask, body: object });
  }

  createSubresource<R>(
    ...[resource, namespace, name, subresource, body]: Parameters<Client["createSubresource"]>
  ): Promise<R> {
    const ask = { verb: "create", resource, namespace, name, subresource } as const;
    return this.transport.request({ ...ask, query: {}, body });
  }

  update<T extends KubeObject>(
    resource: Resource<T>,
    object: T,
    options: WriteOptions = {},
  ): Promise<T> {
    const { namespace = "", name = "" } = object.metadata;
    const { subresource = "" } = options;
    const query = writeQuery(options);
    const ask = { verb: "update", resource, namespace, name, subresource, query } as const;
    return this.transport.request({ ...ask, body: object });
  }

  patch<T extends KubeObject>(
    resource: Resource<T>,
    namespace: string,
    name: string,
    type: PatchType,
    body: unknown,
    options: WriteOptions = {},
  ): Promise<T> {
    const { subresource = "" } = options;
    const query = writeQuery(options);
    const ask = { verb: "patch", resource, namespace, name, subresource, query } as const;
    return this.transport.request({ ...ask, body, contentType: patchTypes[type] });
  }

  async delete(
    resource: Resource<KubeObject>,
    namespace: string,
    name: string,
    options: DeleteOptions = {},
  ): Promise<void> {
    const body = { kind: "DeleteOptions", apiVersion: "v1", ...options };
    const ask = { verb: "delete", resource, namespace, name, subresource: "" } as const;
    await this.transport.request({ ...ask, query: {}, body });
  }

  watch<T extends KubeObject>(
    resource: Resource<T>,
    namespace: string,
    options: ListOptions & { readonly resourceVersion: string },
    signal: AbortSignal,
  ): AsyncIterable<WatchEvent<T>> {
    const query = { ...listQuery(options), allowWatchBookmarks: "true" };
    const collection = { name: "", subresource: "" };
    const ask = { verb: "watch", resource, namespace, query, ...collection } as const;
    return this.transport.watch<T>(ask, signal);
  }

  as(userName: string, groups: readonly string[]): Client {
    return new RequestClient(this.transport.as(userName, groups));
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
