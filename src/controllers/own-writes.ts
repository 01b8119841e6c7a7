/**
 * Writes one resource and lets a reconcile wait until its LiveSet shows them: what upstream's
 * "expectations" are for, without their time-outs.
 */
import type { Client, DeleteOptions, Resource, WriteOptions } from "../client/client.ts";
import { isReason } from "../lib/api-error.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import type { LiveSet } from "../live/live-set.ts";
import { type KubeObject, keyOf } from "../schema/object.ts";

export class OwnWrites<T extends KubeObject> {
  readonly #client: Client;
  readonly #resource: Resource<T>;
  readonly #set: LiveSet<T>;
  /** The newest revision written; the LiveSet must reach it before a decision is made. */
  #revision = 0;
  /** uid to key of objects whose deletion was accepted but may not be seen yet. */
  readonly #deleted = new Map<string, string>();

  constructor(client: Client, resource: Resource<T>, set: LiveSet<T>) {
    this.#client = client;
    this.#resource = resource;
    this.#set = set;
  }

  /** Resolves when the LiveSet shows every earlier write of this controller. */
  async seen(signal: AbortSignal): Promise<void> {
    if (this.#set.revision < this.#revision) await this.#set.reached(this.#revision, signal);
    for (const [uid, key] of this.#deleted) {
      if (this.#set.get(key)?.object.metadata.uid !== uid) this.#deleted.delete(uid);
    }
  }

  /** True when this controller deleted the object, whatever the LiveSet still says. */
  isDeleted(object: DeepReadonly<KubeObject>): boolean {
    return this.#deleted.has(object.metadata.uid ?? "");
  }

  async create(object: T, options?: WriteOptions): Promise<T> {
    return this.#note(await this.#client.create(this.#resource, object, options));
  }

  async update(object: T, options?: WriteOptions): Promise<T> {
    return this.#note(await this.#client.update(this.#resource, object, options));
  }

  /** A JSON merge patch of `object`, made only when it is still the object that was looked at. */
  async merge(
    object: DeepReadonly<KubeObject>,
    patch: { readonly metadata?: object; readonly [field: string]: unknown },
    options?: WriteOptions,
  ): Promise<T> {
    const { namespace = "", name = "", uid, resourceVersion } = object.metadata;
    const body = { ...patch, metadata: { ...patch.metadata, uid, resourceVersion } };
    return this.#note(
      await this.#client.patch(this.#resource, namespace, name, "merge", body, options),
    );
  }

  /** Deletes exactly this object; that it is gone already is fine. */
  async delete(object: DeepReadonly<T>, options: DeleteOptions = {}): Promise<void> {
    const { namespace = "", name = "", uid = "" } = object.metadata;
    this.#deleted.set(uid, keyOf(object));
    try {
      await this.#client.delete(this.#resource, namespace, name, {
        ...options,
        preconditions: { uid, ...options.preconditions },
      });
    } catch (error) {
      if (isReason(error, "NotFound")) return;
      this.#deleted.delete(uid);
      throw error;
    }
  }

  #note(written: T): T {
    const revision = Number(written.metadata.resourceVersion ?? 0);
    if (revision > this.#revision) this.#revision = revision;
    return written;
  }
}
