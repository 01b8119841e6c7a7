/** `/metrics/slis`: how each health check fared whenever it was asked for (KEP-3466). */
import type { Metrics } from "../runtime/metrics.ts";
import type { HealthCheck } from "./health.ts";

export class HealthMetrics {
  readonly #last;
  readonly #total;

  constructor(readonly metrics: Metrics) {
    this.#last = metrics.gauge(
      "kubernetes_healthcheck",
      "This metric records the result of a single healthcheck.",
    );
    this.#total = metrics.counter(
      "kubernetes_healthchecks_total",
      "This metric records the results of all healthcheck.",
    );
  }

  record(type: string, checks: readonly HealthCheck[]): void {
    for (const { name, ok } of checks) {
      this.#last.set({ name, type }, ok ? 1 : 0);
      this.#total.add({ name, type, status: ok ? "success" : "error" });
    }
  }
}
