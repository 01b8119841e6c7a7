/** What every Prometheus client tells about its process. */
import type { Metrics } from "./metrics.ts";

export function collectProcessMetrics(metrics: Metrics): void {
  const startedSeconds = Date.now() / 1000 - process.uptime();
  metrics.collect("process_resident_memory_bytes", "Resident memory size in bytes.", () => [
    [{}, process.memoryUsage.rss()],
  ]);
  metrics.collect(
    "process_start_time_seconds",
    "Start time of the process since the epoch.",
    () => [[{}, startedSeconds]],
  );
  const cpu = "Total user and system CPU time spent in seconds.";
  const read = (): [[Record<string, string>, number]] => {
    const { user, system } = process.cpuUsage();
    return [[{}, (user + system) / 1e6]];
  };
  metrics.collect("process_cpu_seconds_total", cpu, read, "counter");
}
