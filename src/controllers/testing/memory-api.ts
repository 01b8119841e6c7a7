/** The parts of the API that controllers rely on, over plain maps: `World`'s inside. */
import type {
  Client,
  DeleteOptions,
  ListOptions,
  Resource,
  WriteOptions,
} from "../../client/client.ts";
import { ApiError } from "../../lib/api-error.ts";
import { matchesLabels, parseLabelSelector } from "../../lib/selector.ts";
import type { LiveSets } from "../../live/live-set.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { type KubeObject, keyOf } from "../../schema/object.ts";
import { MemorySet } from "./memory-set.ts";

type Full = KubeObject & { spec?: unknown; status?: unknown };

/** What a client asks for: what RBAC decides about. */
export interface MemoryRequest {
  readonly user: string;
  readonly verb: string;
  readonly resource: Resource<KubeObject>;
  readonly name: string;
  readonly subresource: string;
}

export function nameOf(resource: Resource<KubeObject>): string {
  return resource.group === "" ? resource.plural : `${resource.plural}.${resource.group}`;
}

export class MemoryApi {
  readonly #runtime: Runtime;
  readonly #sets = new Map<string, MemorySet<Full>>();
  #revision = 0;
  /** Makes the next matching write fail. */
  refuse:
    | ((verb: string, resource: string, object: KubeObject) => ApiError | undefined)
    | undefined;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  set<T extends KubeObject>(resource: Resource<T>): MemorySet<T> {
    const name = nameOf(resource);
    let set = this.#sets.get(name);
    if (set === undefined) {
      set = new MemorySet<Full>();
      this.#sets.set(name, set);
    }
    return set as unknown as MemorySet<T>;
  }

  readonly live: LiveSets = { of: (resource) => this.set(resource) };

  readonly client: Client = {
    get: async (resource, namespace, name, options) => {
      const object = this.#read(resource, namespace, name);
      return (options?.subresource === "scale" ? scaleOf(object) : object) as never;
    },
    list: async (resource, namespace, options) => this.#list(resource, namespace, options) as never,
    create: async (resource, object) => this.#create(resource, object) as never,
    createSubresource: async (resource, namespace, name, subresource, body) =>
      this.#subresource(resource, namespace, name, subresource, body) as never,
    update: async (resource, object, options) => this.#update(resource, object, options) as never,
    patch: async (resource, namespace, name, type, body, options) => {
      // What is applied here is all that its manager ever applies: it can be merged.
      if (type === "json") throw new Error(`No ${type} patches here`);
      const present = this.#read(resource, namespace, name);
      const patched = mergePatch(present, body, type === "strategic") as Full;
      if (patched.metadata.uid !== present.metadata.uid) throw conflict(resource, name);
      return this.#update(resource, patched, options) as never;
    },
    delete: async (resource, namespace, name, options) => {
      this.#delete(resource, namespace, name, options);
    },
    watch: () => {
      throw new Error("No watches here: use live sets");
    },
    as: (user) => this.#clientOf(user),
  };

  /** When set, clients of other users throw what it returns. */
  authorize: ((request: MemoryRequest) => ApiError | undefined) | undefined;

  #clientOf(user: string): Client {
    const { client } = this;
    const ask = (verb: string, resource: Resource<KubeObject>, name: string, subresource = "") => {
      const refused = this.authorize?.({ user, verb, resource, name, subresource });
      if (refused !== undefined) throw refused;
    };
    return {
      ...client,
      get: async (resource, namespace, name, options) => {
        ask("get", resource, name, options?.subresource);
        return await client.get(resource, namespace, name, options);
      },
      list: async (resource, namespace, options) => {
        ask("list", resource, "");
        return await client.list(resource, namespace, options);
      },
      create: async (resource, object, options) => {
        ask("create", resource, "", options?.subresource);
        return await client.create(resource, object, options);
      },
      createSubresource: async (resource, namespace, name, subresource, body) => {
        ask("create", resource, name, subresource);
        return await client.createSubresource(resource, namespace, name, subresource, body);
      },
      update: async (resource, object, options) => {
        ask("update", resource, object.metadata.name ?? "", options?.subresource);
        return await client.update(resource, object, options);
      },
      patch: async (resource, namespace, name, type, body, options) => {
        ask("patch", resource, name, options?.subresource);
        return await client.patch(resource, namespace, name, type, body, options);
      },
      delete: async (resource, namespace, name, options) => {
        ask("delete", resource, name);
        await client.delete(resource, namespace, name, options);
      },
    };
  }

  #read(resource: Resource<KubeObject>, namespace: string, name: string): Full {
    const key = namespace === "" ? name : `${namespace}/${name}`;
    const found = this.set(resource).get(key);
    if (found === undefined) {
      throw new ApiError("NotFound", `${nameOf(resource)} "${name}" not found`);
    }
    return structuredClone(found.object) as Full;
  }

  #list(resource: Resource<KubeObject>, namespace: string, options: ListOptions = {}) {
    const prefix = namespace === "" ? undefined : `${namespace}/`;
    const selector = parseLabelSelector(options.labelSelector ?? "");
    const items = Array.from(this.set(resource).list(prefix), ({ object }) => object)
      .filter((object) => matchesLabels(selector, object.metadata.labels))
      .map((object) => structuredClone(object));
    return { items, resourceVersion: String(this.#revision), continue: "" };
  }

  #create(resource: Resource<KubeObject>, object: Full): Full {
    const copy = structuredClone(object);
    const { random, clock } = this.#runtime;
    copy.metadata.name ??= `${copy.metadata.generateName ?? ""}${random.suffix(5)}`;
    const refused = this.refuse?.("create", nameOf(resource), copy);
    if (refused !== undefined) throw refused;
    if (this.set(resource).get(keyOf(copy)) !== undefined) {
      const text = `${nameOf(resource)} "${copy.metadata.name}" already exists`;
      throw new ApiError("AlreadyExists", text);
    }
    copy.metadata.uid = random.uuid();
    copy.metadata.creationTimestamp = `${clock.now().toISOString().slice(0, 19)}Z`;
    copy.metadata.generation = 1;
    if (resource.plural === "namespaces") copy.spec = { finalizers: ["kubernetes"] };
    if (resource.plural === "pods") copy.status ??= { phase: "Pending" };
    return this.#put(resource, copy);
  }

  #put(resource: Resource<KubeObject>, object: Full): Full {
    this.#revision += 1;
    object.metadata.resourceVersion = String(this.#revision);
    this.set(resource).put(object, this.#revision);
    return structuredClone(object);
  }

  #drop(resource: Resource<KubeObject>, object: Full): void {
    this.#revision += 1;
    this.set(resource).drop(keyOf(object), this.#revision);
  }

  #update(resource: Resource<KubeObject>, object: Full, options: WriteOptions = {}): Full {
    const { namespace = "", name = "", resourceVersion } = object.metadata;
    const present = this.#read(resource, namespace, name);
    const refused = this.refuse?.("update", nameOf(resource), object);
    if (refused !== undefined) throw refused;
    if (resourceVersion !== undefined && resourceVersion !== present.metadata.resourceVersion) {
      throw conflict(resource, name);
    }
    const next = structuredClone(present);
    if (options.subresource === "scale") {
      const { replicas } = object.spec as { replicas?: number };
      next.spec = { ...(next.spec as object), replicas };
      next.metadata.generation = (next.metadata.generation ?? 0) + 1;
    } else if (options.subresource === "status") {
      next.status = structuredClone(object.status);
    } else if (options.subresource === "finalize") {
      next.spec = structuredClone(object.spec);
    } else {
      const { uid, creationTimestamp, deletionTimestamp, generation } = present.metadata;
      const kept = { uid, creationTimestamp, deletionTimestamp, generation };
      Object.assign(next, structuredClone(object), { status: present.status });
      next.metadata = JSON.parse(JSON.stringify({ ...next.metadata, ...kept }));
      if (JSON.stringify(next.spec) !== JSON.stringify(present.spec)) {
        next.metadata.generation = (generation ?? 0) + 1;
      }
    }
    if (isOver(resource, next)) {
      this.#drop(resource, next);
      return next;
    }
    if (JSON.stringify(next) === JSON.stringify(present)) return present;
    return this.#put(resource, next);
  }

  #delete(
    resource: Resource<KubeObject>,
    namespace: string,
    name: string,
    options: DeleteOptions = {},
  ): void {
    const present = this.#read(resource, namespace, name);
    const { preconditions, propagationPolicy } = options;
    const isOther =
      (preconditions?.uid !== undefined && preconditions.uid !== present.metadata.uid) ||
      (preconditions?.resourceVersion !== undefined &&
        preconditions.resourceVersion !== present.metadata.resourceVersion);
    if (isOther) throw conflict(resource, name);
    const refused = this.refuse?.("delete", nameOf(resource), present);
    if (refused !== undefined) throw refused;
    const finalizers = new Set(present.metadata.finalizers ?? []);
    if (propagationPolicy === "Foreground") finalizers.add("foregroundDeletion");
    if (propagationPolicy === "Orphan") finalizers.add("orphan");
    if (finalizers.size > 0) present.metadata.finalizers = [...finalizers];
    const { status, spec } = present as {
      status?: { phase?: string };
      spec?: { nodeName?: string };
    };
    const isStopping =
      resource.plural === "pods" &&
      options.gracePeriodSeconds !== 0 &&
      spec?.nodeName !== undefined &&
      status?.phase !== "Succeeded" &&
      status?.phase !== "Failed";
    if (isStopping) present.metadata.deletionGracePeriodSeconds ??= 30;
    if (options.gracePeriodSeconds === 0) present.metadata.deletionGracePeriodSeconds = 0;
    const now = this.#runtime.clock.now().toISOString().slice(0, 19);
    const isNew = present.metadata.deletionTimestamp === undefined;
    present.metadata.deletionTimestamp ??= `${now}Z`;
    if (!isStopping && isOver(resource, present)) this.#drop(resource, present);
    else if (isNew || finalizers.size > 0) this.#put(resource, present);
  }

  #subresource(
    resource: Resource<KubeObject>,
    namespace: string,
    name: string,
    subresource: string,
    body: unknown,
  ): unknown {
    if (subresource !== "binding") throw new Error(`No subresource ${subresource} here`);
    const pod = this.#read(resource, namespace, name) as Full & {
      spec: { nodeName?: string };
      status?: { conditions?: unknown[] };
    };
    const { target } = body as { target: { name: string } };
    if (pod.spec.nodeName) {
      throw new ApiError(
        "Conflict",
        `pod ${name} is already assigned to node "${pod.spec.nodeName}"`,
      );
    }
    pod.spec.nodeName = target.name;
    pod.status = { ...pod.status, conditions: [{ type: "PodScheduled", status: "True" }] };
    this.#put(resource, pod);
    return { kind: "Status", apiVersion: "v1", status: "Success" };
  }
}

/** The autoscaling/v1 Scale of a workload. */
function scaleOf({ metadata, spec, status }: Full): KubeObject {
  const { name, namespace, uid, resourceVersion } = metadata;
  const { replicas = 1, selector } = spec as {
    replicas?: number;
    selector?: { matchLabels?: Record<string, string> };
  };
  const terms = Object.entries(selector?.matchLabels ?? {}).map(
    ([key, value]) => `${key}=${value}`,
  );
  return {
    apiVersion: "autoscaling/v1",
    kind: "Scale",
    metadata: { name, namespace, uid, resourceVersion },
    spec: { replicas },
    status: {
      replicas: (status as { replicas?: number } | undefined)?.replicas ?? 0,
      selector: terms.join(","),
    },
  } as KubeObject;
}

function conflict(resource: Resource<KubeObject>, name: string): ApiError {
  const what = `${nameOf(resource)} "${name}"`;
  return new ApiError(
    "Conflict",
    `Operation cannot be fulfilled on ${what}: the object has been modified; ` +
      "please apply your changes to the latest version and try again",
  );
}

function isOver(resource: Resource<KubeObject>, object: Full): boolean {
  if (object.metadata.deletionTimestamp === undefined) return false;
  if ((object.metadata.finalizers ?? []).length > 0) return false;
  const spec = object.spec as { finalizers?: unknown[] } | undefined;
  if (resource.plural === "namespaces" && (spec?.finalizers ?? []).length > 0) return false;
  return !(resource.plural === "pods" && (object.metadata.deletionGracePeriodSeconds ?? 0) > 0);
}

/** RFC 7386; with `strategic`, lists of objects with `type` or `uid` merge by it. */
function mergePatch(target: unknown, patch: unknown, strategic: boolean): unknown {
  if (patch === null || typeof patch !== "object") return patch;
  if (Array.isArray(patch)) return strategic ? mergeLists(target, patch) : patch;
  const merged: Record<string, unknown> =
    target !== null && typeof target === "object" && !Array.isArray(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === undefined) continue;
    if (value === null) delete merged[key];
    else merged[key] = mergePatch(merged[key], value, strategic);
  }
  return merged;
}

function mergeLists(target: unknown, patch: readonly unknown[]): unknown[] {
  const merged: unknown[] = Array.isArray(target) ? [...target] : [];
  for (const item of patch) {
    const { type, uid } = item as { type?: string; uid?: string };
    const at = merged.findIndex((present) => {
      const other = present as { type?: string; uid?: string };
      return (
        (type !== undefined && other.type === type) || (uid !== undefined && other.uid === uid)
      );
    });
    if (at < 0) merged.push(item);
    else merged[at] = mergePatch(merged[at], item, true);
  }
  return merged;
}
