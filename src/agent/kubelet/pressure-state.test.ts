import { expect, test } from "bun:test";
import { type Observations, type Signal, thresholdsOf } from "./eviction-thresholds.ts";
import { PressureState } from "./pressure-state.ts";

const none = {
  evictionHard: {},
  evictionSoft: {},
  evictionSoftGracePeriodMs: {},
  evictionMinimumReclaim: {},
};
const transitionMs = 300_000;

function seen(amounts: Partial<Record<Signal, number>>): Observations {
  const entries = Object.entries(amounts) as [Signal, number][];
  return new Map(entries.map(([signal, available]) => [signal, { available, capacity: 1000 }]));
}

test("a hard threshold acts at once; its condition outlasts it by the transition period", () => {
  const thresholds = thresholdsOf({ ...none, evictionHard: { "nodefs.available": "10%" } });
  const state = new PressureState({ thresholds, transitionMs });
  expect(state.observe(seen({ "nodefs.available": 100 }), 0)).toBeUndefined();
  expect(state.conditions).toEqual([]);
  expect(state.observe(seen({ "nodefs.available": 99 }), 1_000)?.threshold.signal).toBe(
    "nodefs.available",
  );
  expect(state.conditions).toEqual(["DiskPressure"]);
  expect(state.observe(seen({ "nodefs.available": 500 }), 2_000)).toBeUndefined();
  expect(state.conditions).toEqual(["DiskPressure"]);
  state.observe(seen({ "nodefs.available": 500 }), 1_000 + transitionMs);
  expect(state.conditions).toEqual([]);
});

test("a soft threshold is a condition at once, and acts when its grace period is over", () => {
  const thresholds = thresholdsOf({
    ...none,
    evictionSoft: { "pid.available": "50" },
    evictionSoftGracePeriodMs: { "pid.available": 30_000 },
  });
  const state = new PressureState({ thresholds, transitionMs });
  const low = seen({ "pid.available": 49 });
  expect(state.observe(low, 0)).toBeUndefined();
  expect(state.conditions).toEqual(["PIDPressure"]);
  expect(state.observe(low, 29_999)).toBeUndefined();
  expect(state.observe(low, 30_000)?.threshold.graceMs).toBe(30_000);
  // A moment above the threshold starts the period anew.
  state.observe(seen({ "pid.available": 50 }), 31_000);
  expect(state.observe(low, 32_000)).toBeUndefined();
});

test("what was begun goes on until the least reclaim is reached, memory before all else", () => {
  const thresholds = thresholdsOf({
    ...none,
    evictionHard: { "imagefs.available": "10%", "memory.available": "100" },
    evictionMinimumReclaim: { "imagefs.available": "5%" },
  });
  const state = new PressureState({ thresholds, transitionMs });
  const signalAt = (image: number, memory: number, nowMs: number) =>
    state.observe(seen({ "imagefs.available": image, "memory.available": memory }), nowMs)
      ?.threshold.signal;
  expect(signalAt(120, 500, 0)).toBeUndefined();
  expect(signalAt(90, 500, 1)).toBe("imagefs.available");
  expect(signalAt(120, 500, 2)).toBe("imagefs.available");
  expect(signalAt(120, 99, 3)).toBe("memory.available");
  expect(signalAt(150, 500, 4)).toBeUndefined();
  expect(state.isRelieved(seen({ "imagefs.available": 149, "memory.available": 500 }))).toBe(false);
  expect(state.isRelieved(seen({ "imagefs.available": 150, "memory.available": 500 }))).toBe(true);
});
