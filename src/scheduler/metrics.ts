/** What the scheduler tells of its work, under upstream's names. */
import { latencyBuckets, type Metrics } from "../runtime/metrics.ts";
import type { QueueMove, SchedulingQueue } from "./queue.ts";

export type AttemptResult = "scheduled" | "unschedulable" | "error";

const attemptBuckets = [1, 2, 4, 8, 16];
/** Above, numbers would make ever new series. */
const attemptsToldMax = 16;
const victimBuckets = [1, 2, 4, 8, 16, 32, 64];
/** From 10 milliseconds to an hour and a half, each twice the one before. */
const sliBuckets = Array.from({ length: 20 }, (_, exponent) => 0.01 * 2 ** exponent);
const extensionBuckets = Array.from({ length: 12 }, (_, exponent) => 0.0001 * 2 ** exponent);

/** Parts of an attempt that are timed on their own. */
export type ExtensionPoint = "Bind" | "PostFilter";

export class SchedulerMetrics {
  readonly #attempts;
  readonly #durations;
  readonly #perPod;
  readonly #waited;
  readonly #preemptions;
  readonly #victims;
  readonly #points;

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
    this.#perPod = metrics.histogram(
      "scheduler_pod_scheduling_attempts",
      "Attempts that it took to schedule a pod.",
      attemptBuckets,
    );
    this.#waited = metrics.histogram(
      "scheduler_pod_scheduling_sli_duration_seconds",
      "Seconds from a pod's first place in the queue until it is bound, by number of attempts.",
      sliBuckets,
    );
    this.#preemptions = metrics.counter(
      "scheduler_preemption_attempts_total",
      "Preemptions that were tried.",
    );
    this.#victims = metrics.histogram(
      "scheduler_preemption_victims",
      "Pods that one preemption took away.",
      victimBuckets,
    );
    this.#points = metrics.histogram(
      "scheduler_framework_extension_point_duration_seconds",
      "Seconds at one extension point, by point, profile and status.",
      extensionBuckets,
    );
    const incoming = metrics.counter(
      "scheduler_queue_incoming_pods_total",
      "Pods that came to a queue, by what brought them there.",
    );
    queue.onMove = ({ event, queue: to }: QueueMove) => incoming.add({ event, queue: to });
    const help =
      "Number of pending pods, by the queue type. 'active' means number of pods in activeQ; " +
      "'backoff' means number of pods in backoffQ; 'unschedulable' means number of pods in " +
      "unschedulableQ; 'gated' is the number of unschedulable pods that the scheduler never " +
      "attempted to schedule because they are gated.";
    metrics.collect("scheduler_pending_pods", help, () =>
      Object.entries(queue.pending()).map(([name, count]) => [{ queue: name }, count] as const),
    );
    metrics.collect(
      "scheduler_unschedulable_pods",
      "Pods that wait, by the plugin that turned them away.",
      () => [...queue.turnedAway()].map(([plugin, count]) => [{ plugin }, count] as const),
    );
  }

  attempt(result: AttemptResult, profile: string, ms: number): void {
    this.#attempts.add({ profile, result });
    this.#durations.observe({ profile, result }, ms / 1000);
  }

  /** A pod has its node, after `attempts` and so long after it was queued first. */
  scheduled(attempts: number, ms: number): void {
    this.#perPod.observe({}, attempts);
    this.#waited.observe(
      { attempts: attempts > attemptsToldMax ? `${attemptsToldMax}+` : String(attempts) },
      ms / 1000,
    );
  }

  /** Without victims, nothing would have helped. */
  preempted(victims: number | undefined): void {
    this.#preemptions.add();
    if (victims !== undefined) this.#victims.observe({}, victims);
  }

  reached(point: ExtensionPoint, profile: string, status: "Success" | "Error", ms: number): void {
    this.#points.observe({ extension_point: point, profile, status }, ms / 1000);
  }
}
