import { expect, test } from "bun:test";
import { collectLoopDelay } from "./loop-delay.ts";
import { createMetrics } from "./metrics.ts";

test("the delay is measured between two readings", async () => {
  const metrics = createMetrics();
  collectLoopDelay(metrics);
  const worst = (): number =>
    Number(/^k3_event_loop_delay_seconds\{quantile="1"\} (.+)$/m.exec(metrics.text())?.[1]);
  expect(worst()).toBeNaN();
  const end = performance.now() + 60;
  await Bun.sleep(30);
  while (performance.now() < end + 60);
  await Bun.sleep(30);
  expect(worst()).toBeGreaterThan(0.04);
});
