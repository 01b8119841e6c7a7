import { expect, test } from "bun:test";
import fc from "fast-check";
import {
  formatDuration,
  formatDurationNanos,
  parseDuration,
  tryParseDurationNanos,
} from "./duration.ts";

test("durations read and write as Go's", () => {
  expect(parseDuration("1h30m")).toBe(5_400_000);
  expect(parseDuration("1.5s")).toBe(1500);
  expect(parseDuration("-250ms")).toBe(-250);
  expect(parseDuration("0")).toBe(0);
  expect(formatDuration(5_400_000)).toBe("1h30m0s");
  expect(formatDuration(1500)).toBe("1.5s");
  expect(formatDuration(0.25)).toBe("250µs");
  expect(formatDuration(0)).toBe("0s");
  expect(() => parseDuration("5")).toThrow('time: invalid duration "5"');
  expect(() => parseDuration("1d")).toThrow("invalid duration");
});

test("what was written is read back", () => {
  fc.assert(
    fc.property(fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n }), (nanos) => {
      expect(tryParseDurationNanos(formatDurationNanos(nanos))).toBe(nanos);
    }),
  );
});
