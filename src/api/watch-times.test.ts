import { expect, test } from "bun:test";
import { createSimulatedRuntime } from "../runtime/simulated.ts";
import { WatchTimes } from "./watch-times.ts";

function world() {
  const { clock } = createSimulatedRuntime(1);
  const times = new WatchTimes(clock);
  const begunMs = clock.monotonicMs();
  const log: string[] = [];
  const timed = (name: string) => ({
    due: () => void log.push(`${name} ${(clock.monotonicMs() - begunMs) / 1000}`),
  });
  return { clock, times, log, timed };
}

test("each is called in its time, whoever was added first", async () => {
  const { clock, times, log, timed } = world();
  times.add(timed("late"), 90_000);
  times.add(timed("early"), 2000);
  times.add(timed("early too"), 2000);
  await clock.advance(1900);
  expect(log).toEqual([]);
  await clock.advance(200);
  times.add(timed("next"), 900);
  await clock.advance(100_000);
  expect(log).toEqual(["early 2", "early too 2", "next 3", "late 90"]);
});

test("who was removed is not called", async () => {
  const { clock, times, log, timed } = world();
  const [gone, stays] = [timed("gone"), timed("stays")];
  const slot = times.add(gone, 1000);
  times.remove(gone, slot);
  times.add(gone, 5000);
  times.add(stays, 6000);
  times.remove(gone, slot);
  await clock.advance(10_000);
  expect(log).toEqual(["gone 5", "stays 6"]);
});

test("one that is due may add itself again", async () => {
  const { clock, times, log } = world();
  const again = {
    due(): void {
      log.push("due");
      if (log.length < 3) times.add(again, 60_000);
    },
  };
  times.add(again, 60_000);
  await clock.advance(600_000);
  expect(log).toEqual(["due", "due", "due"]);
});
