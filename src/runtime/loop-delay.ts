/** How late the event loop is: what one request makes all others wait. */
import { monitorEventLoopDelay } from "node:perf_hooks";
import type { Metrics } from "./metrics.ts";

const limits = { resolutionMs: 10, withoutReaderMs: 5 * 60_000 } as const;

const quantiles = [0.5, 0.99, 0.999, 1] as const;

/** Measured from one reading to the next, and only while somebody reads: an idle server sleeps. */
export function collectLoopDelay(metrics: Metrics): void {
  let histogram: ReturnType<typeof monitorEventLoopDelay> | undefined;
  let withoutReader: NodeJS.Timeout | undefined;
  const stop = (): void => {
    histogram?.disable();
    histogram = undefined;
  };
  metrics.collect(
    "k3_event_loop_delay_seconds",
    "Delay of the event loop since the last reading, by quantile.",
    () => {
      clearTimeout(withoutReader);
      withoutReader = setTimeout(stop, limits.withoutReaderMs).unref();
      if (histogram === undefined) {
        histogram = monitorEventLoopDelay({ resolution: limits.resolutionMs });
        histogram.enable();
        return [];
      }
      const { count } = histogram;
      const values = quantiles.map((quantile): [Record<string, string>, number] => {
        const nanoseconds = count === 0 ? 0 : (histogram?.percentile(quantile * 100) ?? 0);
        return [{ quantile: String(quantile) }, nanoseconds / 1e9];
      });
      histogram.reset();
      return values;
    },
  );
}
