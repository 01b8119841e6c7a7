/**
 * Cron schedules as Kubernetes reads them (robfig/cron's standard parser): five fields or a
 * descriptor, `?` as `*`, and wall clock times that a zone skips are skipped.
 */

import { parseDuration } from "./duration.ts";
import { formatOffset, instantOf, type WallTime, wallTimeOf } from "./wall-time.ts";

export interface CronSchedule {
  /** The first start after `afterMs`, in the zone (of this machine when undefined). */
  next(afterMs: number, timeZone: string | undefined): number | undefined;
}

interface FieldRange {
  readonly min: number;
  readonly max: number;
  readonly names?: readonly string[];
}

const months = "jan feb mar apr may jun jul aug sep oct nov dec".split(" ");
const days = "sun mon tue wed thu fri sat".split(" ");
const ranges = {
  minute: { min: 0, max: 59 },
  hour: { min: 0, max: 23 },
  day: { min: 1, max: 31 },
  month: { min: 1, max: 12, names: months },
  weekday: { min: 0, max: 6, names: days },
} as const satisfies Record<string, FieldRange>;

/** The numbers a field allows; `isStar` when it began with `*` or `?`. */
interface Field {
  readonly values: ReadonlySet<number>;
  readonly isStar: boolean;
}

const descriptors: Readonly<Record<string, string>> = {
  "@yearly": "0 0 1 1 *",
  "@annually": "0 0 1 1 *",
  "@monthly": "0 0 1 * *",
  "@weekly": "0 0 * * 0",
  "@daily": "0 0 * * *",
  "@midnight": "0 0 * * *",
  "@hourly": "0 * * * *",
};

/** Throws an Error with upstream's text when the schedule cannot be read. */
export function parseCron(text: string): CronSchedule {
  if (text === "") throw new Error("empty spec string");
  if (text.startsWith("@every ")) return everySchedule(text.slice("@every ".length), text);
  if (text.startsWith("@")) {
    const spelled = descriptors[text];
    if (spelled === undefined) throw new Error(`unrecognized descriptor: ${text}`);
    return parseCron(spelled);
  }
  const parts = text.split(/\s+/).filter((part) => part !== "");
  if (parts.length !== 5) {
    throw new Error(`expected exactly 5 fields, found ${parts.length}: [${parts.join(" ")}]`);
  }
  const [minute = "", hour = "", day = "", month = "", weekday = ""] = parts;
  return new FieldSchedule(
    parseField(minute, ranges.minute),
    parseField(hour, ranges.hour),
    parseField(day, ranges.day),
    parseField(month, ranges.month),
    parseField(weekday, ranges.weekday),
  );
}

/** RFC 3339 with the zone's offset at that time. */
export function formatInZone(ms: number, timeZone: string | undefined): string {
  const { offsetMs } = wallTimeOf(ms, timeZone);
  const local = new Date(ms + offsetMs).toISOString().slice(0, 19);
  return `${local}${formatOffset(offsetMs)}`;
}

function everySchedule(duration: string, text: string): CronSchedule {
  let ms: number;
  try {
    ms = parseDuration(duration);
  } catch (error) {
    throw new Error(`failed to parse duration ${text}: ${(error as Error).message}`);
  }
  const delayMs = Math.max(1000, Math.floor(ms / 1000) * 1000);
  return { next: (afterMs) => Math.floor(afterMs / 1000) * 1000 + delayMs };
}

function parseField(text: string, range: FieldRange): Field {
  const values = new Set<number>();
  let isStar = false;
  for (const part of text.split(",")) isStar = addPart(part, range, values) || isStar;
  return { values, isStar };
}

/** Adds the numbers of one of a field's parts; true when it is a star without a step. */
function addPart(part: string, range: FieldRange, values: Set<number>): boolean {
  const [base = "", stepText, ...moreSteps] = part.split("/");
  const [lowText = "", highText, ...moreHyphens] = base.split("-");
  let isStar = false;
  let low: number;
  let high: number;
  if (lowText === "*" || lowText === "?") {
    low = range.min;
    high = range.max;
    isStar = true;
  } else {
    low = parseNumber(lowText, range);
    if (moreHyphens.length > 0) throw new Error(`too many hyphens: ${part}`);
    high = highText === undefined ? low : parseNumber(highText, range);
  }
  let step = 1;
  if (moreSteps.length > 0) throw new Error(`too many slashes: ${part}`);
  if (stepText !== undefined) {
    step = parseInteger(stepText);
    // "N/step" runs to the end of the range.
    if (highText === undefined && !isStar) high = range.max;
    if (step > 1) isStar = false;
  }
  if (low < range.min) {
    throw new Error(`beginning of range (${low}) below minimum (${range.min}): ${part}`);
  }
  if (high > range.max) {
    throw new Error(`end of range (${high}) above maximum (${range.max}): ${part}`);
  }
  if (low > high) {
    throw new Error(`beginning of range (${low}) beyond end of range (${high}): ${part}`);
  }
  if (step === 0) throw new Error(`step of range should be a positive number: ${part}`);
  for (let value = low; value <= high; value += step) values.add(value);
  return isStar;
}

function parseNumber(text: string, { names }: FieldRange): number {
  const at = names?.indexOf(text.toLowerCase()) ?? -1;
  if (at < 0) return parseInteger(text);
  return names === months ? at + 1 : at;
}

function parseInteger(text: string): number {
  if (!/^[+-]?\d+$/.test(text)) {
    const quoted = JSON.stringify(text);
    const why = `strconv.Atoi: parsing ${quoted}: invalid syntax`;
    throw new Error(`failed to parse int from ${text}: ${why}`);
  }
  const number = Number(text);
  if (number < 0) throw new Error(`negative number (${number}) not allowed: ${text}`);
  return number;
}

/** A schedule that never comes (31 February) is given up after so long. */
const yearsMax = 5;
const minuteMs = 60_000;
const hourMs = 3_600_000;

class FieldSchedule implements CronSchedule {
  constructor(
    private readonly minute: Field,
    private readonly hour: Field,
    private readonly day: Field,
    private readonly month: Field,
    private readonly weekday: Field,
  ) {}

  next(afterMs: number, timeZone: string | undefined): number | undefined {
    let ms = Math.floor(afterMs / minuteMs) * minuteMs + minuteMs;
    const lastYear = wallTimeOf(ms, timeZone).year + yearsMax;
    for (;;) {
      const now = wallTimeOf(ms, timeZone);
      if (now.year > lastYear) return undefined;
      if (!this.month.values.has(now.month)) ms = monthAfter(now, timeZone);
      else if (!this.#dayMatches(now)) ms = dayAfter(now, timeZone);
      else if (!this.hour.values.has(now.hour)) ms = hourAfter(ms, now);
      else if (!this.minute.values.has(now.minute)) ms += minuteMs;
      else return ms;
    }
  }

  /** With both day fields given, either is enough; with a star in one, the other decides. */
  #dayMatches({ day, weekday }: WallTime): boolean {
    const byDay = this.day.values.has(day);
    const byWeekday = this.weekday.values.has(weekday);
    return this.day.isStar || this.weekday.isStar ? byDay && byWeekday : byDay || byWeekday;
  }
}

function monthAfter({ year, month }: WallTime, timeZone: string | undefined): number {
  return instantOf({ year, month: month + 1, day: 1 }, timeZone);
}

function dayAfter({ year, month, day }: WallTime, timeZone: string | undefined): number {
  return instantOf({ year, month, day: day + 1 }, timeZone);
}

/** By elapsed time, so that a doubled hour comes twice and a skipped one not at all. */
function hourAfter(ms: number, { minute }: WallTime): number {
  return ms - minute * minuteMs + hourMs;
}
