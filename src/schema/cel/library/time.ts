/** Timestamps and durations: arithmetic and their parts. */
import type { Functions } from "../check/functions.ts";
import { CelFault } from "../fault.ts";
import { CelDuration, CelTimestamp } from "../scalars.ts";
import { inZone } from "./go-time.ts";

const day = 86_400_000;

function yearDay(date: Date): number {
  return Math.floor((date.getTime() - Date.UTC(date.getUTCFullYear(), 0, 1)) / day);
}

const parts: Readonly<Record<string, (date: Date) => number>> = {
  getFullYear: (date) => date.getUTCFullYear(),
  getMonth: (date) => date.getUTCMonth(),
  getDayOfYear: yearDay,
  getDayOfMonth: (date) => date.getUTCDate() - 1,
  getDate: (date) => date.getUTCDate(),
  getDayOfWeek: (date) => date.getUTCDay(),
  getHours: (date) => date.getUTCHours(),
  getMinutes: (date) => date.getUTCMinutes(),
  getSeconds: (date) => date.getUTCSeconds(),
  getMilliseconds: (date) => date.getUTCMilliseconds(),
};
const durationParts: Readonly<Record<string, bigint>> = {
  getHours: 3_600_000_000_000n,
  getMinutes: 60_000_000_000n,
  getSeconds: 1_000_000_000n,
  getMilliseconds: 1_000_000n,
};

export function registerTime(functions: Functions): void {
  const later = (time: CelTimestamp, { nanos }: CelDuration): CelTimestamp =>
    CelTimestamp.ofNanos(time.total + nanos);
  functions
    .add("_+_(duration, duration): duration", (a: CelDuration, b: CelDuration) => {
      return new CelDuration(a.nanos + b.nanos);
    })
    .add("_+_(timestamp, duration): timestamp", later)
    .add("_+_(duration, timestamp): timestamp", (a: CelDuration, b: CelTimestamp) => later(b, a))
    .add("_-_(duration, duration): duration", (a: CelDuration, b: CelDuration) => {
      return new CelDuration(a.nanos - b.nanos);
    })
    .add("_-_(timestamp, duration): timestamp", (a: CelTimestamp, b: CelDuration) =>
      CelTimestamp.ofNanos(a.total - b.nanos),
    )
    .add("_-_(timestamp, timestamp): duration", (a: CelTimestamp, b: CelTimestamp) => {
      return new CelDuration(a.total - b.total);
    });
  for (const [name, read] of Object.entries(parts)) {
    const part = (time: CelTimestamp, zone: string): bigint => {
      const date = inZone(time, zone);
      if (date === undefined) throw new CelFault(`unknown time zone ${zone}`);
      return BigInt(read(date));
    };
    functions
      .add(`timestamp->${name}(): int`, (time: CelTimestamp) => part(time, "UTC"))
      .add(`timestamp->${name}(string): int`, part);
  }
  for (const [name, unit] of Object.entries(durationParts)) {
    functions.add(`duration->${name}(): int`, ({ nanos }: CelDuration) => nanos / unit);
  }
}
