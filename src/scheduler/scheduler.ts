/** The scheduler: takes waiting pods one by one, decides on a snapshot, binds in the background. */
import { nodes, podDisruptionBudgets, pods } from "../client/resources.ts";
import type { Node, Pod } from "../gen/core-v1.ts";
import type { ControllerContext } from "../live/controller.ts";
import type { LiveChange, LiveSet } from "../live/live-set.ts";
import type { LivePod } from "./amounts.ts";
import { Binder } from "./bind.ts";
import { NodeCache } from "./cache.ts";
import { createClusterView, viewResources, volumeResources } from "./cluster-view.ts";
import { type Decision, decide } from "./decide.ts";
import type { LiveNode } from "./node-info.ts";
import { planPreemption } from "./preemption.ts";
import { defaultProfile, type Profile } from "./profile.ts";
import { type Backoff, type ClusterEvent, type QueuedPod, SchedulingQueue } from "./queue.ts";
import type { ClusterView } from "./view.ts";
import { chooseVolumes, claimsOf, isBound, type VolumeChoice } from "./volumes.ts";

export interface SchedulerOptions {
  /** Pods whose `spec.schedulerName` is that of no profile are left alone. */
  readonly profiles?: readonly Profile[];
  readonly backoff?: Backoff;
}

export interface Scheduler {
  /** Schedules until `signal` aborts; bindings under way are finished first. */
  run(signal: AbortSignal): Promise<void>;
}

/** Creates the scheduler; it acts through `context.client`. */
export function createScheduler(
  context: ControllerContext,
  options: SchedulerOptions = {},
): Scheduler {
  return new DefaultScheduler(context, options);
}

/** Bindings under way at once; more would only wait in the API. */
const bindingsMax = 64;
/** Pods decided between two turns of the event loop. */
const decisionsPerTurn = 16;
const idleMsMax = 60_000;

const noNominations: ReadonlyMap<string, readonly LivePod[]> = new Map();

class DefaultScheduler implements Scheduler {
  readonly #context: ControllerContext;
  readonly #profiles: ReadonlyMap<string, Profile>;
  readonly #queue: SchedulingQueue;
  readonly #cache = new NodeCache();
  readonly #binder: Binder;
  readonly #pods: LiveSet<Pod>;
  readonly #view: ClusterView;
  /** Waiting pods that were promised a node, by uid. */
  readonly #nominated = new Map<string, { readonly pod: LivePod; readonly node: string }>();
  /** The generation at which a waiting pod was last tried. */
  readonly #seenGeneration = new Map<string, number>();
  readonly #binding = new Set<Promise<void>>();
  /** Volumes promised to pods whose binding is under way. */
  readonly #taken = new Set<string>();
  #startIndex = 0;
  #wakeUp = new AbortController();

  constructor(context: ControllerContext, { profiles, backoff }: SchedulerOptions) {
    this.#context = context;
    const all = profiles ?? [defaultProfile];
    this.#profiles = new Map(all.map((profile) => [profile.schedulerName, profile]));
    this.#queue = new SchedulingQueue(backoff);
    this.#pods = context.live.of(pods);
    this.#view = createClusterView(context.live, this.#taken);
    this.#binder = new Binder(context, this.#view);
  }

  async run(signal: AbortSignal): Promise<void> {
    const { live } = this.#context;
    using stack = new DisposableStack();
    const sets = [nodes, pods, podDisruptionBudgets, ...viewResources, ...volumeResources];
    for (const resource of sets) await live.of(resource).ready(signal);
    if (signal.aborted) return;
    const stop = () => this.#wakeUp.abort();
    signal.addEventListener("abort", stop);
    stack.defer(() => signal.removeEventListener("abort", stop));
    stack.use(live.of(nodes).subscribe((change) => this.#onNode(change)));
    stack.use(this.#pods.subscribe((change) => this.#onPod(change)));
    for (const resource of volumeResources) {
      stack.use(live.of(resource).subscribe(() => this.#wake({ type: "volume" })));
    }
    for (const now of live.of(nodes).list()) this.#cache.setNode(now.object);
    for (const now of this.#pods.list()) this.#onPod({ type: "added", now, before: undefined });
    while (!signal.aborted) await this.#turn(signal);
    await Promise.allSettled(this.#binding);
  }

  get #nowMs(): number {
    return this.#context.runtime.clock.now().getTime();
  }

  /** Decides a few pods, or sleeps until something happens. */
  async #turn(signal: AbortSignal): Promise<void> {
    const { clock } = this.#context.runtime;
    const dueMs = this.#queue.flush(this.#nowMs);
    for (let count = 0; count < decisionsPerTurn; count++) {
      if (this.#binding.size >= bindingsMax) {
        await Promise.race(this.#binding);
        continue;
      }
      const entry = this.#queue.pop();
      if (entry === undefined) {
        if (this.#wakeUp.signal.aborted) this.#wakeUp = new AbortController();
        else if (count === 0) {
          const ms = dueMs === undefined ? idleMsMax : Math.max(1, dueMs - this.#nowMs);
          await clock.sleep(Math.min(ms, idleMsMax), this.#wakeUp.signal);
          if (!signal.aborted) this.#wakeUp = new AbortController();
        }
        return;
      }
      this.#schedule(entry, signal);
    }
    await clock.sleep(0, signal);
  }

  #wake(event: ClusterEvent): void {
    this.#queue.wake(event, this.#nowMs);
    this.#wakeUp.abort();
  }

  #onNode({ type, now, before }: LiveChange<Node>): void {
    if (type === "deleted") {
      this.#cache.removeNode(now.object.metadata.name ?? "");
      return;
    }
    this.#cache.setNode(now.object);
    if (before === undefined || mayHelp(before.object, now.object)) {
      this.#wake({ type: "node" });
    }
  }

  #onPod({ type, now }: LiveChange<Pod>): void {
    const pod = now.object;
    const uid = pod.metadata.uid ?? "";
    const { phase } = pod.status ?? {};
    const isOver = type === "deleted" || phase === "Succeeded" || phase === "Failed";
    if (isOver) {
      this.#forget(uid);
      if (this.#cache.removePod(uid)) this.#wake({ type: "pod-gone", pod });
      return;
    }
    if ((pod.spec.nodeName ?? "") !== "") {
      this.#forget(uid);
      this.#cache.setPod(pod, pod.spec.nodeName ?? "");
      this.#wake({ type: "pod-placed", pod });
      return;
    }
    if (this.#profileOf(pod) === undefined) return;
    if (pod.metadata.deletionTimestamp !== undefined) {
      this.#forget(uid);
      return;
    }
    if ((pod.spec.schedulingGates ?? []).length > 0) {
      void this.#binder.tellGated(pod);
      return;
    }
    const node = pod.status?.nominatedNodeName ?? "";
    if (node !== "") this.#nominated.set(uid, { pod, node });
    if (this.#queue.has(uid)) this.#onWaitingPod(pod);
    else this.#queue.add(pod, now.key, this.#nowMs);
    this.#wakeUp.abort();
  }

  #profileOf({ spec }: LivePod): Profile | undefined {
    return this.#profiles.get(spec.schedulerName ?? defaultProfile.schedulerName);
  }

  #forget(uid: string): void {
    this.#queue.remove(uid);
    this.#nominated.delete(uid);
    this.#seenGeneration.delete(uid);
  }

  /** Only a change of the spec or labels may help; our own status writes do not. */
  #onWaitingPod(pod: LivePod): void {
    const uid = pod.metadata.uid ?? "";
    const generation = pod.metadata.generation ?? 0;
    const before = this.#seenGeneration.get(uid);
    if (before !== undefined && before < generation) this.#queue.wakePod(uid, this.#nowMs);
    if (before !== undefined) this.#seenGeneration.set(uid, generation);
  }

  #schedule(entry: QueuedPod, signal: AbortSignal): void {
    const pod = this.#pods.get(entry.key)?.object;
    const profile = pod && this.#profileOf(pod);
    const isWaiting =
      pod !== undefined &&
      profile !== undefined &&
      pod.metadata.uid === entry.uid &&
      (pod.spec.nodeName ?? "") === "" &&
      pod.metadata.deletionTimestamp === undefined;
    if (!isWaiting) {
      this.#queue.remove(entry.uid);
      return;
    }
    const decision = this.#decide(pod, profile);
    if (decision.node !== undefined) this.#start(this.#bind(entry, pod, decision.node, signal));
    else this.#start(this.#reject(entry, pod, profile, decision));
  }

  #start(work: Promise<void>): void {
    const tracked = work.finally(() => this.#binding.delete(tracked));
    this.#binding.add(tracked);
  }

  #decide(pod: LivePod, profile: Profile): Decision {
    const snapshot = this.#cache.snapshot();
    const decision = decide({
      pod,
      snapshot,
      view: this.#view,
      profile,
      nominations: this.#nominations(),
      startIndex: this.#startIndex,
      random: (below) => this.#context.runtime.random.int(below),
    });
    if (decision.node !== undefined) {
      this.#startIndex = (this.#startIndex + decision.looked) % snapshot.nodes.length;
    }
    return decision;
  }

  #nominations(): ReadonlyMap<string, readonly LivePod[]> {
    if (this.#nominated.size === 0) return noNominations;
    const byNode = new Map<string, LivePod[]>();
    for (const { pod, node } of this.#nominated.values()) {
      byNode.set(node, [...(byNode.get(node) ?? []), pod]);
    }
    return byNode;
  }

  /** The pod counts for the node from now on, so that the next decision sees it there. */
  async #bind(entry: QueuedPod, pod: LivePod, node: string, signal: AbortSignal): Promise<void> {
    const volumes = this.#volumesFor(pod, node);
    const promised = (volumes?.bind ?? []).map(({ volume }) => volume.metadata.name ?? "");
    for (const name of promised) this.#taken.add(name);
    this.#cache.setPod(pod, node);
    const result = await this.#binder.bind(pod, node, volumes, signal);
    for (const name of promised) this.#taken.delete(name);
    if (result === "bound") {
      this.#forget(entry.uid);
      return;
    }
    const current = this.#pods.get(entry.key)?.object;
    const isPlaced = current?.metadata.uid === entry.uid && (current.spec.nodeName ?? "") !== "";
    if (!isPlaced) this.#cache.removePod(entry.uid);
    if (result === "gone") this.#queue.remove(entry.uid);
    else this.#queue.sendBack(entry, [], this.#nowMs);
    this.#wake({ type: "pod-gone", pod });
  }

  /** Which volumes the pod's open claims get there; undefined when it has none. */
  #volumesFor(pod: LivePod, node: string): VolumeChoice | undefined {
    const open = claimsOf(pod, this.#view.volumes).filter((claim) => !isBound(claim));
    if (open.length === 0) return undefined;
    const info = this.#cache.snapshot().nodes.find(({ name }) => name === node);
    const choice = info && chooseVolumes(open, info, this.#view.volumes);
    return typeof choice === "object" ? choice : undefined;
  }

  async #reject(
    entry: QueuedPod,
    pod: LivePod,
    profile: Profile,
    decision: Extract<Decision, { node: undefined }>,
  ): Promise<void> {
    this.#seenGeneration.set(entry.uid, pod.metadata.generation ?? 0);
    // Sent back before anything is awaited: an event that helps must find the pod waiting.
    this.#queue.sendBack(entry, decision.rejectedBy, this.#nowMs, pod);
    const preemption =
      decision.rejections.size === 0 || !profile.preempts
        ? undefined
        : planPreemption({
            pod,
            snapshot: this.#cache.snapshot(),
            view: this.#view,
            nominations: this.#nominations(),
            profile,
            rejections: decision.rejections,
            random: (below) => this.#context.runtime.random.int(below),
            budgets: Array.from(
              this.#context.live.of(podDisruptionBudgets).list(),
              ({ object }) => object,
            ),
          });
    if (preemption?.node === undefined) {
      const suffix = preemption === undefined ? "" : ` ${preemption.message}`;
      await this.#binder.tellUnschedulable(pod, decision.message + suffix, undefined);
      return;
    }
    const { node, victims } = preemption;
    this.#nominated.set(entry.uid, { pod, node });
    await this.#binder.tellUnschedulable(pod, decision.message, node);
    await this.#binder.preempt(pod, node, victims);
  }
}

/** True when a node can take more than before; heartbeats do not matter. */
export function mayHelp(before: LiveNode, now: LiveNode): boolean {
  const relevant = ({ metadata, spec, status }: LiveNode) =>
    JSON.stringify([
      metadata.labels,
      spec?.taints,
      spec?.unschedulable,
      status?.allocatable,
      status?.images?.length,
    ]);
  return relevant(before) !== relevant(now);
}
