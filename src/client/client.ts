/**
 * List, get, write, watch: in process (calls the API pipeline, `api/local-client.ts`) or remote
 * (HTTP, `client/http-client.ts`). All methods throw `ApiError` with the server's reason.
 */
import type { KubeObject } from "../schema/object.ts";

/** Identifies a resource on the API; `T` is its wire type. Constants are in `resources.ts`. */
export interface Resource<T extends KubeObject> {
  /** "" is the core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
  /** Never set: carries the type. */
  readonly type?: T;
}

export interface ListOptions {
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly limit?: number;
  readonly continue?: string;
  readonly resourceVersion?: string;
}
export interface ListResult<T> {
  readonly items: readonly T[];
  readonly resourceVersion: string;
  readonly continue: string;
}
export type WatchEvent<T> =
  | { readonly type: "ADDED" | "MODIFIED" | "DELETED"; readonly object: T }
  /** `object` carries only metadata.resourceVersion (and the initial-events-end annotation). */
  | { readonly type: "BOOKMARK"; readonly object: T };

export interface GetOptions {
  /** "scale" or "status"; what comes back is then of that kind. */
  readonly subresource?: string;
  /** More of the request's query. */
  readonly query?: Readonly<Record<string, string>>;
}
export interface DeleteOptions {
  readonly propagationPolicy?: "Background" | "Foreground" | "Orphan";
  readonly gracePeriodSeconds?: number;
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
}
export type PatchType = "json" | "merge" | "strategic" | "apply";
export interface WriteOptions {
  /** "status", "scale", "binding", "eviction", "token", "finalize", ... */
  readonly subresource?: string;
  readonly fieldManager?: string;
  readonly force?: boolean;
}

export interface Client {
  get<T extends KubeObject>(
    resource: Resource<T>,
    namespace: string,
    name: string,
    options?: GetOptions,
  ): Promise<T>;
  /** `namespace` "" lists all namespaces. */
  list<T extends KubeObject>(
    resource: Resource<T>,
    namespace: string,
    options?: ListOptions,
  ): Promise<ListResult<T>>;
  create<T extends KubeObject>(
    resource: Resource<T>,
    object: T,
    options?: WriteOptions,
  ): Promise<T>;
  /** POSTs `body` to a subresource of a named object (binding, token); answers its object. */
  createSubresource<R>(
    resource: Resource<KubeObject>,
    namespace: string,
    name: string,
    subresource: string,
    body: unknown,
  ): Promise<R>;
  /** Optimistic: fails with Conflict unless metadata.resourceVersion is current (when set). */
  update<T extends KubeObject>(
    resource: Resource<T>,
    object: T,
    options?: WriteOptions,
  ): Promise<T>;
  patch<T extends KubeObject>(
    resource: Resource<T>,
    namespace: string,
    name: string,
    type: PatchType,
    body: unknown,
    options?: WriteOptions,
  ): Promise<T>;
  delete(
    resource: Resource<KubeObject>,
    namespace: string,
    name: string,
    options?: DeleteOptions,
  ): Promise<void>;
  /** Ends when `signal` aborts or the server closes; throws ApiError (Expired when too old). */
  watch<T extends KubeObject>(
    resource: Resource<T>,
    namespace: string,
    options: ListOptions & { readonly resourceVersion: string },
    signal: AbortSignal,
  ): AsyncIterable<WatchEvent<T>>;
  /** The same client acting as another user (controllers act as their own service accounts). */
  as(userName: string, groups: readonly string[]): Client;
}
