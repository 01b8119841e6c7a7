/** What clocks on the wall of a time zone show, and which instant they mean. */

export interface WallTime {
  readonly year: number;
  /** 1 to 12. */
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  /** 0 is Sunday. */
  readonly weekday: number;
  /** Ahead of UTC. */
  readonly offsetMs: number;
}

const formats = new Map<string, Intl.DateTimeFormat>();

function formatOf(timeZone: string): Intl.DateTimeFormat {
  let format = formats.get(timeZone);
  if (format === undefined) {
    const number = "numeric";
    format = new Intl.DateTimeFormat("en-US", {
      timeZone,
      hourCycle: "h23",
      year: number,
      month: number,
      day: number,
      hour: number,
      minute: number,
      second: number,
    });
    formats.set(timeZone, format);
  }
  return format;
}

/** `timeZone` undefined is the zone of this machine. */
function offsetMsAt(ms: number, timeZone: string | undefined): number {
  if (timeZone === undefined) return -new Date(ms).getTimezoneOffset() * 60_000;
  if (timeZone === "UTC" || timeZone === "Etc/UTC") return 0;
  const part: Record<string, number> = {};
  for (const { type, value } of formatOf(timeZone).formatToParts(ms)) part[type] = Number(value);
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = part;
  const shown = Date.UTC(year, month - 1, day, hour, minute, second);
  return shown - Math.floor(ms / 1000) * 1000;
}

export function wallTimeOf(ms: number, timeZone: string | undefined): WallTime {
  const offsetMs = offsetMsAt(ms, timeZone);
  const shown = new Date(ms + offsetMs);
  return {
    year: shown.getUTCFullYear(),
    month: shown.getUTCMonth() + 1,
    day: shown.getUTCDate(),
    hour: shown.getUTCHours(),
    minute: shown.getUTCMinutes(),
    weekday: shown.getUTCDay(),
    offsetMs,
  };
}

/** When that day begins in the zone; months and days may overflow, a skipped midnight moves on. */
export function instantOf(
  { year, month, day }: Pick<WallTime, "year" | "month" | "day">,
  timeZone: string | undefined,
): number {
  const shown = Date.UTC(year, month - 1, day);
  const first = shown - offsetMsAt(shown, timeZone);
  return shown - offsetMsAt(first, timeZone);
}

/** `Z` or `+02:00`. */
export function formatOffset(offsetMs: number): string {
  if (offsetMs === 0) return "Z";
  const minutes = Math.abs(offsetMs) / 60_000;
  const two = (number: number) => String(Math.floor(number)).padStart(2, "0");
  return `${offsetMs < 0 ? "-" : "+"}${two(minutes / 60)}:${two(minutes % 60)}`;
}
