/** Decides what a Job counts, makes and removes, and when it is over. Pure. */
import type { JobCondition, JobStatus } from "../../gen/batch-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { formatTime, isDeleting, mutable, omitEmpty, parseTime } from "../objects.ts";
import { isPodActive, isPodReady, isPodTerminating, type LivePod } from "../pod-state.ts";
import { type Counted, countPods } from "./count.ts";
import { type Ending, endingOf, findEnding } from "./ending.ts";
import { formatIndexes } from "./indexes.ts";
import { conditionOf, isFinished, isIndexed, type LiveJob } from "./job-state.ts";
import { type NewPod, planPods } from "./pods.ts";

export type JobEvent = readonly [type: "Normal" | "Warning", reason: string, message: string];

export interface JobPlan {
  readonly status: JobStatus;
  /** Written after the status: counted pods need no finalizer any more. */
  readonly release: readonly LivePod[];
  readonly delete: readonly LivePod[];
  readonly create: readonly NewPod[];
  readonly againInMs: number | undefined;
  readonly events: readonly JobEvent[];
}

export function planJob(job: LiveJob, pods: readonly LivePod[], now: Date): JobPlan {
  const nowMs = now.getTime();
  const active = pods.filter(isPodActive);
  const conditions = new Conditions(job.status?.conditions ?? [], now);
  const events: JobEvent[] = [];
  let counted = countPods(job, pods, endingOf(job)?.type);
  const ending = isFinished(job) ? undefined : findEnding(job, counted, active, nowMs);
  // With the verdict no index waits for another try: its last pod counts, too.
  if (ending !== undefined) counted = countPods(job, pods, ending.type);
  const isOver = isFinished(job) || ending !== undefined;
  const steps = isDeleting(job)
    ? { create: [], delete: [] }
    : isOver
      ? { create: [], delete: active }
      : planPods(job, pods, counted, nowMs);
  const hasResumed = !isOver && !isDeleting(job) && noteSuspension(job, conditions, events);
  const terminating = pods.filter(isPodTerminating).length;
  if (ending !== undefined) {
    endJob(ending, conditions, {
      isEmpty: active.length + terminating === 0 && isAllCounted(counted),
      events,
    });
  }
  const status = statusOf(job, {
    counted,
    active: active.length - steps.delete.length + steps.create.length,
    ready: active.filter((pod) => isPodReady(pod) && !steps.delete.includes(pod)).length,
    terminating,
    conditions: conditions.list,
    hasResumed,
    now,
  });
  const waits = [untilDeadlineMs(job, status, nowMs), steps.againInMs];
  const soonest = Math.min(...waits.filter((ms) => ms !== undefined));
  return {
    status,
    release: counted.release,
    delete: steps.delete,
    create: steps.create,
    againInMs: Number.isFinite(soonest) ? soonest : undefined,
    events,
  };
}

function isAllCounted({ uncounted }: Counted): boolean {
  return uncounted.succeeded.length + uncounted.failed.length === 0;
}

/** Returns true when the Job has just been resumed. */
function noteSuspension(job: LiveJob, conditions: Conditions, events: JobEvent[]): boolean {
  if (job.spec.suspend === true) {
    if (conditions.set("Suspended", "True", "JobSuspended", "Job suspended")) {
      events.push(["Normal", "Suspended", "Job suspended"]);
    }
    return false;
  }
  if (!conditions.has("Suspended")) return false;
  if (!conditions.set("Suspended", "False", "JobResumed", "Job resumed")) return false;
  events.push(["Normal", "Resumed", "Job resumed"]);
  return true;
}

/** First the verdict, the condition proper once the last pod has stopped and is counted. */
function endJob(
  ending: Ending,
  conditions: Conditions,
  { isEmpty, events }: { readonly isEmpty: boolean; readonly events: JobEvent[] },
): void {
  const early = ending.type === "Complete" ? "SuccessCriteriaMet" : "FailureTarget";
  conditions.set(early, "True", ending.reason, ending.message);
  if (!isEmpty) return;
  conditions.set(ending.type, "True", ending.reason, ending.message);
  if (ending.type === "Complete") events.push(["Normal", "Completed", "Job completed"]);
  else events.push(["Warning", ending.reason, ending.message]);
}

function untilDeadlineMs(job: LiveJob, status: JobStatus, nowMs: number): number | undefined {
  const { activeDeadlineSeconds } = job.spec;
  const startMs = parseTime(status.startTime);
  if (activeDeadlineSeconds === undefined || startMs === 0 || isFinished(job)) return undefined;
  return Math.max(1, startMs + Number(activeDeadlineSeconds) * 1000 - nowMs);
}

interface StatusInput {
  readonly counted: Counted;
  /** Active pods after this plan. */
  readonly active: number;
  readonly ready: number;
  readonly terminating: number;
  readonly conditions: JobCondition[];
  readonly hasResumed: boolean;
  readonly now: Date;
}

function statusOf(job: LiveJob, input: StatusInput): JobStatus {
  const { counted, conditions } = input;
  const isComplete = conditions.some((c) => c.type === "Complete" && c.status === "True");
  const now = formatTime(input.now);
  return {
    ...omitEmpty({
      startTime: startTimeOf(job, input.hasResumed, now),
      completionTime: isComplete ? (job.status?.completionTime ?? now) : undefined,
      active: input.active,
      succeeded: counted.counted.succeeded,
      failed: counted.counted.failed,
      completedIndexes: isIndexed(job) ? formatIndexes(counted.completed) : "",
      conditions,
    }),
    ...(counted.failedIndexes === undefined
      ? {}
      : { failedIndexes: formatIndexes(counted.failedIndexes) }),
    uncountedTerminatedPods: {
      ...omitEmpty({ succeeded: counted.uncounted.succeeded, failed: counted.uncounted.failed }),
    },
    ready: input.ready,
    terminating: input.terminating,
  };
}

/** A suspended Job has none, so that its deadline counts from where it goes on. */
function startTimeOf(job: LiveJob, hasResumed: boolean, now: string): string | undefined {
  if (isFinished(job)) return job.status?.startTime;
  if (job.spec.suspend === true) return undefined;
  if (hasResumed && conditionOf(job, "Suspended") !== undefined) return now;
  return job.status?.startTime ?? now;
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
