/** What the HorizontalPodAutoscaler controller tells of its work, under upstream's names. */
import type { Labels, Metrics } from "../../runtime/metrics.ts";
import type { Clock } from "../../runtime/runtime.ts";

const prefix = "horizontal_pod_autoscaler_controller_";
/** From a millisecond to sixteen seconds, each twice the one before. */
const buckets = Array.from({ length: 15 }, (_, exponent) => 0.001 * 2 ** exponent);

/** What came of it: a failure takes no action. */
export interface Result {
  readonly change: number;
  readonly isFailed: boolean;
}

function labelsOf({ change, isFailed }: Result): Labels {
  const wanted = change === 0 ? "none" : change > 0 ? "scale_up" : "scale_down";
  return { action: isFailed ? "none" : wanted, error: isFailed ? "internal" : "none" };
}

export class AutoscalerMetrics {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #rounds;
  readonly #roundSeconds;
  readonly #metrics;
  readonly #metricSeconds;

  constructor(metrics: Metrics, clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
    this.#rounds = metrics.counter(
      `${prefix}reconciliations_total`,
      "Looks at an autoscaler, by the action taken and the kind of error.",
    );
    this.#roundSeconds = metrics.histogram(
      `${prefix}reconciliation_duration_seconds`,
      "Seconds that one look at an autoscaler took.",
      buckets,
    );
    this.#metrics = metrics.counter(
      `${prefix}metric_computation_total`,
      "Metrics that were computed, by the action that they ask for, error and type.",
    );
    this.#metricSeconds = metrics.histogram(
      `${prefix}metric_computation_duration_seconds`,
      "Seconds that it took to compute one metric.",
      buckets,
    );
  }

  /** Tells of a look that begins now; the answer is told how it ended. */
  reconciles(): (result: Result) => void {
    const seconds = this.#timer();
    return (result) => {
      const labels = labelsOf(result);
      this.#rounds.add(labels);
      this.#roundSeconds.observe(labels, seconds());
    };
  }

  /** As `reconciles`, of one metric. */
  computes(type: string): (result: Result) => void {
    const seconds = this.#timer();
    return (result) => {
      const labels = { ...labelsOf(result), metric_type: type };
      this.#metrics.add(labels);
      this.#metricSeconds.observe(labels, seconds());
    };
  }

  #timer(): () => number {
    const begunMs = this.#clock.monotonicMs();
    return () => (this.#clock.monotonicMs() - begunMs) / 1000;
  }
}
