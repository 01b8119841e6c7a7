/**
 * Runs the pods that lie on the node as files and keeps a mirror of each in the API, so that others
 * see them. The files alone decide: what is done to a mirror is undone.
 */
import type { Client } from "../../client/client.ts";
import { nodes, pods } from "../../client/resources.ts";
import type * as core from "../../gen/core-v1.ts";
import { isReason } from "../../lib/api-error.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { newRecord, type PodRecord } from "./pod-record.ts";
import { type Pod, podKey, uidOf } from "./types.ts";

const mirrorAnnotation = "kubernetes.io/config.mirror";
const limits = { retryMs: 1_000, graceSecondsDefault: 30 } as const;

export interface StaticPodsOptions {
  readonly runtime: Runtime;
  readonly client: Client;
  readonly nodeName: string;
  /** The pods of this node, by uid. */
  readonly records: Map<string, PodRecord>;
  readonly wake: (uid: string, afterMs: number) => void;
}

export class StaticPods {
  readonly #options: StaticPodsOptions;
  /** What the API shows, by namespace and name. */
  readonly #mirrors = new Map<string, Pod>();
  /** What the files say now, by uid. */
  #wanted: ReadonlyMap<string, Pod> = new Map();
  #isLoaded = false;

  constructor(options: StaticPodsOptions) {
    this.#options = options;
  }

  /** The files have been read: starts what is new and ends what is no longer there. */
  sync(found: readonly Pod[]): void {
    this.#wanted = new Map(found.map((pod) => [uidOf(pod), pod]));
    for (const record of this.#all()) {
      if (!this.#wanted.has(record.uid)) this.#end(record);
    }
    this.#startWanted();
    if (this.#isLoaded) return;
    this.#isLoaded = true;
    for (const mirror of this.#mirrors.values()) this.#adoptMirror(mirror);
  }

  /** True for a mirror, which is not run itself. */
  seen(pod: Pod): boolean {
    if (pod.metadata.annotations?.[mirrorAnnotation] === undefined) return false;
    this.#mirrors.set(podKey(pod), pod);
    if (this.#isLoaded) this.#adoptMirror(pod);
    return true;
  }

  /** True when the object that is gone was a mirror. */
  removed(pod: Pod): boolean {
    if (pod.metadata.annotations?.[mirrorAnnotation] === undefined) return false;
    const known = this.#mirrors.get(podKey(pod));
    if (known !== undefined && uidOf(known) === uidOf(pod)) this.#mirrors.delete(podKey(pod));
    const record = this.#recordOf(podKey(pod));
    if (record !== undefined) {
      record.mirror = undefined;
      this.#options.wake(record.uid, 0);
    }
    return true;
  }

  /** Makes the mirror what it should be, without waiting for it. */
  reconcile(record: PodRecord): void {
    if (!record.static || record.removed || record.busy.has("mirror")) return;
    if (record.pod.metadata.deletionTimestamp !== undefined) return;
    if (record.mirror !== undefined && isMirrorOf(record.mirror, record.pod)) return;
    record.busy.add("mirror");
    void this.#mirror(record);
  }

  /** The pod has ended since its file is gone: so does its mirror. */
  async finish(record: PodRecord): Promise<void> {
    const { mirror } = record;
    if (mirror !== undefined) await this.#deleteMirror(mirror);
    record.removed = true;
  }

  /** A pod whose file changed starts when its predecessor is gone. */
  forgotten(): void {
    this.#startWanted();
  }

  *#all(): Iterable<PodRecord> {
    for (const record of this.#options.records.values()) if (record.static) yield record;
  }

  #recordOf(key: string): PodRecord | undefined {
    for (const record of this.#all()) if (podKey(record.pod) === key) return record;
    return undefined;
  }

  #startWanted(): void {
    const { records, runtime, wake } = this.#options;
    for (const [uid, pod] of this.#wanted) {
      if (records.has(uid) || this.#recordOf(podKey(pod)) !== undefined) continue;
      const mirror = this.#mirrors.get(podKey(pod));
      const now = runtime.clock.now().getTime();
      const record = newRecord(mirror === undefined ? pod : mirrored(pod, mirror), false, now);
      record.static = true;
      record.mirror = mirror;
      records.set(uid, record);
      wake(uid, 0);
    }
  }

  #end(record: PodRecord): void {
    const { pod } = record;
    if (pod.metadata.deletionTimestamp !== undefined) return;
    const grace = pod.spec.terminationGracePeriodSeconds ?? limits.graceSecondsDefault;
    const deletionTimestamp = this.#options.runtime.clock.now().toISOString();
    const gone = { deletionTimestamp, deletionGracePeriodSeconds: grace };
    record.pod = { ...pod, metadata: { ...pod.metadata, ...gone } };
    this.#options.wake(record.uid, 0);
  }

  #adoptMirror(mirror: Pod): void {
    const record = this.#recordOf(podKey(mirror));
    if (record === undefined) {
      // Left by a file that is gone.
      void this.#deleteMirror(mirror);
      return;
    }
    record.mirror = mirror;
    record.pod = mirrored(record.pod, mirror);
    this.#options.wake(record.uid, 0);
  }

  async #mirror(record: PodRecord): Promise<void> {
    const { client, runtime, wake } = this.#options;
    try {
      const before = record.mirror;
      if (before !== undefined) await this.#deleteMirror(before);
      else await client.create(pods, await this.#newMirror(record.pod));
      wake(record.uid, 0);
    } catch (error) {
      // Mirrors of the same name on their way out; an API that is not there yet.
      runtime.log.debug("Cannot mirror a static pod", { uid: record.uid, error: `${error}` });
      wake(record.uid, limits.retryMs);
    } finally {
      record.busy.delete("mirror");
    }
  }

  async #newMirror({ metadata, spec }: Pod): Promise<core.Pod> {
    const { client, nodeName } = this.#options;
    const { name = "", namespace = "", labels, annotations, uid = "" } = metadata;
    const node = await client.get(nodes, "", nodeName);
    const owner = { apiVersion: "v1", kind: "Node", name: nodeName, uid: node.metadata.uid ?? "" };
    const mirror = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: {
        name,
        namespace,
        ...(labels === undefined ? {} : { labels }),
        annotations: { ...annotations, [mirrorAnnotation]: uid },
        ownerReferences: [{ ...owner, controller: true }],
      },
      spec,
    };
    return structuredClone<object>(mirror) as core.Pod;
  }

  async #deleteMirror(mirror: Pod): Promise<void> {
    const { client } = this.#options;
    const { namespace = "", name = "", uid = "" } = mirror.metadata;
    const options = { gracePeriodSeconds: 0, preconditions: { uid } };
    try {
      await client.delete(pods, namespace, name, options);
    } catch (error) {
      if (!isReason(error, "NotFound") && !isReason(error, "Conflict")) throw error;
    }
  }
}

/** The static pod with what the API knows of its mirror: status and generation. */
export function mirrored(pod: Pod, mirror: Pod): Pod {
  const { status, metadata } = mirror;
  const { generation } = metadata;
  return {
    ...pod,
    ...(status === undefined ? {} : { status }),
    metadata: { ...pod.metadata, ...(generation === undefined ? {} : { generation }) },
  };
}

function isMirrorOf(mirror: Pod, pod: Pod): boolean {
  const hash = mirror.metadata.annotations?.[mirrorAnnotation];
  return hash === pod.metadata.uid && mirror.metadata.deletionTimestamp === undefined;
}
