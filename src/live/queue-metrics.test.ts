import { expect, test } from "bun:test";
import { createMetrics } from "../runtime/metrics.ts";
import { createSimulatedRuntime } from "../runtime/simulated.ts";
import { QueueMetrics } from "./queue-metrics.ts";
import { WorkQueue } from "./work-queue.ts";

test("QueueMetrics tells what a queue holds and how long its work takes", async () => {
  const { clock } = createSimulatedRuntime(1);
  const metrics = createMetrics();
  const queue = new WorkQueue(clock, new AbortController().signal);
  const told = new QueueMetrics(metrics, () => clock.monotonicMs()).follow("job", queue);
  queue.add("a");
  queue.add("b");
  queue.add("b");
  await clock.advance(500);
  const key = (await queue.take()) ?? "";
  const end = told.begin();
  await clock.advance(2_000);
  const value = (name: string): string | undefined =>
    new RegExp(`^workqueue_${name}\\{name="job"\\} (.*)$`, "m").exec(metrics.text())?.[1];
  expect([value("adds_total"), value("depth")]).toEqual(["2", "1"]);
  expect(value("longest_running_processor_seconds")).toBe("2");
  expect(value("unfinished_work_seconds")).toBe("2");
  end();
  queue.addFailed(key);
  expect(value("retries_total")).toBe("1");
  expect([value("work_duration_seconds_count"), value("work_duration_seconds_sum")]).toEqual([
    "1",
    "2",
  ]);
  const waited = ["count", "sum"].map((part) => value(`queue_duration_seconds_${part}`));
  expect(waited).toEqual(["1", "0.5"]);
  told[Symbol.dispose]();
  expect(value("depth")).toBeUndefined();
});
