/** Pods that wait for a node: those to try now, those that back off, those nothing helps yet. */
import { claimNames } from "../schema/pod-claims.ts";
import type { LivePod } from "./amounts.ts";
import type { DeviceClaim } from "./devices/view.ts";
import { Heap } from "./heap.ts";
import type { FilterName } from "./profile.ts";

/** What happened in the cluster that may make room for a pod. */
export type ClusterEvent =
  | { readonly type: "node" }
  | { readonly type: "volume" }
  /** Slices or classes of devices. */
  | { readonly type: "device" }
  /** Freed: its devices may serve others. Changed: it is new, or its status is. */
  | {
      readonly type: "claim";
      readonly claim: DeviceClaim;
      readonly isFreed: boolean;
      readonly isChanged: boolean;
    }
  | { readonly type: "pod-gone" | "pod-placed"; readonly pod: LivePod };

/** Why a pod was sent back; "any" is helped by every event. */
export type RejectedBy = FilterName | "any";

/** Upstream's queueing hints: whether the event can help a pod that this filter rejected. */
type Hint = (waiting: LivePod, event: ClusterEvent) => boolean;

const nodeOnly: Hint = (_waiting, { type }) => type === "node";
const nodeOrGone: Hint = (_waiting, { type }) => type === "node" || type === "pod-gone";

function sharesNamespace(waiting: LivePod, event: ClusterEvent): boolean {
  return "pod" in event && event.pod.metadata.namespace === waiting.metadata.namespace;
}

const nodeOrPod: readonly ClusterEvent["type"][] = ["node", "pod-gone", "pod-placed"];

function uses(waiting: LivePod, { metadata }: DeviceClaim): boolean {
  const isNear = metadata.namespace === waiting.metadata.namespace;
  return isNear && claimNames(waiting).includes(metadata.name ?? "");
}

const hints: Readonly<Record<RejectedBy, Hint>> = {
  NodeUnschedulable: nodeOnly,
  NodeName: nodeOnly,
  TaintToleration: nodeOnly,
  NodeAffinity: nodeOnly,
  NodePorts: nodeOrGone,
  NodeResourcesFit: nodeOrGone,
  VolumeRestrictions: (waiting, event) =>
    event.type === "volume" || (event.type === "pod-gone" && sharesNamespace(waiting, event)),
  NodeVolumeLimits: (_waiting, { type }) => ["node", "pod-gone", "volume"].includes(type),
  VolumeBinding: (_waiting, { type }) => type === "node" || type === "volume",
  VolumeZone: (_waiting, { type }) => type === "node" || type === "volume",
  // A constraint counts the pods of its own namespace only.
  PodTopologySpread: (waiting, event) => event.type === "node" || sharesNamespace(waiting, event),
  InterPodAffinity: (_waiting, { type }) => nodeOrPod.includes(type),
  NodeDeclaredFeatures: nodeOnly,
  DynamicResources(waiting, event) {
    if (event.type !== "claim") return event.type === "node" || event.type === "device";
    return event.isFreed || (event.isChanged && uses(waiting, event.claim));
  },
  any: () => true,
};

const unschedulableMsMax = 5 * 60_000;

export interface Backoff {
  readonly initialMs: number;
  readonly maxMs: number;
}
const defaultBackoff: Backoff = { initialMs: 1_000, maxMs: 10_000 };

export interface QueuedPod {
  readonly uid: string;
  readonly key: string;
  readonly priority: number;
  /** When it was first queued: among equals the oldest goes first. */
  readonly sinceMs: number;
  attempts: number;
  failedAtMs: number;
}

interface Waiting {
  readonly entry: QueuedPod;
  readonly pod: LivePod | undefined;
  readonly rejectedBy: readonly RejectedBy[];
}

/** A pod came to a queue. */
export interface QueueMove {
  readonly event: string;
  readonly queue: "active" | "backoff" | "unschedulable";
}

/** What brings pods back, as metrics call it. */
const eventNames: Readonly<Record<ClusterEvent["type"], string>> = {
  node: "NodeChange",
  volume: "VolumeChange",
  device: "DeviceChange",
  claim: "ResourceClaimChange",
  "pod-gone": "AssignedPodDelete",
  "pod-placed": "AssignedPodAdd",
};

export class SchedulingQueue {
  /** Told of every move. */
  onMove: ((move: QueueMove) => void) | undefined;
  readonly #active = new Heap<QueuedPod>(
    (a, b) => b.priority - a.priority || a.sinceMs - b.sinceMs,
  );
  /** Every pod that is known, with the entry that counts. */
  readonly #known = new Map<string, QueuedPod>();
  readonly #isActive = new Set<string>();
  readonly #backoff = new Map<string, { readonly entry: QueuedPod; readonly untilMs: number }>();
  readonly #waiting = new Map<string, Waiting>();

  constructor(private readonly backoff: Backoff = defaultBackoff) {}

  get size(): number {
    return this.#known.size;
  }

  /** How many pods wait, and where. */
  pending(): Readonly<Record<"active" | "backoff" | "unschedulable", number>> {
    return {
      active: this.#isActive.size,
      backoff: this.#backoff.size,
      unschedulable: this.#waiting.size,
    };
  }

  /** How many pods wait because of each plugin. */
  turnedAway(): ReadonlyMap<string, number> {
    const counts = new Map<string, number>();
    for (const { rejectedBy } of this.#waiting.values())
      for (const plugin of new Set(rejectedBy)) counts.set(plugin, (counts.get(plugin) ?? 0) + 1);
    return counts;
  }

  has(uid: string): boolean {
    return this.#known.has(uid);
  }

  add(pod: LivePod, key: string, nowMs: number): void {
    const uid = pod.metadata.uid ?? "";
    if (this.#known.has(uid)) return;
    const priority = pod.spec.priority ?? 0;
    const entry = { uid, key, priority, sinceMs: nowMs, attempts: 0, failedAtMs: 0 };
    this.#known.set(uid, entry);
    this.#activate(entry, "PodAdd");
  }

  remove(uid: string): void {
    this.#known.delete(uid);
    this.#isActive.delete(uid);
    this.#backoff.delete(uid);
    this.#waiting.delete(uid);
  }

  /** The next pod to try; it stays known until `remove` or `sendBack`. */
  pop(): QueuedPod | undefined {
    for (;;) {
      const entry = this.#active.pop();
      if (entry === undefined) return undefined;
      if (this.#known.get(entry.uid) !== entry || !this.#isActive.delete(entry.uid)) continue;
      entry.attempts += 1;
      return entry;
    }
  }

  /** An empty `rejectedBy` is a failure of ours (a write): it only backs off. */
  sendBack(
    entry: QueuedPod,
    rejectedBy: readonly RejectedBy[],
    nowMs: number,
    pod?: LivePod,
  ): void {
    if (this.#known.get(entry.uid) !== entry) return;
    entry.failedAtMs = nowMs;
    const event = "ScheduleAttemptFailure";
    if (rejectedBy.length === 0) {
      this.#backOff(entry, nowMs + this.#backoffMs(entry.attempts), event);
      return;
    }
    this.#waiting.set(entry.uid, { entry, pod, rejectedBy });
    this.onMove?.({ event, queue: "unschedulable" });
  }

  /** The pod itself changed in a way that may help. */
  wakePod(uid: string, nowMs: number): void {
    const waiting = this.#waiting.get(uid);
    if (waiting !== undefined) this.#moveOn(waiting.entry, nowMs, "PodUpdate");
  }

  wake(event: ClusterEvent, nowMs: number): void {
    for (const { entry, pod, rejectedBy } of this.#waiting.values()) {
      const isHelped = pod === undefined || rejectedBy.some((by) => hints[by](pod, event));
      if (isHelped) this.#moveOn(entry, nowMs, eventNames[event.type]);
    }
  }

  /** Moves on what is due; returns when to come back, undefined when nothing waits for time. */
  flush(nowMs: number): number | undefined {
    let nextMs: number | undefined;
    const due = (entry: QueuedPod, dueMs: number, event: string) => {
      if (dueMs <= nowMs) this.#moveOn(entry, nowMs, event);
      else nextMs = Math.min(nextMs ?? dueMs, dueMs);
    };
    for (const { entry, untilMs } of this.#backoff.values()) due(entry, untilMs, "BackoffComplete");
    for (const { entry } of this.#waiting.values()) {
      due(entry, entry.failedAtMs + unschedulableMsMax, "UnschedulableTimeout");
    }
    return nextMs;
  }

  #backoffMs(attempts: number): number {
    if (attempts === 0) return 0;
    return Math.min(this.backoff.initialMs * 2 ** (attempts - 1), this.backoff.maxMs);
  }

  #moveOn(entry: QueuedPod, nowMs: number, event: string): void {
    this.#waiting.delete(entry.uid);
    this.#backoff.delete(entry.uid);
    const untilMs = entry.failedAtMs + this.#backoffMs(entry.attempts);
    if (untilMs > nowMs) this.#backOff(entry, untilMs, event);
    else this.#activate(entry, event);
  }

  #backOff(entry: QueuedPod, untilMs: number, event: string): void {
    this.#backoff.set(entry.uid, { entry, untilMs });
    this.onMove?.({ event, queue: "backoff" });
  }

  #activate(entry: QueuedPod, event: string): void {
    this.#isActive.add(entry.uid);
    this.#active.push(entry);
    this.onMove?.({ event, queue: "active" });
  }
}
