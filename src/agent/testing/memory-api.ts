/** An API in memory for tests of the agent: enough of `Client` and `LiveSets` to run pods. */
import type {
  Client,
  DeleteOptions,
  ListResult,
  PatchType,
  Resource,
  WriteOptions,
} from "../../client/client.ts";
import { ApiError } from "../../lib/api-error.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { EventRecorder } from "../../live/events.ts";
import type { LiveChange, LiveObject, LiveSet, LiveSets } from "../../live/live-set.ts";
import type { KubeObject } from "../../schema/object.ts";

type Json = Record<string, unknown>;
type Listener = (change: LiveChange<KubeObject>) => void;

function isMap(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A merge patch with the two strategic rules that agents rely on. */
function merge(target: unknown, patch: unknown): unknown {
  if (Array.isArray(patch)) {
    if (patch.some((entry) => isMap(entry) && entry.$patch === "replace")) {
      return patch.filter((entry) => !(isMap(entry) && "$patch" in entry));
    }
    const typed = patch.length > 0 && patch.every((entry) => isMap(entry) && "type" in entry);
    if (!typed || !Array.isArray(target)) return patch;
    const kept = target.filter((old) => !patch.some((entry) => entry.type === old.type));
    return [...kept, ...patch.map((entry) => merge({}, entry))];
  }
  if (!isMap(patch)) return patch;
  const result: Json = isMap(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = merge(result[key], value);
  }
  return result;
}

export class MemoryApi implements Client, LiveSets {
  readonly events: { readonly reason: string; readonly message: string }[] = [];
  readonly #objects = new Map<string, Map<string, LiveObject<KubeObject>>>();
  readonly #listeners = new Map<string, Set<Listener>>();
  #revision = 1;

  readonly recorder: EventRecorder = {
    event: (_about, _type, reason, message) => void this.events.push({ reason, message }),
  };

  async get<T extends KubeObject>(
    resource: Resource<T>,
    namespace: string,
    name: string,
  ): Promise<T> {
    const found = this.#table(resource).get(this.#key(namespace, name));
    if (found === undefined) throw this.#notFound(resource, name);
    return found.object as unknown as T;
  }

  async list<T extends KubeObject>(resource: Resource<T>): Promise<ListResult<T>> {
    const items = [...this.#table(resource).values()].map((entry) => entry.object as unknown as T);
    return { items, resourceVersion: `${this.#revision}`, continue: "" };
  }

  async create<T extends KubeObject>(resource: Resource<T>, object: T): Promise<T> {
    const { namespace = "", name = "" } = object.metadata;
    const key = this.#key(namespace, name);
    if (this.#table(resource).has(key)) throw new ApiError("AlreadyExists", `${name} exists`);
    return this.#put(resource, key, {
      ...object,
      metadata: { generation: 1, uid: `uid-${name}-${this.#revision}`, ...object.metadata },
    });
  }

  async createSubresource<R>(): Promise<R> {
    const expirationTimestamp = "2099-01-01T00:00:00Z";
    return { status: { token: "token", expirationTimestamp } } as R;
  }

  async update<T extends KubeObject>(resource: Resource<T>, object: T): Promise<T> {
    const { namespace = "", name = "" } = object.metadata;
    return this.#put(resource, this.#key(namespace, name), object);
  }

  async patch<T extends KubeObject>(
    resource: Resource<T>,
    namespace: string,
    name: string,
    _type: PatchType,
    body: unknown,
    _options?: WriteOptions,
  ): Promise<T> {
    const before = await this.get(resource, namespace, name);
    return this.#put(resource, this.#key(namespace, name), merge(before, body) as T);
  }

  /** A graceful deletion marks the object, as the API does for pods; 0 removes it. */
  async delete(
    resource: Resource<KubeObject>,
    namespace: string,
    name: string,
    options: DeleteOptions = {},
  ): Promise<void> {
    const before = await this.get(resource, namespace, name);
    const key = this.#key(namespace, name);
    const grace = options.gracePeriodSeconds;
    if (grace !== undefined && grace > 0) {
      const deletionTimestamp = new Date().toISOString();
      const metadata = { ...before.metadata, deletionTimestamp, deletionGracePeriodSeconds: grace };
      this.#put(resource, key, { ...before, metadata });
      return;
    }
    const entry = this.#table(resource).get(key);
    this.#table(resource).delete(key);
    if (entry !== undefined) this.#tell(resource, { type: "deleted", now: entry, before: entry });
  }

  watch(): AsyncIterable<never> {
    throw new Error("Cannot watch here: use the live sets");
  }

  as(): Client {
    return this;
  }

  of<T extends KubeObject>(resource: Resource<T>): LiveSet<T> {
    const table = this.#table(resource);
    const listeners = this.#listenersOf(resource);
    const live = {
      revision: 0,
      ready: async () => {},
      reached: async () => {},
      get: (key: string) => table.get(key),
      list: () => table.values(),
      by: () => [],
      addIndex: () => {},
      since: () => "too-old" as const,
      subscribe: (listener: Listener) => {
        listeners.add(listener);
        return { [Symbol.dispose]: () => void listeners.delete(listener) };
      },
    };
    return live as unknown as LiveSet<T>;
  }

  #put<T extends KubeObject>(resource: Resource<T>, key: string, object: T): T {
    this.#revision += 1;
    const resourceVersion = `${this.#revision}`;
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion } };
    const before = this.#table(resource).get(key);
    const now = {
      key,
      revision: this.#revision,
      object: stored as DeepReadonly<KubeObject>,
      labels: stored.metadata.labels,
      json: () => new TextEncoder().encode(JSON.stringify(stored)),
    };
    this.#table(resource).set(key, now);
    this.#tell(resource, { type: before === undefined ? "added" : "modified", now, before });
    return stored;
  }

  #tell(resource: Resource<KubeObject>, change: LiveChange<KubeObject>): void {
    for (const listener of this.#listenersOf(resource)) listener(change);
  }

  #key(namespace: string, name: string): string {
    return namespace === "" ? name : `${namespace}/${name}`;
  }

  #table(resource: Resource<KubeObject>): Map<string, LiveObject<KubeObject>> {
    const table = this.#objects.get(resource.plural) ?? new Map();
    this.#objects.set(resource.plural, table);
    return table;
  }

  #listenersOf(resource: Resource<KubeObject>): Set<Listener> {
    const listeners = this.#listeners.get(resource.plural) ?? new Set();
    this.#listeners.set(resource.plural, listeners);
    return listeners;
  }

  #notFound(resource: Resource<KubeObject>, name: string): ApiError {
    return new ApiError("NotFound", `${resource.plural} "${name}" not found`);
  }
}
