/** Which pods a running Job makes and removes. Pure. */
import { isDeleting, parseTime } from "../objects.ts";
import { isPodActive, isPodTerminating, type LivePod, podCondition } from "../pod-state.ts";
import { choosePodsToDelete } from "../replica-set/deletion-order.ts";
import { allFailures, type Counted } from "./count.ts";
import { judgeFailure } from "./failure-policy.ts";
import {
  countedFailures,
  ignoredFailures,
  indexOf,
  isIndexed,
  isPerIndex,
  type LiveJob,
  replacesFailedOnly,
} from "./job-state.ts";

const podsPerSyncMax = 500;
const backoffMsMin = 10_000;
const backoffMsMax = 10 * 60_000;

/** A pod to make; one with an index knows it, and what became of its predecessors. */
export interface NewPod {
  readonly index?: number;
  readonly failures?: number;
  readonly ignoredFailures?: number;
}

export interface PodSteps {
  readonly create: readonly NewPod[];
  readonly delete: readonly LivePod[];
  /** When a pod that waits for its backoff may be made. */
  readonly againInMs?: number;
}

export function planPods(
  job: LiveJob,
  pods: readonly LivePod[],
  counted: Counted,
  nowMs: number,
): PodSteps {
  const active = pods.filter(isPodActive);
  if (job.spec.suspend === true) return { create: [], delete: active };
  const wanted = wantedPods(job, counted, active.length);
  const doomed = podsToRemove(job, active, Math.max(0, active.length - wanted), nowMs);
  // Room that removals make is used by the next round, when they are seen.
  if (doomed.length > 0) return { create: [], delete: doomed.slice(0, podsPerSyncMax) };
  const stopping = replacesFailedOnly(job) ? pods.filter(isPodTerminating).length : 0;
  const missing = Math.min(wanted - stopping - active.length, podsPerSyncMax);
  if (missing <= 0) return { create: [], delete: [] };
  if (isPerIndex(job)) return independentPods(job, active, counted, missing, nowMs);
  const waitMs = backoffLeftMs(pods, nowMs);
  if (waitMs > 0) return { create: [], delete: [], againInMs: waitMs };
  const create = isIndexed(job)
    ? pendingIndexes(job, active, counted, missing).map((index) => ({ index }))
    : Array.from({ length: missing }, () => ({}));
  return { create, delete: [] };
}

function wantedPods(job: LiveJob, counted: Counted, active: number): number {
  const { completions, parallelism = 1 } = job.spec;
  if (completions === undefined) {
    // One success ends a work queue: those that run may finish, none is added.
    return counted.succeeded > 0 ? Math.min(active, parallelism) : parallelism;
  }
  const left = completions - counted.succeeded - (counted.failedIndexes?.size ?? 0);
  return Math.max(0, Math.min(parallelism, left));
}

function podsToRemove(
  job: LiveJob,
  active: readonly LivePod[],
  atLeast: number,
  nowMs: number,
): LivePod[] {
  if (!isIndexed(job)) {
    return atLeast === 0 ? [] : choosePodsToDelete(active, [], atLeast, nowMs);
  }
  const byIndex = new Map<number | undefined, LivePod[]>();
  for (const pod of active) {
    const index = indexOf(job, pod);
    const group = byIndex.get(index);
    if (group === undefined) byIndex.set(index, [pod]);
    else group.push(pod);
  }
  const doomed: LivePod[] = [];
  for (const [index, group] of byIndex) {
    if (index === undefined) doomed.push(...group);
    else if (group.length > 1) {
      doomed.push(...choosePodsToDelete(group, [], group.length - 1, nowMs));
    }
  }
  const left = active.filter((pod) => !doomed.includes(pod));
  const more = atLeast - doomed.length;
  return more > 0 ? [...doomed, ...choosePodsToDelete(left, [], more, nowMs)] : doomed;
}

function pendingIndexes(
  job: LiveJob,
  active: readonly LivePod[],
  counted: Counted,
  number: number,
): number[] {
  const taken = new Set(active.map((pod) => indexOf(job, pod)));
  const { completions = 0 } = job.spec;
  const pending: number[] = [];
  for (let index = 0; pending.length < number && index < completions; index++) {
    const isOver = counted.completed.has(index) || counted.failedIndexes?.has(index) === true;
    if (!isOver && !taken.has(index)) pending.push(index);
  }
  return pending;
}

/** Each index waits for its own failures only. */
function independentPods(
  job: LiveJob,
  active: readonly LivePod[],
  counted: Counted,
  number: number,
  nowMs: number,
): PodSteps {
  const create: NewPod[] = [];
  let againInMs: number | undefined;
  for (const index of pendingIndexes(job, active, counted, job.spec.completions ?? 0)) {
    if (create.length === number) break;
    const former = counted.delayed.get(index);
    // A pod that still stops keeps its index until it has ended.
    if (former !== undefined && replacesFailedOnly(job) && isPodTerminating(former)) continue;
    const waitMs = former === undefined ? 0 : indexBackoffLeftMs(former, nowMs);
    if (waitMs > 0) againInMs = Math.min(againInMs ?? waitMs, waitMs);
    else create.push({ index, ...failuresAfter(job, former) });
  }
  return { create, delete: [], ...(againInMs === undefined ? {} : { againInMs }) };
}

function failuresAfter(
  job: LiveJob,
  former: LivePod | undefined,
): { readonly failures: number; readonly ignoredFailures: number } {
  if (former === undefined) return { failures: 0, ignoredFailures: 0 };
  const isIgnored = judgeFailure(job, former).action === "Ignore";
  return {
    failures: countedFailures(former) + (isIgnored ? 0 : 1),
    ignoredFailures: ignoredFailures(former) + (isIgnored ? 1 : 0),
  };
}

/** When a pod ended: its last container's end, when it became unready, or began to be deleted. */
function endedMs(pod: LivePod): number {
  const ends = (pod.status?.containerStatuses ?? []).map((s) =>
    parseTime(s.state?.terminated?.finishedAt),
  );
  const lastMs = Math.max(0, ...ends);
  if (lastMs > 0) return lastMs;
  const ready = podCondition(pod, "Ready");
  const { deletionTimestamp, deletionGracePeriodSeconds = 0, creationTimestamp } = pod.metadata;
  if (ready?.status === "False" && ready.lastTransitionTime) {
    return parseTime(ready.lastTransitionTime);
  }
  if (isDeleting(pod))
    return parseTime(deletionTimestamp) - Number(deletionGracePeriodSeconds) * 1000;
  return parseTime(creationTimestamp);
}

function leftMs(failures: number, lastMs: number, nowMs: number): number {
  const waitMs = Math.min(backoffMsMin * 2 ** (failures - 1), backoffMsMax);
  return Math.max(0, lastMs + waitMs - nowMs);
}

function indexBackoffLeftMs(former: LivePod, nowMs: number): number {
  return leftMs(allFailures(former) + 1, endedMs(former), nowMs);
}

/** Failures in a row double the wait before the next pod. */
export function backoffLeftMs(pods: readonly LivePod[], nowMs: number): number {
  const ended = (phase: string) =>
    pods.filter(({ status }) => status?.phase === phase).map((pod) => endedMs(pod));
  const successMs = Math.max(0, ...ended("Succeeded"));
  const failures = ended("Failed").filter((ms) => ms > successMs);
  return failures.length === 0 ? 0 : leftMs(failures.length, Math.max(...failures), nowMs);
}
