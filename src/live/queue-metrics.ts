/** Work queues of controllers in the metrics of client-go's (`workqueue_*`). */
import type { Metrics } from "../runtime/metrics.ts";
import type { WorkQueue } from "./work-queue.ts";

/** Decades from 10 ns to 1000 s, as upstream has them. */
const buckets = Array.from({ length: 12 }, (_, i) => 10 ** (i - 8));

interface Followed {
  readonly name: string;
  readonly queue: WorkQueue;
  readonly begunMs: Set<number>;
}

export class QueueMetrics {
  readonly #followed = new Set<Followed>();
  readonly #waited;
  readonly #worked;

  constructor(
    metrics: Metrics,
    private readonly nowMs: () => number,
  ) {
    const rows: readonly (readonly [string, string, "gauge" | "counter", Read])[] = [
      ["depth", "Current depth of workqueue", "gauge", ({ queue }) => queue.depth],
      ["adds_total", "Total number of adds handled by workqueue", "counter", (f) => f.queue.adds],
      [
        "retries_total",
        "Total number of retries handled by workqueue",
        "counter",
        ({ queue }) => queue.retries,
      ],
      [
        "unfinished_work_seconds",
        "How many seconds of work has done that is in progress and hasn't been observed by " +
          "work_duration.",
        "gauge",
        ({ begunMs }) => this.#ages(begunMs).reduce((sum, age) => sum + age, 0),
      ],
      [
        "longest_running_processor_seconds",
        "How many seconds has the longest running processor for workqueue been running.",
        "gauge",
        ({ begunMs }) => Math.max(0, ...this.#ages(begunMs)),
      ],
    ];
    for (const [name, help, type, value] of rows) {
      const read = () =>
        [...this.#followed].map((one) => [{ name: one.name }, value(one)] as const);
      metrics.collect(`workqueue_${name}`, help, read, type);
    }
    const waitHelp = "How long in seconds an item stays in workqueue before being requested.";
    this.#waited = metrics.histogram("workqueue_queue_duration_seconds", waitHelp, buckets);
    const help = "How long in seconds processing an item from workqueue takes.";
    this.#worked = metrics.histogram("workqueue_work_duration_seconds", help, buckets);
  }

  /** Tells of `queue` from now on; the answer is told of each piece of work. */
  follow(name: string, queue: WorkQueue): { begin(): () => void } & Disposable {
    const followed: Followed = { name, queue, begunMs: new Set() };
    this.#followed.add(followed);
    const observe = this.#worked.bound({ name });
    const waited = this.#waited.bound({ name });
    queue.onTaken = (waitedMs) => waited(waitedMs / 1000);
    return {
      begin: () => {
        const begunMs = this.nowMs();
        followed.begunMs.add(begunMs);
        return () => {
          followed.begunMs.delete(begunMs);
          observe((this.nowMs() - begunMs) / 1000);
        };
      },
      [Symbol.dispose]: () => void this.#followed.delete(followed),
    };
  }

  #ages(begunMs: ReadonlySet<number>): number[] {
    return [...begunMs].map((begun) => (this.nowMs() - begun) / 1000);
  }
}

type Read = (followed: Followed) => number;
