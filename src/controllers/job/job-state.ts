/** What a Job's fields and its pods' annotations mean: the words the other files here use. */
import type { Job, JobCondition } from "../../gen/batch-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { isDeleting } from "../objects.ts";
import type { LivePod } from "../pod-state.ts";

export type LiveJob = DeepReadonly<Job>;

export const trackingFinalizer = "batch.kubernetes.io/job-tracking";
export const indexKey = "batch.kubernetes.io/job-completion-index";
/** How often the pods of this index failed before, counted and ignored failures apart. */
export const failuresKey = "batch.kubernetes.io/job-index-failure-count";
export const ignoredFailuresKey = "batch.kubernetes.io/job-index-ignored-failure-count";

export function isIndexed(job: LiveJob): boolean {
  return job.spec.completionMode === "Indexed";
}

/** True when failures count for each index alone. */
export function isPerIndex(job: LiveJob): boolean {
  return isIndexed(job) && job.spec.backoffLimitPerIndex !== undefined;
}

export function conditionOf(job: LiveJob, type: string): DeepReadonly<JobCondition> | undefined {
  return job.status?.conditions?.find((c) => c.type === type && c.status === "True");
}

export function isFinished(job: LiveJob): boolean {
  return conditionOf(job, "Complete") !== undefined || conditionOf(job, "Failed") !== undefined;
}

/** The completion index of a pod when it is one that the Job has. */
export function indexOf(job: LiveJob, pod: LivePod): number | undefined {
  const text = pod.metadata.annotations?.[indexKey] ?? pod.metadata.labels?.[indexKey];
  if (text === undefined || !/^\d+$/.test(text)) return undefined;
  const index = Number(text);
  return index < (job.spec.completions ?? 0) ? index : undefined;
}

export function isTracked(pod: LivePod | undefined): boolean {
  return pod?.metadata.finalizers?.includes(trackingFinalizer) === true;
}

/** True when a pod that stops must have ended before another takes its place. */
export function replacesFailedOnly(job: LiveJob): boolean {
  return job.spec.podReplacementPolicy === "Failed" || job.spec.podFailurePolicy !== undefined;
}

/** A stopping pod is a failure at once unless replacements wait for its end. */
export function isFailed(job: LiveJob, pod: LivePod): boolean {
  if (pod.status?.phase === "Failed") return true;
  return !replacesFailedOnly(job) && isDeleting(pod) && pod.status?.phase !== "Succeeded";
}

function numberIn(pod: LivePod, annotation: string): number {
  const value = Number.parseInt(pod.metadata.annotations?.[annotation] ?? "0", 10);
  return Number.isFinite(value) && value > 0 ? value : 0;
}

export function countedFailures(pod: LivePod): number {
  return numberIn(pod, failuresKey);
}

export function ignoredFailures(pod: LivePod): number {
  return numberIn(pod, ignoredFailuresKey);
}
