import { expect, test } from "bun:test";
import { ageOf, humanDuration } from "./human-duration.ts";

const rows: readonly (readonly [number, string])[] = [
  [-5, "<invalid>"],
  [-0.5, "0s"],
  [0, "0s"],
  [119, "119s"],
  [120, "2m"],
  [183, "3m3s"],
  [600, "10m"],
  [3 * 3600, "3h"],
  [3 * 3600 + 300, "3h5m"],
  [8 * 3600 + 300, "8h"],
  [50 * 3600, "2d2h"],
  [9 * 86400 + 7200, "9d"],
  [(2 * 365 + 30) * 86400, "2y30d"],
  [9 * 365 * 86400, "9y"],
];
for (const [seconds, text] of rows)
  test(`humanDuration() of ${seconds} s is ${text}`, () => {
    expect(humanDuration(seconds * 1000)).toBe(text);
  });

test("ageOf() without a timestamp is unknown", () => {
  expect(ageOf(undefined, new Date("2026-01-01T00:00:00Z"))).toBe("<unknown>");
  expect(ageOf("2026-01-01T00:00:00Z", new Date("2026-01-01T00:00:42Z"))).toBe("42s");
});
