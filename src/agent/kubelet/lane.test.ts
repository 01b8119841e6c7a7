import { expect, test } from "bun:test";
import { createRuntime } from "../../runtime/real.ts";
import { Lane, Lull } from "./lane.ts";

const { clock } = createRuntime({ logLevel: "error" });

test("what others wait for goes before what tidies up, so many at a time", async () => {
  const lane = new Lane(clock, { places: 2, heldMsMax: 60_000 });
  const order: string[] = [];
  let [now, most] = [0, 0];
  const run = (turn: "urgent" | "idle", name: string): Promise<void> =>
    lane.run(turn, async () => {
      now += 1;
      most = Math.max(most, now);
      order.push(name);
      await clock.sleep(1, new AbortController().signal);
      now -= 1;
    });
  await Promise.all([
    run("idle", "a"),
    run("idle", "b"),
    run("idle", "c"),
    run("urgent", "d"),
    run("urgent", "e"),
  ]);
  expect(order).toEqual(["a", "b", "d", "e", "c"]);
  expect(most).toBe(2);
});

test("work that fails or hangs gives its place away", async () => {
  const lane = new Lane(clock, { places: 1, heldMsMax: 5 });
  const failure = new Error("no");
  expect(lane.run("urgent", () => Promise.reject(failure))).rejects.toBe(failure);
  const hanging = Promise.withResolvers<void>();
  const first = lane.run("urgent", () => hanging.promise);
  await lane.run("idle", () => Promise.resolve());
  hanging.resolve();
  await first;
});

test("what can wait begins when nothing is busy any more, or has been for long", async () => {
  const { signal } = new AbortController();
  const answers = [true, true, false];
  const isBusy = (): boolean => answers.shift() === true;
  const lull = new Lull(clock, { pollMs: 1, waitMsMax: 60_000 }, isBusy);
  await Promise.all([lull.come(signal), lull.come(signal)]);
  expect(answers).toEqual([]);
  const never = new Lull(clock, { pollMs: 1, waitMsMax: 5 }, () => true);
  const before = clock.monotonicMs();
  await never.come(signal);
  expect(clock.monotonicMs() - before).toBeGreaterThanOrEqual(5);
});
