/**
 * Grants resizes: a pod that asks for other resources gets them where the node has room, and waits
 * for it where not. What is granted, pod workers then carry out.
 */
import type * as core from "../../gen/core-v1.ts";
import { rejectPod } from "./admit-pod.ts";
import { allocationOf, withAllocation } from "./allocation.ts";
import type { KubeletContext } from "./kubelet-context.ts";
import { hasEnded } from "./plan-pod.ts";
import type { PodRecord } from "./pod-record.ts";
import { timeOf } from "./pod-status.ts";
import { podCpuRequest, podRequest, qosClassOf } from "./resources.ts";
import { containersOf, type Pod } from "./types.ts";

const pendingType = "PodResizePending";
const progressType = "PodResizeInProgress";

export class PodResizes {
  readonly #context: KubeletContext;
  readonly #records: ReadonlyMap<string, PodRecord>;
  readonly #wake: (uid: string, afterMs: number) => void;
  #pending: readonly PodRecord[] = [];

  constructor(
    context: KubeletContext,
    records: ReadonlyMap<string, PodRecord>,
    wake: (uid: string, afterMs: number) => void,
  ) {
    this.#context = context;
    this.#records = records;
    this.#wake = wake;
  }

  /** A pod comes to this node, or is found on it after a restart. */
  begin(record: PodRecord): void {
    const { resources } = this.#context;
    const { asked, uid } = record;
    record.pod = withAllocation(asked, resources.allocation(uid) ?? allocationOf(asked));
    const conditions = asked.status?.conditions ?? [];
    record.resizePending = conditions.find(({ type }) => type === pendingType);
    record.resizing = conditions.find(({ type }) => type === progressType);
    if (record.pod !== asked) this.#pending = [...this.#pending, record];
  }

  /** The pod may run: what it asks for is granted to it. */
  admitted({ uid, pod }: PodRecord): void {
    const { resources } = this.#context;
    if (resources.allocation(uid) === undefined) resources.allocate(uid, allocationOf(pod));
    resources.begin(pod);
  }

  /** The API has a newer state of the pod. */
  seen(record: PodRecord, pod: Pod): void {
    const isNewSpec = record.asked.metadata.generation !== pod.metadata.generation;
    const allocation = this.#context.resources.allocation(record.uid) ?? allocationOf(record.pod);
    record.asked = pod;
    record.pod = withAllocation(pod, allocation);
    if (!isNewSpec) return;
    this.#pending = this.#pending.filter((one) => one !== record);
    if (record.pod === pod) {
      record.resizePending = undefined;
      return;
    }
    this.#pending = [...this.#pending, record];
    this.retry();
  }

  /** Something may have become free. */
  retry(): void {
    if (this.#pending.length === 0) return;
    const waiting = this.#pending.filter(
      ({ removed, failed, pod }) => !removed && failed === undefined && !hasEnded(pod),
    );
    this.#pending = waiting.toSorted(firstServed).filter((record) => !this.#grant(record));
  }

  /** Runs after every look at what the pod has: undefined for what is as granted. */
  progressed(record: PodRecord, isResizing: boolean): void {
    const { events, runtime } = this.#context;
    const { resizing, pod } = record;
    if (isResizing && resizing === undefined) {
      const nowMs = runtime.clock.now().getTime();
      record.resizing = condition(progressType, pod, { reason: "", message: "" }, nowMs);
    }
    if (isResizing || resizing === undefined) return;
    record.resizing = undefined;
    const generation = resizing.observedGeneration ?? 0;
    const message = `Pod resize completed: ${summary(pod, generation)}`;
    events.event(pod, "Normal", "ResizeCompleted", message);
    this.retry();
  }

  /** A granted resize could not be carried out; it will be tried again. */
  failed(record: PodRecord, message: string): void {
    const { events, runtime } = this.#context;
    const { resizing, pod } = record;
    if (resizing === undefined || resizing.message === message) return;
    const nowMs = runtime.clock.now().getTime();
    const verdict = { reason: "Error", message };
    const observedGeneration = resizing.observedGeneration ?? 0;
    record.resizing = { ...condition(progressType, pod, verdict, nowMs), observedGeneration };
    const text = `Pod resize error: ${summary(pod, observedGeneration, message)}`;
    events.event(pod, "Warning", "ResizeError", text);
  }

  /** True when nothing is left to wait for. */
  #grant(record: PodRecord): boolean {
    const { resources, allocatable, events, runtime } = this.#context;
    const conditions = this.#context.conditions();
    const { asked, uid } = record;
    const nowMs = runtime.clock.now().getTime();
    const rejection = rejectPod(asked, {
      others: othersOf(this.#records, uid),
      allocatable,
      conditions,
    });
    const generation = asked.metadata.generation ?? 0;
    this.#wake(uid, 0);
    if (rejection === undefined) {
      resources.allocate(uid, allocationOf(asked));
      record.pod = { ...record.pod, spec: asked.spec };
      record.resizePending = undefined;
      record.resizing = condition(progressType, asked, { reason: "", message: "" }, nowMs);
      const message = `Pod resize started: ${summary(asked, generation)}`;
      events.event(asked, "Normal", "ResizeStarted", message);
      return true;
    }
    const { message } = rejection;
    const before = record.resizePending;
    const now = condition(pendingType, asked, { reason: "Deferred", message }, nowMs);
    const isSame = before?.reason === now.reason;
    const since = isSame ? before?.lastTransitionTime : undefined;
    record.resizePending = {
      ...now,
      ...(since === undefined ? {} : { lastTransitionTime: since }),
    };
    if (isSame && before?.observedGeneration === generation) return false;
    const text = `Pod resize ${rejection.reason}: ${summary(asked, generation, message)}`;
    events.event(asked, "Warning", "ResizeDeferred", text);
    return false;
  }
}

/** Pods that hold resources of this node, without `uid`. */
export function othersOf(records: ReadonlyMap<string, PodRecord>, uid: string): readonly Pod[] {
  return [...records.values()]
    .filter((one) => !one.removed && one.failed === undefined && !hasEnded(one.pod))
    .filter((one) => one.uid !== uid)
    .map((one) => one.pod);
}

function condition(
  type: string,
  { metadata }: Pod,
  verdict: { readonly reason: string; readonly message: string },
  nowMs: number,
): core.PodCondition {
  const now = timeOf(nowMs);
  const observedGeneration = metadata.generation ?? 0;
  const said = verdict.reason === "" ? {} : verdict;
  const times = { lastProbeTime: now, lastTransitionTime: now };
  return { type, status: "True", ...said, observedGeneration, ...times };
}

/** What takes nothing more comes first, then priority, quality of service, the longest wait. */
function firstServed(a: PodRecord, b: PodRecord): number {
  const priority = ({ asked }: PodRecord): number => asked.spec.priority ?? 0;
  const guaranteed = ({ asked }: PodRecord): number => Number(qosClassOf(asked) === "Guaranteed");
  const since = ({ resizePending }: PodRecord): number =>
    Date.parse(resizePending?.lastTransitionTime ?? "9999-12-31T00:00:00Z");
  return (
    Number(grows(a)) - Number(grows(b)) ||
    priority(b) - priority(a) ||
    guaranteed(b) - guaranteed(a) ||
    since(a) - since(b)
  );
}

function grows({ asked, pod }: PodRecord): boolean {
  return (
    podCpuRequest(asked) > podCpuRequest(pod) ||
    podRequest(asked, "memory") > podRequest(pod, "memory")
  );
}

/** The resources as the events of a resize tell them. */
function summary(pod: Pod, generation: number, error?: string): string {
  const of = (kind: "init" | "app") =>
    containersOf(pod)
      .filter((named) => named.kind === kind)
      .map(({ container: { name, resources = {} } }) => ({ name, resources: sorted(resources) }));
  const inits = of("init");
  return JSON.stringify({
    ...(inits.length === 0 ? {} : { initContainers: inits }),
    containers: of("app"),
    generation,
    ...(error === undefined ? {} : { error }),
  });
}

function sorted(resources: NonNullable<Pod["spec"]["resources"]>): object {
  const { limits, requests } = resources;
  const list = (of: Readonly<Record<string, string>>): object =>
    Object.fromEntries(Object.entries(of).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  return {
    ...(limits === undefined ? {} : { limits: list(limits) }),
    ...(requests === undefined ? {} : { requests: list(requests) }),
  };
}
