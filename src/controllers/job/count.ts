/** Counts each ended pod of a Job exactly once: its uid is noted, then its finalizer removed. */
import type { LivePod } from "../pod-state.ts";
import { isPodActive } from "../pod-state.ts";
import { type FailureVerdict, judgeFailure } from "./failure-policy.ts";
import { parseIndexes } from "./indexes.ts";
import {
  countedFailures,
  ignoredFailures,
  indexOf,
  isFailed,
  isFinished,
  isIndexed,
  isPerIndex,
  isTracked,
  type LiveJob,
} from "./job-state.ts";

export interface Counted {
  readonly succeeded: number;
  readonly failed: number;
  readonly completed: ReadonlySet<number>;
  /** Indexes that may not be tried again; undefined unless failures count per index. */
  readonly failedIndexes: ReadonlySet<number> | undefined;
  readonly uncounted: { readonly succeeded: string[]; readonly failed: string[] };
  /** What is in the status only, without the uncounted. */
  readonly counted: { readonly succeeded: number; readonly failed: number };
  readonly release: readonly LivePod[];
  /** Last failed pods of indexes that wait for their next try: they remember the failures. */
  readonly delayed: ReadonlyMap<number, LivePod>;
  readonly verdict: FailureVerdict | undefined;
}

function below(job: LiveJob, indexes: ReadonlySet<number>): Set<number> {
  const { completions = 0 } = job.spec;
  return new Set([...indexes].filter((index) => index < completions));
}

/** Noted uids whose pods still carry the finalizer, and how many have been let go. */
function settle(byUid: ReadonlyMap<string, LivePod>, uids: readonly string[] = []) {
  const left = uids.filter((uid) => isTracked(byUid.get(uid)));
  return { left, done: uids.length - left.length };
}

function completedIndexes(job: LiveJob, pods: readonly LivePod[]): Set<number> {
  const completed = below(job, parseIndexes(job.status?.completedIndexes));
  for (const pod of pods) {
    const index = indexOf(job, pod);
    if (pod.status?.phase === "Succeeded" && isTracked(pod) && index !== undefined) {
      completed.add(index);
    }
  }
  return completed;
}

/** The index is lost: its pod failed once more than it may, or a rule says so. */
function losesIndex(job: LiveJob, pod: LivePod): boolean {
  if (!isFailed(job, pod)) return false;
  const { action } = judgeFailure(job, pod);
  if (action === "FailIndex") return true;
  if (action === "Ignore") return false;
  return countedFailures(pod) >= (job.spec.backoffLimitPerIndex ?? 0);
}

function lostIndexes(
  job: LiveJob,
  pods: readonly LivePod[],
  completed: ReadonlySet<number>,
): Set<number> | undefined {
  if (!isPerIndex(job)) return undefined;
  const lost = below(job, parseIndexes(job.status?.failedIndexes));
  for (const pod of pods) {
    const index = indexOf(job, pod);
    if (index === undefined || completed.has(index) || !isTracked(pod)) continue;
    if (losesIndex(job, pod)) lost.add(index);
  }
  return lost;
}

export function allFailures(pod: LivePod): number {
  return countedFailures(pod) + ignoredFailures(pod);
}

function delayedPods(
  job: LiveJob,
  pods: readonly LivePod[],
  isOver: (index: number) => boolean,
): Map<number, LivePod> {
  const delayed = new Map<number, LivePod>();
  if (!isPerIndex(job)) return delayed;
  const active = new Set(pods.filter(isPodActive).map((pod) => indexOf(job, pod)));
  for (const pod of pods) {
    const index = indexOf(job, pod);
    if (index === undefined || !isTracked(pod) || !isFailed(job, pod)) continue;
    if (isOver(index) || active.has(index)) continue;
    const known = delayed.get(index);
    if (known === undefined || allFailures(known) <= allFailures(pod)) delayed.set(index, pod);
  }
  return delayed;
}

/** What the pods say about the Job so far; `ending` when it has its verdict already. */
export function countPods(
  job: LiveJob,
  pods: readonly LivePod[],
  ending: "Complete" | "Failed" | undefined,
): Counted {
  const byUid = new Map(pods.map((pod) => [pod.metadata.uid ?? "", pod]));
  const noted = job.status?.uncountedTerminatedPods ?? {};
  const succeeded = settle(byUid, noted.succeeded);
  const failed = settle(byUid, noted.failed);
  const completed = isIndexed(job) ? completedIndexes(job, pods) : new Set<number>();
  const failedIndexes = lostIndexes(job, pods, completed);
  const isOver = (index: number) => completed.has(index) || failedIndexes?.has(index) === true;
  const delayed = ending ? new Map<number, LivePod>() : delayedPods(job, pods, isOver);
  const release: LivePod[] = [];
  let verdict: FailureVerdict | undefined;
  let waiting = 0;
  for (const [uid, pod] of byUid) {
    if (!isTracked(pod)) continue;
    const hasSucceeded = pod.status?.phase === "Succeeded";
    // What still runs when the Job fails is a failure, too.
    const hasFailed = isFailed(job, pod) || (ending === "Failed" && !hasSucceeded);
    if (!hasSucceeded && !hasFailed && !isFinished(job)) continue;
    const index = indexOf(job, pod);
    const judged = hasFailed ? judgeFailure(job, pod) : undefined;
    if (judged?.action === "FailJob") verdict ??= judged;
    if (index !== undefined && delayed.get(index) === pod) {
      if (judged?.action !== "Ignore") waiting++;
      continue;
    }
    release.push(pod);
    if (succeeded.left.includes(uid) || failed.left.includes(uid)) continue;
    if (hasSucceeded) {
      if (!isIndexed(job)) succeeded.left.push(uid);
    } else if (hasFailed && (!isIndexed(job) || index !== undefined)) {
      if (judged?.action !== "Ignore") failed.left.push(uid);
    }
  }
  const counted = {
    succeeded: isIndexed(job) ? completed.size : (job.status?.succeeded ?? 0) + succeeded.done,
    failed: (job.status?.failed ?? 0) + failed.done,
  };
  return {
    succeeded: counted.succeeded + (isIndexed(job) ? 0 : succeeded.left.length),
    failed: counted.failed + failed.left.length + waiting,
    completed,
    failedIndexes,
    uncounted: { succeeded: succeeded.left, failed: failed.left },
    counted,
    release,
    delayed,
    verdict,
  };
}
