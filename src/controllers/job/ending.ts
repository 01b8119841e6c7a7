/** When a Job is over, and why. Pure. */
import { parseTime } from "../objects.ts";
import type { LivePod } from "../pod-state.ts";
import type { Counted } from "./count.ts";
import { parseIndexes } from "./indexes.ts";
import { conditionOf, isIndexed, type LiveJob } from "./job-state.ts";

/** A Job ends by a first condition of the verdict and a second one when its last pod is gone. */
export interface Ending {
  readonly type: "Complete" | "Failed";
  readonly reason: string;
  readonly message: string;
}

const limitText = "Job has reached the specified backoff limit";

function failed(reason: string, message: string): Ending {
  return { type: "Failed", reason, message };
}

/** The verdict that the status holds already. */
export function endingOf(job: LiveJob): Ending | undefined {
  const met = conditionOf(job, "SuccessCriteriaMet");
  if (met !== undefined) {
    return { type: "Complete", reason: met.reason ?? "", message: met.message ?? "" };
  }
  const doomed = conditionOf(job, "FailureTarget");
  return doomed && failed(doomed.reason ?? "", doomed.message ?? "");
}

export function findEnding(
  job: LiveJob,
  counted: Counted,
  active: readonly LivePod[],
  nowMs: number,
): Ending | undefined {
  return (
    endingOf(job) ??
    failureOf(job, counted, active, nowMs) ??
    indexFailureOf(job, counted) ??
    policyMet(job, counted.completed) ??
    completionOf(job, counted, active)
  );
}

function failureOf(
  job: LiveJob,
  counted: Counted,
  active: readonly LivePod[],
  nowMs: number,
): Ending | undefined {
  if (counted.verdict !== undefined) return failed("PodFailurePolicy", counted.verdict.message);
  const { backoffLimit = 6, activeDeadlineSeconds } = job.spec;
  if (counted.failed > backoffLimit) return failed("BackoffLimitExceeded", limitText);
  if (job.spec.template.spec.restartPolicy === "OnFailure") {
    const restarts = restartsOf(active);
    const isPast = backoffLimit === 0 ? restarts > 0 : restarts >= backoffLimit;
    if (isPast) return failed("BackoffLimitExceeded", limitText);
  }
  const startMs = parseTime(job.status?.startTime);
  if (activeDeadlineSeconds !== undefined && startMs > 0 && job.spec.suspend !== true) {
    if (nowMs - startMs >= Number(activeDeadlineSeconds) * 1000) {
      return failed("DeadlineExceeded", "Job was active longer than specified deadline");
    }
  }
  return undefined;
}

function restartsOf(pods: readonly LivePod[]): number {
  return pods
    .filter(({ status }) => status?.phase === "Running" || status?.phase === "Pending")
    .flatMap((pod) => [
      ...(pod.status?.initContainerStatuses ?? []),
      ...(pod.status?.containerStatuses ?? []),
    ])
    .reduce((total, status) => total + (status.restartCount ?? 0), 0);
}

function indexFailureOf(job: LiveJob, { failedIndexes, completed }: Counted): Ending | undefined {
  if (failedIndexes === undefined) return undefined;
  const { maxFailedIndexes, completions = 0 } = job.spec;
  if (maxFailedIndexes !== undefined && failedIndexes.size > maxFailedIndexes) {
    const message = "Job has exceeded the specified maximal number of failed indexes";
    return failed("MaxFailedIndexesExceeded", message);
  }
  if (failedIndexes.size > 0 && failedIndexes.size + completed.size >= completions) {
    return failed("FailedIndexes", "Job has failed indexes");
  }
  return undefined;
}

/** The first rule of the success policy that the completed indexes fulfil. */
function policyMet(job: LiveJob, completed: ReadonlySet<number>): Ending | undefined {
  if (!isIndexed(job)) return undefined;
  const at = (job.spec.successPolicy?.rules ?? []).findIndex((rule) => {
    if (rule.succeededIndexes === undefined) {
      return rule.succeededCount !== undefined && completed.size >= rule.succeededCount;
    }
    const required = parseIndexes(rule.succeededIndexes);
    const matched = [...required].filter((index) => completed.has(index)).length;
    return matched >= (rule.succeededCount ?? required.size);
  });
  if (at < 0) return undefined;
  return { type: "Complete", reason: "SuccessPolicy", message: `Matched rules at index ${at}` };
}

function completionOf(
  job: LiveJob,
  counted: Counted,
  active: readonly LivePod[],
): Ending | undefined {
  const { completions } = job.spec;
  const isDone =
    completions === undefined
      ? counted.succeeded > 0 && active.length === 0
      : counted.succeeded >= completions;
  if (!isDone) return undefined;
  const message = "Reached expected number of succeeded pods";
  return { type: "Complete", reason: "CompletionsReached", message };
}
