/** Ends pods for the node's sake, and clears away what is left of those that have ended. */
import type { Eviction } from "./eviction-manager.ts";
import type { KubeletContext } from "./kubelet-context.ts";
import { hasEnded } from "./plan-pod.ts";
import type { PodRecord } from "./pod-record.ts";
import { limitsStorage, storageProblem, storageUse } from "./storage-limits.ts";

const limits = { removePollMs: 100, removeMs: 10_000, graceSeconds: 1 } as const;

const shutdown = {
  reason: "Terminated",
  message: "Pod was terminated in response to imminent node shutdown.",
} as const;

export class PodEvictions {
  readonly #context: KubeletContext;
  readonly #records: ReadonlyMap<string, PodRecord>;
  readonly #wake: (uid: string, afterMs: number) => void;

  constructor(
    context: KubeletContext,
    records: ReadonlyMap<string, PodRecord>,
    wake: (uid: string, afterMs: number) => void,
  ) {
    this.#context = context;
    this.#records = records;
    this.#wake = wake;
  }

  /** Pods that run and that nobody ends yet. */
  active(): readonly PodRecord[] {
    return [...this.#records.values()].filter(
      ({ pod, failed, removed }) =>
        !removed &&
        failed === undefined &&
        !hasEnded(pod) &&
        pod.metadata.deletionTimestamp === undefined,
    );
  }

  evict(record: PodRecord, { message, graceSeconds, annotations }: Eviction): void {
    record.failed = { reason: "Evicted", message, graceSeconds, disrupts: true };
    this.#context.events.event(record.pod, "Warning", "Evicted", message, { annotations });
    this.#wake(record.uid, 0);
  }

  /** The machine goes down: the pod gets `seconds`, or its own grace when that is shorter. */
  endForShutdown(record: PodRecord, seconds: number): void {
    const own = record.pod.spec.terminationGracePeriodSeconds ?? seconds;
    record.failed = { ...shutdown, graceSeconds: Math.min(own, seconds), disrupts: true };
    this.#wake(record.uid, 0);
  }

  /** Removes the containers of pods that have ended: what they said and left goes with them. */
  async removeDead(): Promise<void> {
    const { cache, runtime } = this.#context;
    const ended = [...this.#records.values()].filter(({ pod }) => hasEnded(pod));
    for (const record of ended) {
      record.dispensable = true;
      this.#wake(record.uid, 0);
    }
    const deadline = runtime.clock.monotonicMs() + limits.removeMs;
    const isLeft = ({ uid }: PodRecord): boolean => cache.peek(uid).containers.length > 0;
    while (ended.some(isLeft) && runtime.clock.monotonicMs() < deadline) {
      await runtime.clock.sleep(limits.removePollMs, this.#context.signal);
    }
  }

  /** Ends the pods that hold more of the node's disk than they may. */
  async enforceStorageLimits(): Promise<void> {
    for (const record of this.active()) {
      const { pod } = record;
      if (record.volumes !== "ready" || !limitsStorage(pod)) continue;
      const message = storageProblem(pod, await storageUse(this.#context, pod));
      if (message === undefined) continue;
      record.failed = { reason: "Evicted", message, graceSeconds: limits.graceSeconds };
      this.#context.events.event(pod, "Warning", "Evicted", message);
      this.#wake(record.uid, 0);
    }
  }
}
