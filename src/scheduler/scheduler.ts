/** The scheduler: takes waiting pods one by one, decides on a snapshot, binds in the background. */
import { nodes, podDisruptionBudgets, pods } from "../client/resources.ts";
import type { Node, Pod } from "../gen/core-v1.ts";
import type { ControllerContext } from "../live/controller.ts";
import type { LiveChange, LiveSet } from "../live/live-set.ts";
import type { Metrics } from "../runtime/metrics.ts";
import type { LivePod } from "./amounts.ts";
import { Binder, type BindOrder } from "./bind.ts";
import { NodeCache } from "./cache.ts";
import {
  createClusterView,
  deviceResources,
  viewResources,
  volumeResources,
} from "./cluster-view.ts";
import {
  type DecideInput,
  type Decision,
  decide,
  decisionOf,
  type Refusal,
  search,
} from "./decide.ts";
import { DeviceBinder, type Promised } from "./devices/binder.ts";
import { type Relief, reliefFor } from "./devices/plan.ts";
import { DeviceQueue } from "./devices/queue.ts";
import { type ExtenderSettings, Extenders } from "./extenders.ts";
import { type AttemptResult, SchedulerMetrics } from "./metrics.ts";
import { mayHelp } from "./node-info.ts";
import { bestOf, findCandidates, type Preemption, planPreemption } from "./preemption.ts";
import { defaultProfile, type Profile } from "./profile.ts";
import { type Backoff, type ClusterEvent, type QueuedPod, SchedulingQueue } from "./queue.ts";
import type { ClusterView } from "./view.ts";
import { chooseVolumes, claimsOf, isBound, type VolumeChoice } from "./volumes.ts";

export interface SchedulerOptions {
  /** Pods whose `spec.schedulerName` is that of no profile are left alone. */
  readonly profiles?: readonly Profile[];
  readonly backoff?: Backoff;
  readonly metrics?: Metrics;
  readonly extenders?: readonly ExtenderSettings[];
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
  readonly #metrics: SchedulerMetrics | undefined;
  readonly #cache = new NodeCache();
  readonly #binder: Binder;
  readonly #devices: DeviceBinder;
  readonly #deviceQueue: DeviceQueue;
  readonly #extenders: Extenders;
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
  /** Decisions are made one after the other. */
  #decidingSinceMs = 0;
  #wakeUp = new AbortController();

  constructor(
    context: ControllerContext,
    { profiles, backoff, extenders, metrics }: SchedulerOptions,
  ) {
    this.#context = context;
    const all = profiles ?? [defaultProfile];
    this.#profiles = new Map(all.map((profile) => [profile.schedulerName, profile]));
    this.#queue = new SchedulingQueue(backoff);
    this.#metrics = metrics && new SchedulerMetrics(metrics, this.#queue);
    this.#pods = context.live.of(pods);
    this.#devices = new DeviceBinder(context);
    this.#deviceQueue = new DeviceQueue(this.#devices.view);
    this.#view = createClusterView(context.live, this.#taken, this.#devices.view);
    this.#binder = new Binder(context, this.#view, this.#devices);
    this.#extenders = new Extenders(extenders ?? [], context.runtime);
  }

  async run(signal: AbortSignal): Promise<void> {
    const { live } = this.#context;
    using stack = new DisposableStack();
    const sets = [nodes, pods, podDisruptionBudgets, ...viewResources, ...volumeResources];
    for (const resource of [...sets, ...deviceResources]) await live.of(resource).ready(signal);
    if (signal.aborted) return;
    const stop = () => this.#wakeUp.abort();
    signal.addEventListener("abort", stop);
    stack.defer(() => signal.removeEventListener("abort", stop));
    stack.use(live.of(nodes).subscribe((change) => this.#onNode(change)));
    stack.use(this.#pods.subscribe((change) => this.#onPod(change)));
    for (const resource of volumeResources) {
      stack.use(live.of(resource).subscribe(() => this.#wake({ type: "volume" })));
    }
    stack.use(this.#deviceQueue.follow(live, (event) => this.#onDevices(event)));
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
      // Where extenders are asked, the next decision waits: it must see this one.
      const asked = this.#schedule(entry, signal);
      if (asked !== undefined) await asked;
    }
    await clock.sleep(0, signal);
  }

  #wake(event: ClusterEvent): void {
    this.#queue.wake(event, this.#nowMs);
    this.#wakeUp.abort();
  }

  /** Pods whose claims are there now are queued; others may find what they wait for. */
  #onDevices(event: ClusterEvent): void {
    for (const key of this.#deviceQueue.complete()) {
      const now = this.#pods.get(key);
      if (now !== undefined) this.#onPod({ type: "modified", now, before: undefined });
    }
    this.#wake(event);
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
    else if (this.#deviceQueue.holds(pod, now.key)) return;
    else this.#queue.add(pod, now.key, this.#nowMs);
    this.#wakeUp.abort();
  }

  #profileOf({ spec }: LivePod): Profile | undefined {
    return this.#profiles.get(spec.schedulerName ?? defaultProfile.schedulerName);
  }

  #forget(uid: string): void {
    this.#queue.remove(uid);
    this.#nominated.delete(uid);
    this.#deviceQueue.forget(uid);
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

  /** Resolves, where extenders are asked, once they have answered. */
  #schedule(entry: QueuedPod, signal: AbortSignal): Promise<void> | undefined {
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
      return undefined;
    }
    const input = this.#inputFor(pod, profile);
    this.#decidingSinceMs = this.#context.runtime.clock.monotonicMs();
    if (this.#extenders.concern(pod)) return this.#askExtenders(entry, input, signal);
    try {
      void this.#act(entry, input, decide(input), signal);
    } catch (error) {
      this.#fail(entry, input, error);
    }
    return undefined;
  }

  /** Nothing could be decided: the pod is tried again. */
  #fail(entry: QueuedPod, { pod, profile }: DecideInput, error: unknown): void {
    this.#queue.sendBack(entry, [], this.#nowMs);
    this.#tell("error", profile);
    const message = error instanceof Error ? error.message : String(error);
    this.#start(this.#binder.tellError(pod, message));
  }

  async #askExtenders(entry: QueuedPod, input: DecideInput, signal: AbortSignal): Promise<void> {
    const { pod } = input;
    try {
      const found = search(input);
      if ("node" in found) return await this.#act(entry, input, found, signal);
      const { feasible, rejections } = await this.#extenders.filter(pod, found.feasible);
      const left = {
        ...found,
        feasible,
        rejections: new Map([...found.rejections, ...rejections]),
      };
      const points =
        feasible.length > 1 ? await this.#extenders.prioritize(pod, feasible) : undefined;
      await this.#act(entry, input, decisionOf(input, left, points), signal);
    } catch (error) {
      this.#fail(entry, input, error);
    }
  }

  /** Begins what was decided; resolves once the next decision may see it. */
  async #act(
    entry: QueuedPod,
    input: DecideInput,
    decision: Decision,
    signal: AbortSignal,
  ): Promise<void> {
    this.#tell(decision.node === undefined ? "unschedulable" : "scheduled", input.profile);
    if (decision.node === undefined) {
      const told = this.#reject(entry, input, decision);
      this.#start(told);
      return await told;
    }
    const devices = this.#promise(entry, input, decision.node);
    if (devices === "failed") return;
    this.#startIndex = (this.#startIndex + decision.looked) % input.snapshot.nodes.length;
    const { schedulerName } = input.profile;
    const order = { pod: input.pod, node: decision.node, devices, schedulerName };
    this.#start(this.#bind(entry, order, signal));
  }

  #tell(result: AttemptResult, { schedulerName }: Profile): void {
    const ms = this.#context.runtime.clock.monotonicMs() - this.#decidingSinceMs;
    this.#metrics?.attempt(result, schedulerName, ms);
  }

  #start(work: Promise<void>): void {
    const ended = this.#context.watch?.begin("the binding of a pod");
    const tracked = work.finally(() => {
      this.#binding.delete(tracked);
      ended?.();
    });
    this.#binding.add(tracked);
  }

  #inputFor(pod: LivePod, profile: Profile): DecideInput {
    return {
      pod,
      snapshot: this.#cache.snapshot(),
      view: this.#view,
      profile,
      nominations: this.#nominations(),
      startIndex: this.#startIndex,
      random: (below) => this.#context.runtime.random.int(below),
    };
  }

  #nominations(): ReadonlyMap<string, readonly LivePod[]> {
    if (this.#nominated.size === 0) return noNominations;
    const byNode = new Map<string, LivePod[]>();
    for (const { pod, node } of this.#nominated.values()) {
      byNode.set(node, [...(byNode.get(node) ?? []), pod]);
    }
    return byNode;
  }

  /** Keeps the devices that the pod takes on its node; another pod may have them since. */
  #promise(entry: QueuedPod, input: DecideInput, node: string): Promised | "failed" | undefined {
    const info = input.snapshot.nodes.find(({ name }) => name === node);
    try {
      return info && this.#devices.promise(input.pod, info);
    } catch (error) {
      this.#fail(entry, input, error);
      return "failed";
    }
  }

  /** The pod counts for the node from now on, so that the next decision sees it there. */
  async #bind(
    entry: QueuedPod,
    order: Pick<BindOrder, "pod" | "node" | "devices"> & { readonly schedulerName: string },
    signal: AbortSignal,
  ): Promise<void> {
    const { pod, node, devices, schedulerName } = order;
    const volumes = this.#volumesFor(pod, node);
    const promised = (volumes?.bind ?? []).map(({ volume }) => volume.metadata.name ?? "");
    for (const name of promised) this.#taken.add(name);
    this.#cache.setPod(pod, node);
    const bindBy = this.#extenders.binderOf(pod);
    const begunMs = this.#nowMs;
    const result = await this.#binder.bind({ pod, node, volumes, devices, bindBy }, signal);
    const status = result === "bound" ? "Success" : "Error";
    this.#metrics?.reached("Bind", schedulerName, status, this.#nowMs - begunMs);
    for (const name of promised) this.#taken.delete(name);
    if (result === "bound") {
      this.#metrics?.scheduled(entry.attempts, this.#nowMs - entry.sinceMs);
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

  async #reject(entry: QueuedPod, input: DecideInput, refusal: Refusal): Promise<void> {
    const { pod, profile } = input;
    this.#seenGeneration.set(entry.uid, pod.metadata.generation ?? 0);
    // Sent back before anything is awaited: an event that helps must find the pod waiting.
    this.#queue.sendBack(entry, refusal.rejectedBy, this.#nowMs, pod);
    const relief = refusal.rejections.size > 0 ? this.#relief(input) : undefined;
    const mayPreempt = refusal.rejections.size > 0 && profile.preempts;
    const begunMs = this.#nowMs;
    const planned = mayPreempt ? this.#preemption(input, refusal) : undefined;
    // Without extenders the promise of a node must stand before the next pod is decided.
    const preemption = planned instanceof Promise ? await planned : planned;
    if (preemption !== undefined) {
      const status = preemption.node === undefined ? "Error" : "Success";
      this.#metrics?.reached("PostFilter", profile.schedulerName, status, this.#nowMs - begunMs);
      this.#metrics?.preempted("victims" in preemption ? preemption.victims.length : undefined);
    }
    if (preemption?.node === undefined) {
      const told = [relief, preemption].flatMap((one) => (one === undefined ? [] : [one.message]));
      const message = [refusal.message, told.join(", ")].filter((text) => text !== "").join(" ");
      await this.#binder.tellUnschedulable(pod, message, undefined);
      return;
    }
    const { node, victims } = preemption;
    this.#nominated.set(entry.uid, { pod, node });
    await this.#binder.tellUnschedulable(pod, refusal.message, node);
    await this.#binder.preempt(pod, node, victims);
  }

  /** Begins to free a claim that stands in the pod's way. */
  #relief({ pod, profile, snapshot, view }: DecideInput): Relief | undefined {
    if (!profile.filters.has("DynamicResources")) return undefined;
    const relief = reliefFor(pod, view.devices, snapshot.nodes);
    const { claim, isExtended = false } = relief;
    if (claim !== undefined) this.#start(this.#devices.giveBack(claim, isExtended));
    return relief;
  }

  #preemption(input: DecideInput, { rejections }: Refusal): Preemption | Promise<Preemption> {
    const { pod } = input;
    const budgets = Array.from(
      this.#context.live.of(podDisruptionBudgets).list(),
      ({ object }) => object,
    );
    const snapshot = this.#cache.snapshot();
    const wanted = { ...input, snapshot, rejections, budgets };
    if (!this.#extenders.concern(pod)) return planPreemption(wanted);
    const found = findCandidates(wanted);
    if (!("candidates" in found)) return found;
    return this.#extenders
      .preempt(pod, found.candidates, snapshot.nodes)
      .then(bestOf, (error: Error) => ({
        node: undefined,
        message: `preemption: ${error.message}`,
      }));
  }
}
