/** What the Job controller tells of its work, under upstream's names. */
import type { Metrics } from "../../runtime/metrics.ts";
import type { LiveJob } from "./job-state.ts";
import type { JobPlan } from "./plan.ts";

/** From four milliseconds to about a minute, each twice the one before. */
const syncBuckets = Array.from({ length: 15 }, (_, exponent) => 0.004 * 2 ** exponent);

/** What a pass over a Job did above all. */
function actionOf({ create, delete: doomed, release }: JobPlan): string {
  if (create.length > 0) return "pods_created";
  if (doomed.length > 0) return "pods_deleted";
  return release.length > 0 ? "tracking" : "reconciling";
}

export class JobMetrics {
  readonly #syncs;
  readonly #durations;
  readonly #finished;
  readonly #pods;

  constructor(metrics: Metrics) {
    this.#syncs = metrics.counter(
      "job_controller_job_syncs_total",
      "Passes over a Job, by action, completion mode and result.",
    );
    this.#durations = metrics.histogram(
      "job_controller_job_sync_duration_seconds",
      "Seconds that one pass over a Job took.",
      syncBuckets,
    );
    this.#finished = metrics.counter(
      "job_controller_jobs_finished_total",
      "Jobs that have finished, by completion mode, result and reason.",
    );
    this.#pods = metrics.counter(
      "job_controller_job_pods_finished_total",
      "Pods of Jobs that were counted as finished, by completion mode and result.",
    );
  }

  /** A pass that carried out `plan`, or failed to. */
  synced(job: LiveJob, plan: JobPlan, result: "success" | "error", ms: number): void {
    const completion_mode = job.spec.completionMode ?? "NonIndexed";
    const labels = { action: actionOf(plan), completion_mode, result };
    this.#syncs.add(labels);
    this.#durations.observe(labels, ms / 1000);
    if (result === "error") return;
    const before = job.status ?? {};
    for (const key of ["succeeded", "failed"] as const) {
      const more = (plan.status[key] ?? 0) - (before[key] ?? 0);
      if (more > 0) this.#pods.add({ completion_mode, result: key }, more);
    }
    for (const { type, reason = "" } of plan.status.conditions ?? []) {
      const isOld = before.conditions?.some((one) => one.type === type) === true;
      if (isOld || (type !== "Complete" && type !== "Failed")) continue;
      const how = type === "Complete" ? "succeeded" : "failed";
      this.#finished.add({ completion_mode, result: how, reason });
    }
  }
}
