/** Decides what a Job counts, makes and removes, and when it is over. Pure. */
import type { Job, JobCondition, JobStatus } from "../../gen/batch-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { formatTime, isDeleting, mutable, omitEmpty, parseTime } from "../objects.ts";
import { isPodActive, isPodReady, isPodTerminal, type LivePod } from "../pod-state.ts";
import { type FailureVerdict, judgeFailure } from "./failure-policy.ts";
import { formatIndexes, parseIndexes } from "./indexes.ts";

export type LiveJob = DeepReadonly<Job>;

export const trackingFinalizer = "batch.kubernetes.io/job-tracking";
export const indexKey = "batch.kubernetes.io/job-completion-index";
const podsPerSyncMax = 500;
const backoffMsMin = 10_000;
const backoffMsMax = 10 * 60_000;

export interface JobPlan {
  readonly status: JobStatus;
  /** Written after the status: counted pods need no finalizer any more. */
  readonly release: readonly LivePod[];
  readonly delete: readonly LivePod[];
  /** Completion indexes of the pods to make; undefined for a pod without. */
  readonly create: readonly (number | undefined)[];
  readonly againInMs: number | undefined;
  readonly events: readonly (readonly ["Normal" | "Warning", string, string])[];
}

interface Counted {
  readonly succeeded: number;
  readonly failed: number;
  readonly completed: ReadonlySet<number>;
  readonly uncounted: { readonly succeeded: string[]; readonly failed: string[] };
  /** What is in the status only, without the uncounted. */
  readonly counted: { readonly succeeded: number; readonly failed: number };
  readonly release: readonly LivePod[];
  readonly verdict: FailureVerdict | undefined;
}

export function isIndexed(job: LiveJob): boolean {
  return job.spec.completionMode === "Indexed";
}

export function conditionOf(job: LiveJob, type: string): DeepReadonly<JobCondition> | undefined {
  return job.status?.conditions?.find((c) => c.type === type && c.status === "True");
}

export function isFinished(job: LiveJob): boolean {
  return conditionOf(job, "Complete") !== undefined || conditionOf(job, "Failed") !== undefined;
}

export function indexOf(pod: LivePod): number | undefined {
  const text = pod.metadata.annotations?.[indexKey] ?? pod.metadata.labels?.[indexKey];
  return text === undefined ? undefined : Number(text);
}

/** A stopping pod is a failure at once unless replacements must wait for its end. */
function isFailed(job: LiveJob, pod: LivePod): boolean {
  if (pod.status?.phase === "Failed") return true;
  const waits = job.spec.podReplacementPolicy === "Failed";
  return !waits && isDeleting(pod) && pod.status?.phase !== "Succeeded";
}

/** Counts each ended pod exactly once: first its uid is noted, then its finalizer is removed. */
function count(job: LiveJob, pods: readonly LivePod[]): Counted {
  const byUid = new Map(pods.map((pod) => [pod.metadata.uid ?? "", pod]));
  const isTracked = (pod: LivePod | undefined) =>
    pod?.metadata.finalizers?.includes(trackingFinalizer) === true;
  const noted = job.status?.uncountedTerminatedPods ?? {};
  const settle = (uids: readonly string[] = []) => ({
    left: uids.filter((uid) => isTracked(byUid.get(uid))),
    done: uids.filter((uid) => !isTracked(byUid.get(uid))).length,
  });
  const succeeded = settle(noted.succeeded);
  const failed = settle(noted.failed);
  const completed = parseIndexes(job.status?.completedIndexes);
  const release: LivePod[] = [];
  let verdict: FailureVerdict | undefined;
  for (const [uid, pod] of byUid) {
    if (!isTracked(pod)) continue;
    const index = indexOf(pod);
    const isOver = pod.status?.phase === "Succeeded" || isFailed(job, pod) || isFinished(job);
    if (!isOver) continue;
    release.push(pod);
    if (succeeded.left.includes(uid) || failed.left.includes(uid)) continue;
    if (pod.status?.phase === "Succeeded") {
      if (!isIndexed(job)) succeeded.left.push(uid);
      else if (index !== undefined && index < (job.spec.completions ?? 0)) completed.add(index);
    } else if (isFailed(job, pod)) {
      const judged = judgeFailure(job, pod);
      if (judged.action === "FailJob") verdict ??= judged;
      if (judged.action !== "Ignore") failed.left.push(uid);
    }
  }
  const counted = {
    succeeded: isIndexed(job) ? completed.size : (job.status?.succeeded ?? 0) + succeeded.done,
    failed: (job.status?.failed ?? 0) + failed.done,
  };
  return {
    succeeded: counted.succeeded + (isIndexed(job) ? 0 : succeeded.left.length),
    failed: counted.failed + failed.left.length,
    completed,
    uncounted: { succeeded: succeeded.left, failed: failed.left },
    counted,
    release,
    verdict,
  };
}

type Ending = { readonly type: "Complete" | "Failed"; reason: string; message: string };

function findEnding(
  job: LiveJob,
  counted: Counted,
  active: readonly LivePod[],
  nowMs: number,
): Ending | undefined {
  const met = conditionOf(job, "SuccessCriteriaMet");
  if (met !== undefined) return completed();
  const doomed = conditionOf(job, "FailureTarget");
  const failed = (reason: string, message: string): Ending => ({ type: "Failed", reason, message });
  if (doomed !== undefined) return failed(doomed.reason ?? "", doomed.message ?? "");
  if (counted.verdict !== undefined) return failed("PodFailurePolicy", counted.verdict.message);
  const { completions, activeDeadlineSeconds, backoffLimit = 6 } = job.spec;
  const limitText = "Job has reached the specified backoff limit";
  if (counted.failed > backoffLimit) return failed("BackoffLimitExceeded", limitText);
  if (job.spec.template.spec.restartPolicy === "OnFailure") {
    const restarts = active
      .flatMap((pod) => [
        ...(pod.status?.initContainerStatuses ?? []),
        ...(pod.status?.containerStatuses ?? []),
      ])
      .reduce((total, status) => total + (status.restartCount ?? 0), 0);
    const isPast = backoffLimit === 0 ? restarts > 0 : restarts >= backoffLimit;
    if (isPast) return failed("BackoffLimitExceeded", limitText);
  }
  const startMs = parseTime(job.status?.startTime);
  if (activeDeadlineSeconds !== undefined && startMs > 0 && job.spec.suspend !== true) {
    if (nowMs - startMs >= activeDeadlineSeconds * 1000) {
      return failed("DeadlineExceeded", "Job was active longer than specified deadline");
    }
  }
  const isDone =
    completions === undefined
      ? counted.succeeded > 0 && active.length === 0
      : counted.succeeded >= completions;
  return isDone ? completed() : undefined;
}

function completed(): Ending {
  const message = "Reached expected number of succeeded pods";
  return { type: "Complete", reason: "CompletionsReached", message };
}

export function planJob(job: LiveJob, pods: readonly LivePod[], now: Date): JobPlan {
  const nowMs = now.getTime();
  const counted = count(job, pods);
  const active = pods.filter(isPodActive);
  const terminating = pods.filter((pod) => isDeleting(pod) && !isPodTerminal(pod));
  const events: (readonly ["Normal" | "Warning", string, string])[] = [];
  const suspended = job.spec.suspend === true;
  const ending = isFinished(job) ? undefined : findEnding(job, counted, active, nowMs);
  const conditions = new Conditions(job.status?.conditions ?? [], now);
  let doomed: readonly LivePod[] = [];
  let create: readonly (number | undefined)[] = [];
  let againInMs: number | undefined;
  if (isFinished(job) || ending !== undefined || isDeleting(job)) {
    doomed = isDeleting(job) ? [] : active;
  } else if (suspended) {
    doomed = active;
    if (conditions.set("Suspended", "True", "JobSuspended", "Job suspended")) {
      events.push(["Normal", "Suspended", "Job suspended"]);
    }
  } else {
    if (
      conditions.has("Suspended") &&
      conditions.set("Suspended", "False", "JobResumed", "Job resumed")
    )
      events.push(["Normal", "Resumed", "Job resumed"]);
    const waitMs = backoffLeftMs(pods, nowMs);
    const wanted = planPods(job, counted, active, terminating.length);
    doomed = wanted.delete;
    create = waitMs > 0 ? [] : wanted.create;
    if (waitMs > 0 && wanted.create.length > 0) againInMs = waitMs;
  }
  const left = active.length - doomed.length + create.length;
  if (ending !== undefined) endJob(ending, conditions, active.length + terminating.length, events);
  const status = statusOf(job, { counted, active, left, terminating, conditions, now, suspended });
  const deadlineMs = untilDeadlineMs(job, status, nowMs);
  if (deadlineMs !== undefined) againInMs = Math.min(againInMs ?? deadlineMs, deadlineMs);
  return { status, release: counted.release, delete: doomed, create, againInMs, events };
}

/** First the verdict, the condition proper once the last pod has stopped. */
function endJob(
  ending: Ending,
  conditions: Conditions,
  running: number,
  events: (readonly ["Normal" | "Warning", string, string])[],
): void {
  const early = ending.type === "Complete" ? "SuccessCriteriaMet" : "FailureTarget";
  conditions.set(early, "True", ending.reason, ending.message);
  if (running > 0) return;
  conditions.set(ending.type, "True", ending.reason, ending.message);
  if (ending.type === "Complete") events.push(["Normal", "Completed", "Job completed"]);
  else events.push(["Warning", ending.reason, ending.message]);
}

function untilDeadlineMs(job: LiveJob, status: JobStatus, nowMs: number): number | undefined {
  const { activeDeadlineSeconds } = job.spec;
  const startMs = parseTime(status.startTime);
  if (activeDeadlineSeconds === undefined || startMs === 0 || isFinished(job)) return undefined;
  return Math.max(1, startMs + activeDeadlineSeconds * 1000 - nowMs);
}

function planPods(
  job: LiveJob,
  counted: Counted,
  active: readonly LivePod[],
  terminating: number,
): { readonly create: readonly (number | undefined)[]; readonly delete: readonly LivePod[] } {
  const { completions, parallelism = 1 } = job.spec;
  const wanted =
    completions === undefined
      ? counted.succeeded > 0
        ? Math.min(active.length, parallelism)
        : parallelism
      : Math.min(parallelism, completions - counted.succeeded);
  if (!isIndexed(job)) {
    if (active.length > wanted)
      return { create: [], delete: youngest(active, active.length - wanted) };
  }
  const seen = new Set<number>();
  const doomed: LivePod[] = [];
  if (isIndexed(job)) {
    for (const pod of active) {
      const index = indexOf(pod);
      const isSpare = index === undefined || seen.has(index) || counted.completed.has(index);
      if (isSpare || index >= (completions ?? 0)) doomed.push(pod);
      else seen.add(index);
    }
    const kept = active.filter((pod) => !doomed.includes(pod));
    doomed.push(...youngest(kept, Math.max(0, kept.length - wanted)));
  }
  const waits = job.spec.podReplacementPolicy === "Failed" ? terminating : 0;
  const missing = Math.max(0, wanted - (active.length - doomed.length) - waits);
  const number = Math.min(missing, podsPerSyncMax);
  if (!isIndexed(job))
    return { create: Array.from({ length: number }, () => undefined), delete: [] };
  const create: number[] = [];
  for (let index = 0; create.length < number && index < (completions ?? 0); index++) {
    if (!seen.has(index) && !counted.completed.has(index)) create.push(index);
  }
  return { create, delete: doomed };
}

function youngest(pods: readonly LivePod[], number: number): LivePod[] {
  return pods
    .toSorted(
      (a, b) =>
        Number(isPodReady(a)) - Number(isPodReady(b)) ||
        parseTime(b.metadata.creationTimestamp) - parseTime(a.metadata.creationTimestamp),
    )
    .slice(0, number);
}

/** When a pod ended: its last container's end, or when it began to be deleted. */
function endedMs(pod: LivePod): number {
  const ends = (pod.status?.containerStatuses ?? []).map((s) =>
    parseTime(s.state?.terminated?.finishedAt),
  );
  return Math.max(0, ...ends) || parseTime(pod.metadata.deletionTimestamp);
}

/** Failures in a row double the wait before the next pod. */
export function backoffLeftMs(pods: readonly LivePod[], nowMs: number): number {
  const successMs = Math.max(
    0,
    ...pods.filter(({ status }) => status?.phase === "Succeeded").map(endedMs),
  );
  const failures = pods
    .filter(({ status }) => status?.phase === "Failed")
    .map(endedMs)
    .filter((ms) => ms > successMs);
  if (failures.length === 0) return 0;
  const waitMs = Math.min(backoffMsMin * 2 ** (failures.length - 1), backoffMsMax);
  return Math.max(0, Math.max(...failures) + waitMs - nowMs);
}

interface StatusInput {
  readonly counted: Counted;
  readonly active: readonly LivePod[];
  /** Active pods after this plan. */
  readonly left: number;
  readonly terminating: readonly LivePod[];
  readonly conditions: Conditions;
  readonly now: Date;
  readonly suspended: boolean;
}

function statusOf(job: LiveJob, input: StatusInput): JobStatus {
  const { counted, now, suspended } = input;
  const conditions = input.conditions.list;
  const resumed = conditions.some((c) => c.type === "Suspended" && c.status === "False");
  const wasSuspended = conditionOf(job, "Suspended") !== undefined;
  const startTime = suspended
    ? undefined
    : resumed && wasSuspended
      ? formatTime(now)
      : (job.status?.startTime ?? formatTime(now));
  const isComplete = conditions.some((c) => c.type === "Complete" && c.status === "True");
  const completionTime = isComplete ? (job.status?.completionTime ?? formatTime(now)) : undefined;
  return {
    ...omitEmpty({
      startTime,
      completionTime,
      active: input.left,
      succeeded: counted.counted.succeeded,
      failed: counted.counted.failed,
      completedIndexes: isIndexed(job) ? formatIndexes(counted.completed) : "",
      conditions,
    }),
    uncountedTerminatedPods: {
      ...omitEmpty({ succeeded: counted.uncounted.succeeded, failed: counted.uncounted.failed }),
    },
    ready: input.active.filter(isPodReady).length,
    terminating: input.terminating.length,
  };
}

class Conditions {
  list: JobCondition[];
  readonly #now: Date;

  constructor(present: readonly DeepReadonly<JobCondition>[], now: Date) {
    this.list = mutable<JobCondition[]>(present);
    this.#now = now;
  }

  has(type: string): boolean {
    return this.list.some((condition) => condition.type === type);
  }

  /** Returns true when the status changed. */
  set(type: string, status: string, reason: string, message: string): boolean {
    const current = this.list.find((condition) => condition.type === type);
    if (current?.status === status) return false;
    const time = formatTime(this.#now);
    this.list = [
      ...this.list.filter((condition) => condition !== current),
      { type, status, reason, message, lastProbeTime: time, lastTransitionTime: time },
    ];
    return true;
  }
}
