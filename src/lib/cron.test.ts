import { expect, test } from "bun:test";
import { formatInZone, parseCron } from "./cron.ts";

function runs(schedule: string, from: string, count: number, zone = "UTC"): string[] {
  const cron = parseCron(schedule);
  const times: string[] = [];
  let ms: number | undefined = Date.parse(from);
  while (times.length < count) {
    ms = cron.next(ms, zone);
    if (ms === undefined) break;
    times.push(new Date(ms).toISOString().slice(0, 16));
  }
  return times;
}

test("next() walks minutes, steps, lists, names and descriptors", () => {
  const from = "2026-01-01T00:00:00Z";
  expect(runs("*/20 * * * ?", from, 3)).toEqual([
    "2026-01-01T00:20",
    "2026-01-01T00:40",
    "2026-01-01T01:00",
  ]);
  expect(runs("5/30 1-2,23 * JAN mon", from, 3)).toEqual([
    "2026-01-05T01:05",
    "2026-01-05T01:35",
    "2026-01-05T02:05",
  ]);
  expect(runs("@monthly", from, 2)).toEqual(["2026-02-01T00:00", "2026-03-01T00:00"]);
  expect(runs("@every 90s", from, 2)).toEqual(["2026-01-01T00:01", "2026-01-01T00:03"]);
  expect(runs("0 0 29 2 *", from, 1)).toEqual(["2028-02-29T00:00"]);
  expect(runs("0 0 31 2 *", from, 1)).toEqual([]);
});

test("next() takes either day field when both are given, else the one without a star", () => {
  const from = "2026-01-01T12:00:00Z";
  expect(runs("0 0 3 * 1", from, 3)).toEqual([
    "2026-01-03T00:00",
    "2026-01-05T00:00",
    "2026-01-12T00:00",
  ]);
  expect(runs("0 0 * * 1", from, 1)).toEqual(["2026-01-05T00:00"]);
  expect(runs("0 0 3 * *", from, 1)).toEqual(["2026-01-03T00:00"]);
});

test("next() skips an hour that does not exist and repeats one that comes twice", () => {
  const zone = "America/New_York";
  expect(runs("30 2 * * *", "2026-03-07T12:00:00Z", 2, zone)).toEqual([
    "2026-03-09T06:30",
    "2026-03-10T06:30",
  ]);
  expect(runs("30 1 * * *", "2026-10-31T12:00:00Z", 3, zone)).toEqual([
    "2026-11-01T05:30",
    "2026-11-01T06:30",
    "2026-11-02T06:30",
  ]);
  expect(runs("0 0 * * *", "2026-01-01T00:00:00Z", 1, "Asia/Kolkata")).toEqual([
    "2026-01-01T18:30",
  ]);
  expect(formatInZone(Date.parse("2026-01-01T18:30:00Z"), "Asia/Kolkata")).toBe(
    "2026-01-02T00:00:00+05:30",
  );
});

const broken: readonly (readonly [string, string])[] = [
  ["", "empty spec string"],
  ["* * * *", "expected exactly 5 fields, found 4: [* * * *]"],
  ["60 * * * *", "end of range (60) above maximum (59): 60"],
  ["* * 0 * *", "beginning of range (0) below minimum (1): 0"],
  ["* 5-3 * * *", "beginning of range (5) beyond end of range (3): 5-3"],
  ["* * * * 7", "end of range (7) above maximum (6): 7"],
  ["*/0 * * * *", "step of range should be a positive number: */0"],
  ["1-2-3 * * * *", "too many hyphens: 1-2-3"],
  ["1/2/3 * * * *", "too many slashes: 1/2/3"],
  ["x * * * *", 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'],
  ["@often", "unrecognized descriptor: @often"],
];

test.each(broken)("parseCron(%p) is refused", (schedule, message) => {
  expect(() => parseCron(schedule)).toThrow(new Error(message));
});
