/**
 * The garbage collector: deletes what lost its last owner, holds owners back while dependents
 * that block them exist (foreground), cuts dependents loose (orphan).
 */
import type { Resource } from "../../client/client.ts";
import type { OwnerReference } from "../../gen/meta-v1.ts";
import { isReason } from "../../lib/api-error.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import {
  type Controller,
  type ControllerContext,
  type Outcome,
  watchRule,
} from "../../live/controller.ts";
import type { LiveChange, LiveSet } from "../../live/live-set.ts";
import type { KubeObject } from "../../schema/object.ts";
import { isDeleting } from "../objects.ts";
import {
  blocks,
  type Dependents,
  foregroundFinalizer,
  type OwnerState,
  orphanFinalizer,
  planGarbage,
} from "./plan.ts";

export interface GarbageOptions {
  /** Built-in resources that can be listed, watched and deleted. */
  readonly collectable: readonly Resource<KubeObject>[];
  /** Custom resources at the moment; asked again every few seconds. */
  readonly customResources?: () => readonly Resource<KubeObject>[];
}

type LiveKube = DeepReadonly<KubeObject>;
type LiveOwner = DeepReadonly<OwnerReference>;

interface Item {
  readonly resource: Resource<KubeObject>;
  readonly object: LiveKube;
}

const byOwner = "ownerUid";
const customKey = "custom-resources";
const customMs = 1_000;

/** Creates the garbage collector; its keys are `resource.group|key of the object`. */
export function createGarbageCollector(
  context: ControllerContext,
  options: GarbageOptions,
): Controller {
  const collector = new Collector(context, options);
  return {
    name: "garbage-collector",
    concurrent: 20,
    watches: options.collectable.map((resource) => {
      collector.know(resource);
      return watchRule(resource, (change) => collector.keysOf(resource, change));
    }),
    ...(options.customResources === undefined ? {} : { initialKeys: [customKey] }),
    reconcile: (key) => collector.reconcile(key),
  };
}

function idOf(resource: Resource<KubeObject>): string {
  return `${resource.plural}.${resource.group}`;
}

class Collector {
  readonly #context: ControllerContext;
  readonly #options: GarbageOptions;
  readonly #known = new Map<string, Resource<KubeObject>>();
  readonly #custom = new Map<string, Disposable>();
  /** Keys that custom resources' changes woke. */
  readonly #pending = new Set<string>();

  constructor(context: ControllerContext, options: GarbageOptions) {
    this.#context = context;
    this.#options = options;
  }

  know(resource: Resource<KubeObject>): LiveSet<KubeObject> {
    this.#known.set(idOf(resource), resource);
    const set = this.#context.live.of(resource);
    set.addIndex(byOwner, ({ metadata }) => (metadata.ownerReferences ?? []).map(({ uid }) => uid));
    return set;
  }

  *keysOf(resource: Resource<KubeObject>, change: LiveChange<KubeObject>): Iterable<string> {
    const { object, key } = change.now;
    const { metadata } = object;
    if (change.type === "deleted") {
      for (const item of this.#dependents(metadata.uid ?? "")) yield this.#keyOf(item);
    } else if ((metadata.ownerReferences ?? []).length > 0 || isHeld(object)) {
      yield `${idOf(resource)}|${key}`;
    }
    // An owner that waits looks again when a dependent goes or stops to block.
    for (const owner of change.before?.object.metadata.ownerReferences ?? []) {
      const found = this.#find(owner, metadata.namespace ?? "");
      if (found !== undefined && isDeleting(found.object)) yield this.#keyOf(found);
    }
  }

  async reconcile(key: string): Promise<Outcome> {
    if (key === customKey) return await this.#lookAfterCustomResources();
    const [id = "", objectKey = ""] = key.split("|");
    const resource = this.#known.get(id);
    const object = resource && this.#context.live.of(resource).get(objectKey)?.object;
    if (resource === undefined || object === undefined) return "done";
    const item = { resource, object };
    if (isDeleting(object)) await this.#release(item);
    else await this.#collect(item);
    return "done";
  }

  #keyOf({ resource, object }: Item): string {
    const { namespace, name = "" } = object.metadata;
    return `${idOf(resource)}|${namespace ? `${namespace}/${name}` : name}`;
  }

  *#dependents(uid: string): Iterable<Item> {
    for (const resource of this.#known.values()) {
      for (const { object } of this.#context.live.of(resource).by(byOwner, uid)) {
        yield { resource, object };
      }
    }
  }

  #resourceOf(owner: LiveOwner): Resource<KubeObject> | undefined {
    const slash = owner.apiVersion.indexOf("/");
    const group = slash < 0 ? "" : owner.apiVersion.slice(0, slash);
    for (const resource of this.#known.values()) {
      if (resource.kind === owner.kind && resource.group === group) return resource;
    }
    return undefined;
  }

  #find(owner: LiveOwner, namespace: string): Item | undefined {
    const resource = this.#resourceOf(owner);
    if (resource === undefined) return undefined;
    const key = resource.namespaced ? `${namespace}/${owner.name}` : owner.name;
    const object = this.#context.live.of(resource).get(key)?.object;
    return object?.metadata.uid === owner.uid ? { resource, object } : undefined;
  }

  /** What the live set does not show is asked of the API itself: deleting needs certainty. */
  async #stateOf(owner: LiveOwner, dependent: LiveKube): Promise<OwnerState> {
    const { namespace = "" } = dependent.metadata;
    const resource = this.#resourceOf(owner);
    // A kind nobody serves (yet) cannot be proven absent.
    if (resource === undefined) return "solid";
    let object: LiveKube | undefined = this.#find(owner, namespace)?.object;
    if (object === undefined) {
      if (resource.namespaced && namespace === "") {
        this.#tellUnresolvable(dependent, owner);
        return "solid";
      }
      try {
        object = await this.#context.client.get(
          resource,
          resource.namespaced ? namespace : "",
          owner.name,
        );
      } catch (error) {
        if (isReason(error, "NotFound")) return "absent";
        throw error;
      }
    }
    if (object.metadata.uid !== owner.uid) return "absent";
    const isWaiting =
      isDeleting(object) && object.metadata.finalizers?.includes(foregroundFinalizer) === true;
    return isWaiting ? "waiting" : "solid";
  }

  /** No namespace, so no owner to look for: such an object is never collected. */
  #tellUnresolvable(dependent: LiveKube, { apiVersion, kind, name, uid }: LiveOwner): void {
    const reference = `${apiVersion}/${kind}, namespace: , name: ${name}, uid: ${uid}`;
    const message = `ownerRef [${reference}] does not exist in namespace ""`;
    this.#context.events.event(dependent, "Warning", "OwnerRefInvalidNamespace", message);
  }

  async #collect(item: Item): Promise<void> {
    const { resource, object } = item;
    const { namespace = "", name = "", uid, resourceVersion } = object.metadata;
    const owners: (readonly [LiveOwner, OwnerState])[] = [];
    for (const owner of object.metadata.ownerReferences ?? []) {
      owners.push([owner, await this.#stateOf(owner, object)]);
    }
    const step = planGarbage(object, owners, this.#dependentsState(uid ?? ""));
    if (step.do === "nothing") return;
    await ignoreGone(async () => {
      if (step.do === "forget") {
        await this.#patch(item, { ownerReferences: step.ownerReferences });
        return;
      }
      // Unblocking changes the version: what the owners are was just looked at.
      const isSame = step.unblocks === true ? {} : { resourceVersion: resourceVersion ?? "" };
      if (step.unblocks === true) await this.#unblock(item);
      await this.#context.client.delete(resource, namespace, name, {
        propagationPolicy: step.policy,
        preconditions: { ...(uid === undefined ? {} : { uid }), ...isSame },
      });
    });
  }

  #dependentsState(uid: string): Dependents {
    let state: Dependents = "none";
    for (const { object } of this.#dependents(uid)) {
      const isWaiting =
        isDeleting(object) && object.metadata.finalizers?.includes(foregroundFinalizer) === true;
      if (isWaiting) return "waiting";
      state = "some";
    }
    return state;
  }

  async #unblock(item: Item): Promise<void> {
    const ownerReferences = (item.object.metadata.ownerReferences ?? []).map((owner) => ({
      ...owner,
      blockOwnerDeletion: false,
    }));
    await this.#patch(item, { ownerReferences });
  }

  /** Does what the finalizers of a deleted object ask for, then takes them off. */
  async #release(item: Item): Promise<void> {
    const { object } = item;
    const uid = object.metadata.uid ?? "";
    const finalizers = object.metadata.finalizers ?? [];
    const dependents = [...this.#dependents(uid)];
    if (finalizers.includes(orphanFinalizer)) {
      for (const dependent of dependents) {
        const ownerReferences = (dependent.object.metadata.ownerReferences ?? []).filter(
          (owner) => owner.uid !== uid,
        );
        await ignoreGone(() => this.#patch(dependent, { ownerReferences }));
      }
      await this.#removeFinalizer(item, orphanFinalizer);
      return;
    }
    if (!finalizers.includes(foregroundFinalizer)) return;
    for (const dependent of dependents) {
      if (!isDeleting(dependent.object)) await this.#collect(dependent);
    }
    const isBlocked = [...this.#dependents(uid)].some(({ object: dependent }) =>
      blocks(dependent, uid),
    );
    if (!isBlocked) await this.#removeFinalizer(item, foregroundFinalizer);
  }

  async #removeFinalizer(item: Item, finalizer: string): Promise<void> {
    const finalizers = (item.object.metadata.finalizers ?? []).filter((name) => name !== finalizer);
    await ignoreGone(() => this.#patch(item, { finalizers }));
  }

  async #patch({ resource, object }: Item, metadata: object): Promise<void> {
    const { namespace = "", name = "", uid, resourceVersion } = object.metadata;
    await this.#context.client.patch(resource, namespace, name, "merge", {
      metadata: { ...metadata, uid, resourceVersion },
    });
  }

  /** Follows custom resources as they come and go; their keys are reconciled here. */
  async #lookAfterCustomResources(): Promise<Outcome> {
    const current = new Map(
      (this.#options.customResources?.() ?? []).map((resource) => [idOf(resource), resource]),
    );
    for (const [id, subscription] of this.#custom) {
      if (current.has(id)) continue;
      subscription[Symbol.dispose]();
      this.#custom.delete(id);
      this.#known.delete(id);
    }
    for (const [id, resource] of current) {
      if (this.#custom.has(id)) continue;
      const set = this.know(resource);
      const note = (change: LiveChange<KubeObject>) => {
        for (const key of this.keysOf(resource, change)) this.#pending.add(key);
      };
      for (const now of set.list()) note({ type: "added", now, before: undefined });
      this.#custom.set(id, set.subscribe(note));
    }
    for (const key of [...this.#pending]) {
      this.#pending.delete(key);
      try {
        await this.reconcile(key);
      } catch (error) {
        this.#pending.add(key);
        this.#context.runtime.log.warn("Cannot collect garbage", { key, error });
      }
    }
    return { againInMs: customMs };
  }
}

function isHeld({ metadata }: LiveKube): boolean {
  if (metadata.deletionTimestamp === undefined) return false;
  const finalizers = metadata.finalizers ?? [];
  return finalizers.includes(foregroundFinalizer) || finalizers.includes(orphanFinalizer);
}

async function ignoreGone(write: () => Promise<void>): Promise<void> {
  try {
    await write();
  } catch (error) {
    if (!isReason(error, "NotFound")) throw error;
  }
}
