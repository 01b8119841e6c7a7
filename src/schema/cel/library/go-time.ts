/** Times and durations as Go reads and writes them. */
import { CelDuration, CelTimestamp } from "../scalars.ts";

const units: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1_000n,
  µs: 1_000n,
  μs: 1_000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
};
const part = /(\d*)(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)/y;

/** `1h30m`, `-1.5s`; undefined for what is no duration. */
export function parseDuration(text: string): CelDuration | undefined {
  const isNegative = text.startsWith("-");
  const body = text.replace(/^[+-]/, "");
  if (body === "0") return new CelDuration(0n);
  if (body === "") return undefined;
  let nanos = 0n;
  for (let at = 0; at < body.length; at = part.lastIndex) {
    part.lastIndex = at;
    const [, whole = "", fraction = "", unit = ""] = part.exec(body) ?? [];
    if (unit === "" || whole + fraction === "") return undefined;
    const scale = units[unit] as bigint;
    nanos += BigInt(whole || "0") * scale;
    nanos += (BigInt(fraction || "0") * scale) / 10n ** BigInt(fraction.length);
  }
  if (nanos > 2n ** 63n - (isNegative ? 0n : 1n)) return undefined;
  return new CelDuration(isNegative ? -nanos : nanos);
}

const rfc3339 = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:[.,](\d+))?(Z|([+-])(\d\d):(\d\d))$/;

/** RFC 3339; undefined for what is no time. */
export function parseTimestamp(text: string): CelTimestamp | undefined {
  const [whole, day = "", clock = "", fraction = "", , sign, hours, minutes] =
    rfc3339.exec(text) ?? [];
  if (whole === undefined) return undefined;
  const millis = Date.parse(`${day}T${clock}Z`);
  // Date.parse rolls the 31st of a short month over, Go refuses it.
  if (Number.isNaN(millis) || !new Date(millis).toISOString().startsWith(day)) return undefined;
  if (Number(hours ?? 0) > 24 || Number(minutes ?? 0) > 60) return undefined;
  const offset = (Number(hours ?? 0) * 60 + Number(minutes ?? 0)) * 60;
  const seconds = BigInt(millis / 1000 - (sign === "-" ? -offset : offset));
  return new CelTimestamp(seconds, BigInt(fraction.padEnd(9, "0").slice(0, 9)));
}

/** The time as a clock in `zone` shows it; undefined for a zone that nobody knows. */
export function inZone({ seconds, nanos }: CelTimestamp, zone: string): Date | undefined {
  const millis = Number(seconds) * 1000 + Number(nanos / 1_000_000n);
  if (zone === "" || zone === "UTC") return new Date(millis);
  const [, sign, hours, minutes] = /^([+-]?)(\d\d):(\d\d)$/.exec(zone) ?? [];
  if (hours !== undefined) {
    const offset = (Number(hours) * 60 + Number(minutes)) * 60_000;
    return new Date(millis + (sign === "-" ? -offset : offset));
  }
  return named(millis, zone);
}

function named(millis: number, zone: string): Date | undefined {
  try {
    const format = new Intl.DateTimeFormat("en-US", {
      timeZone: zone,
      hourCycle: "h23",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    });
    const parts = new Map(format.formatToParts(millis).map(({ type, value }) => [type, value]));
    const part = (name: Intl.DateTimeFormatPartTypes): number => Number(parts.get(name));
    const [year, month, day] = [part("year"), part("month") - 1, part("day")];
    const clock = [part("hour"), part("minute"), part("second")] as const;
    return new Date(Date.UTC(year, month, day, ...clock, ((millis % 1000) + 1000) % 1000));
  } catch {
    return undefined;
  }
}
