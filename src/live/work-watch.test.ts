import { expect, test } from "bun:test";
import { createSimulatedRuntime } from "../runtime/simulated.ts";
import { WorkWatch } from "./work-watch.ts";

test("WorkWatch tells of the oldest work that does not end", async () => {
  const { clock } = createSimulatedRuntime(1);
  const watch = new WorkWatch(clock);
  const first = watch.begin("deployment for default/a");
  await clock.advance(200_000);
  const second = watch.begin("deployment for default/b");
  expect(watch.health()).toEqual({ ok: true });
  await clock.advance(150_000);
  const reason = "deployment for default/a has not ended for 350 s";
  expect(watch.health()).toEqual({ ok: false, reason });
  first();
  expect(watch.health()).toEqual({ ok: true });
  await clock.advance(400_000);
  expect(watch.health().ok).toBe(false);
  second();
  expect(watch.health()).toEqual({ ok: true });
});
