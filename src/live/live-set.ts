/**
 * The current objects of one resource plus their recent changes. The API's watch cache, every
 * informer and every lister are this one thing. Keys are `namespace/name` or `name`.
 */
import type { Resource } from "../client/client.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import type { KubeObject } from "../schema/object.ts";
import type { Revision } from "../store/store.ts";

export interface LiveObject<T> {
  readonly key: string;
  readonly revision: Revision;
  /** Parsed on first read, shared and never to be mutated (deep-frozen in tests). */
  readonly object: DeepReadonly<T>;
  /** The same as in `object`, which need not be kept parsed for them. */
  readonly labels: Readonly<Record<string, string>> | undefined;
  /** How much of the store it takes; absent for what was never stored here. */
  readonly storedBytes?: number;
  /** The wire bytes, resourceVersion spliced in, made once. */
  json(): Uint8Array;
}
export interface LiveChange<T> {
  readonly type: "added" | "modified" | "deleted";
  readonly now: LiveObject<T>;
  readonly before: LiveObject<T> | undefined;
}

export interface LiveSet<T> {
  readonly revision: Revision;
  /** Resolves when the first list is in. */
  ready(signal: AbortSignal): Promise<void>;
  reached(revision: Revision, signal: AbortSignal): Promise<void>;
  get(key: string): LiveObject<T> | undefined;
  /** In key order; `prefix` is `namespace/`. */
  list(prefix?: string): Iterable<LiveObject<T>>;
  /** Objects whose index `index` holds `value`; indexes are declared with `addIndex`. */
  by(index: string, value: string): Iterable<LiveObject<T>>;
  /** Declares an index; declaring the same name twice is fine and keeps the first. */
  addIndex(index: string, values: (object: DeepReadonly<T>) => readonly string[]): void;
  since(revision: Revision): readonly LiveChange<T>[] | "too-old";
  subscribe(onChange: (change: LiveChange<T>) => void): Disposable;
}

/** A label that objects have, with one of these values. */
export interface LabelWanted {
  readonly key: string;
  readonly values: readonly string[];
}

/** What all objects that are looked for have in common. */
export interface Wanted {
  /** `namespace/`, or "" for all. */
  readonly prefix: string;
  readonly label: LabelWanted | undefined;
  readonly field: { readonly path: string; readonly value: string } | undefined;
}

/** A LiveSet of many objects, in which some can be found without looking at all. */
export interface SearchableSet<T> extends LiveSet<T> {
  /** All objects that have this in common and maybe others of the prefix, in key order. */
  search(wanted: Wanted): readonly LiveObject<T>[];
}

/** Hands out the LiveSet of a resource: the server's watch caches, or an agent's HTTP-fed ones. */
export interface LiveSets {
  of<T extends KubeObject>(
    resource: Resource<T>,
    options?: { readonly fieldSelector?: string },
  ): LiveSet<T>;
}

export type FeedStep<T> =
  | {
      readonly type: "list";
      readonly objects: readonly LiveObject<T>[];
      readonly revision: Revision;
    }
  | {
      readonly type: "changes";
      readonly changes: readonly LiveChange<T>[];
      readonly revision: Revision;
    }
  | { readonly type: "bookmark"; readonly revision: Revision };
/** Where a LiveSet's contents come from: the store on a server, HTTP list and watch on an agent. */
export interface Feed<T> {
  follow(from: Revision | "list", signal: AbortSignal): AsyncIterable<FeedStep<T>>;
}
