/** What the scheduler tells of its work, under upstream's names. */
import { latencyBuckets, type Metrics } from "../runtime/metrics.ts";
import type { SchedulingQueue } from "./queue.ts";

export type AttemptResult = "scheduled" | "unschedulable" | "error";

export class SchedulerMetrics {
  readonly #attempts;
  readonly #durations;

  constructor(metrics: Metrics, queue: SchedulingQueue) {
    this.#attempts = metrics.counter(
      "scheduler_schedule_attempts_total",
      "Number of attempts to schedule pods, by the result. 'unschedulable' means a pod could not " +
        "be scheduled, while 'error' means an internal scheduler problem.",
    );
    this.#durations = metrics.histogram(
      "scheduler_scheduling_attempt_duration_seconds",
      "Scheduling attempt latency in seconds (scheduling algorithm + binding)",
      latencyBuckets,
    );
    const help =
      "Number of pending pods, by the queue type. 'active' means number of pods in activeQ; " +
      "'backoff' means number of pods in backoffQ; 'unschedulable' means number of pods in " +
      "unschedulableQ; 'gated' is the number of unschedulable pods that the scheduler never " +
      "attempted to schedule because they are gated.";
    metrics.collect("scheduler_pending_pods", help, () =>
      Object.entries(queue.pending()).map(([name, count]) => [{ queue: name }, count] as const),
    );
  }

  attempt(result: AttemptResult, profile: string, ms: number): void {
    this.#attempts.add({ profile, result });
    this.#durations.observe({ profile, result }, ms / 1000);
  }
}
