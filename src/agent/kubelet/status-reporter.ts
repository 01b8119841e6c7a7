/** Tells the API what became of pods: one write at a time per pod, nothing that it knows. */

import { pods } from "../../client/resources.ts";
import { isReason } from "../../lib/api-error.ts";
import { allocatedResources } from "./allocated-resources.ts";
import type { PodCri } from "./cri-state.ts";
import type { KubeletContext } from "./kubelet-context.ts";
import { hasEnded, isEnding, type PodFacts, type Waiting } from "./plan-pod.ts";
import type { PodRecord } from "./pod-record.ts";
import { podStatus } from "./pod-status.ts";
import { mirrored } from "./static-pods.ts";
import { type StatusPatch, statusPatch } from "./status-patch.ts";
import { isNewer, type Pod, uidOf } from "./types.ts";

const limits = {
  retryMs: 500,
  unheardMs: 10_000,
  /** What is no change of the phase waits until the calls to the runtime have gone out. */
  unhurriedMs: 15,
} as const;

export class StatusReporter {
  readonly #context: KubeletContext;
  readonly #wake: (uid: string, afterMs: number) => void;

  /** `wake` brings the pod's worker back: the status may have moved on during a write. */
  constructor(context: KubeletContext, wake: (uid: string, afterMs: number) => void) {
    this.#context = context;
    this.#wake = wake;
  }

  /** Starts to write the status where it differs from what the API has. */
  report(record: PodRecord, facts: PodFacts, waiting: ReadonlyMap<string, Waiting>): void {
    if (record.busy.has("status")) return;
    const atMs = record.retries.get("status")?.atMs ?? 0;
    const waitMs = atMs - this.#context.runtime.clock.monotonicMs();
    if (waitMs > 0) {
      this.#wake(record.uid, waitMs + 1);
      return;
    }
    const patch = this.#patchOf(record, facts, waiting);
    if (patch === undefined) return;
    record.busy.add("status");
    void this.#send(record, patch);
  }

  #patchOf(
    record: PodRecord,
    facts: PodFacts,
    planned: ReadonlyMap<string, Waiting>,
  ): StatusPatch | undefined {
    const { prober, nodeIps } = this.#context;
    const told = record.static ? record.mirror : record.pod;
    if (told === undefined) return undefined;
    const running = facts.cri.containers.filter(({ state }) => state === "running");
    const isReady = (id: string): boolean => prober.verdict(id)?.ready !== false;
    const alive = facts.cri.containers.some(
      ({ state }) => state === "running" || state === "created",
    );
    const stopped = !alive && (isEnding(facts) || hasEnded(record.pod));
    const status = podStatus({
      ...facts,
      cri: withoutStarting(record, facts.cri),
      waiting: new Map([...record.waiting, ...planned]),
      ready: new Set(running.map(({ id }) => id).filter(isReady)),
      nodeIps,
      startedMs: record.startedMs,
      stopped,
      allocated: (named) => allocatedResources(this.#context, record.pod, named),
      resizes: [record.resizePending, record.resizing].filter((one) => one !== undefined),
    });
    return statusPatch(told, status);
  }

  async #send(record: PodRecord, patch: StatusPatch): Promise<void> {
    const { client, runtime } = this.#context;
    const { namespace = "", name = "" } = record.pod.metadata;
    try {
      await runtime.clock.sleep(isUrgent(patch) ? 0 : limits.unhurriedMs, record.starting.signal);
      const options = { subresource: "status" };
      const before = (record.mirror ?? record.pod).metadata.resourceVersion;
      const answer = await client.patch(pods, namespace, name, "strategic", patch, options);
      // What leaves no trace in the API would be told again and again.
      if (answer.metadata.resourceVersion === before) this.#delay(record, limits.unheardMs);
      if (record.static) takeMirror(record, answer);
      else if (uidOf(answer) === record.uid && isNewer(answer, record.pod)) {
        record.pod = withStatusOf(record.pod, answer);
      }
    } catch (error) {
      if (!isReason(error, "NotFound") && !isReason(error, "Conflict")) {
        const pod = `${namespace}/${name}`;
        runtime.log.warn("Cannot report the status of a pod", { pod, error: `${error}` });
        this.#delay(record, limits.retryMs);
      }
    } finally {
      record.busy.delete("status");
      this.#wake(record.uid, 0);
    }
  }

  #delay(record: PodRecord, ms: number): void {
    const atMs = this.#context.runtime.clock.monotonicMs() + ms;
    record.retries.set("status", { count: 0, atMs });
  }
}

/**
 * The pod with the status of an answer. What else an answer shows (labels, a new generation) is
 * taken over when the watch tells of it, which is also when it is acted on.
 */
export function withStatusOf(pod: Pod, { metadata, status }: Pod): Pod {
  const { resourceVersion = "" } = metadata;
  return {
    ...pod,
    metadata: { ...pod.metadata, resourceVersion },
    ...(status === undefined ? {} : { status }),
  };
}

function takeMirror(record: PodRecord, answer: Pod): void {
  if (record.mirror === undefined || uidOf(record.mirror) !== uidOf(answer)) return;
  record.mirror = answer;
  record.pod = mirrored(record.pod, answer);
}

function isUrgent(patch: StatusPatch): boolean {
  return patch.status.phase !== undefined;
}

/** Between its creation and its start there is nothing to tell of a container. */
function withoutStarting(record: PodRecord, cri: PodCri): PodCri {
  const containers = cri.containers.filter(
    ({ name, state }) => state !== "created" || !record.busy.has(`container ${name}`),
  );
  return containers.length === cri.containers.length ? cri : { ...cri, containers };
}
