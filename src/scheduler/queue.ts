/** Pods that wait for a node: those to try now, those that back off, those nothing helps yet. */
import type { LivePod } from "./amounts.ts";
import type { FilterName } from "./filters.ts";
import { Heap } from "./heap.ts";

/** What happened in the cluster that may make room for a pod. */
export type ClusterEvent = "node" | "pod-gone" | "pod-placed" | "volume";

/** Why a pod was sent back; "any" is helped by every event. */
export type RejectedBy = FilterName | "any";

const helpedBy: Readonly<Record<RejectedBy, readonly ClusterEvent[]>> = {
  NodeUnschedulable: ["node"],
  NodeName: ["node"],
  TaintToleration: ["node"],
  NodeAffinity: ["node"],
  NodePorts: ["node", "pod-gone"],
  NodeResourcesFit: ["node", "pod-gone"],
  VolumeBinding: ["node", "volume"],
  PodTopologySpread: ["node", "pod-gone", "pod-placed"],
  InterPodAffinity: ["node", "pod-gone", "pod-placed"],
  any: ["node", "pod-gone", "pod-placed", "volume"],
};

const backoffMsMin = 1_000;
const backoffMsMax = 10_000;
/** A pod is tried again after this long even if no event seems to help. */
const unschedulableMsMax = 5 * 60_000;

export interface QueuedPod {
  readonly uid: string;
  readonly key: string;
  readonly priority: number;
  /** When it was first queued: among equals the oldest goes first. */
  readonly sinceMs: number;
  attempts: number;
  failedAtMs: number;
}

type Place =
  | { readonly at: "active" }
  | { readonly at: "backoff"; readonly untilMs: number }
  | { readonly at: "waiting"; readonly rejectedBy: readonly RejectedBy[] }
  | { readonly at: "taken" };

export class SchedulingQueue {
  readonly #places = new Map<string, { readonly entry: QueuedPod; place: Place }>();
  readonly #active = new Heap<QueuedPod>(
    (a, b) => b.priority - a.priority || a.sinceMs - b.sinceMs,
  );

  get size(): number {
    return this.#places.size;
  }

  has(uid: string): boolean {
    return this.#places.has(uid);
  }

  add(pod: LivePod, key: string, nowMs: number): void {
    const uid = pod.metadata.uid ?? "";
    if (this.#places.has(uid)) return;
    const priority = pod.spec.priority ?? 0;
    const entry = { uid, key, priority, sinceMs: nowMs, attempts: 0, failedAtMs: 0 };
    this.#places.set(uid, { entry, place: { at: "active" } });
    this.#active.push(entry);
  }

  remove(uid: string): void {
    this.#places.delete(uid);
  }

  /** The next pod to try; it stays known until `remove` or `sendBack`. */
  pop(): QueuedPod | undefined {
    for (;;) {
      const entry = this.#active.pop();
      if (entry === undefined) return undefined;
      const known = this.#places.get(entry.uid);
      if (known?.entry !== entry || known.place.at !== "active") continue;
      known.place = { at: "taken" };
      entry.attempts += 1;
      return entry;
    }
  }

  /** An empty `rejectedBy` is a failure of ours (a write): it only backs off. */
  sendBack(entry: QueuedPod, rejectedBy: readonly RejectedBy[], nowMs: number): void {
    const known = this.#places.get(entry.uid);
    if (known === undefined) return;
    entry.failedAtMs = nowMs;
    known.place =
      rejectedBy.length === 0
        ? { at: "backoff", untilMs: nowMs + backoffMs(entry.attempts) }
        : { at: "waiting", rejectedBy };
  }

  /** The pod itself changed in a way that may help. */
  wakePod(uid: string, nowMs: number): void {
    const known = this.#places.get(uid);
    if (known?.place.at === "waiting") this.#moveOn(known, nowMs);
  }

  wake(event: ClusterEvent, nowMs: number): void {
    for (const known of this.#places.values()) {
      if (known.place.at !== "waiting") continue;
      const isHelped = known.place.rejectedBy.some((by) => helpedBy[by].includes(event));
      if (isHelped) this.#moveOn(known, nowMs);
    }
  }

  /** Moves on what is due; returns when to come back, undefined when nothing waits for time. */
  flush(nowMs: number): number | undefined {
    let nextMs: number | undefined;
    for (const known of this.#places.values()) {
      const { place, entry } = known;
      if (place.at !== "backoff" && place.at !== "waiting") continue;
      const dueMs = place.at === "backoff" ? place.untilMs : entry.failedAtMs + unschedulableMsMax;
      if (dueMs <= nowMs) this.#moveOn(known, nowMs);
      else nextMs = Math.min(nextMs ?? dueMs, dueMs);
    }
    return nextMs;
  }

  #moveOn(known: { readonly entry: QueuedPod; place: Place }, nowMs: number): void {
    const { entry } = known;
    const untilMs = entry.failedAtMs + backoffMs(entry.attempts);
    if (untilMs > nowMs) {
      known.place = { at: "backoff", untilMs };
      return;
    }
    known.place = { at: "active" };
    this.#active.push(entry);
  }
}

export function backoffMs(attempts: number): number {
  if (attempts === 0) return 0;
  return Math.min(backoffMsMin * 2 ** (attempts - 1), backoffMsMax);
}
