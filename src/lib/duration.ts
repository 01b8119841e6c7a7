/** Go's durations (`1h30m`, `250ms`). */

const nanosPer: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1_000n,
  µs: 1_000n,
  μs: 1_000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
};
const second = 1_000_000_000n;
const durationMax = 2n ** 63n - 1n;

/** Nanoseconds of a Go duration, or undefined when `text` is none. */
export function tryParseDurationNanos(text: string): bigint | undefined {
  const sign = text.startsWith("-") ? -1n : 1n;
  const rest = text.replace(/^[+-]/, "");
  if (rest === "0") return 0n;
  if (!/^(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/.test(rest)) return undefined;
  let total = 0n;
  for (const [, whole = "", fraction = "", unit = ""] of rest.matchAll(
    /(\d*)(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)/g,
  )) {
    const nanos = nanosPer[unit] ?? 0n;
    total += BigInt(whole || "0") * nanos;
    if (fraction !== "") total += (BigInt(fraction) * nanos) / 10n ** BigInt(fraction.length);
  }
  return total > durationMax ? undefined : sign * total;
}

/** Milliseconds of a Go duration; throws RangeError with Go's wording when it is none. */
export function parseDuration(text: string): number {
  const nanos = tryParseDurationNanos(text);
  if (nanos === undefined) throw new RangeError(`time: invalid duration ${JSON.stringify(text)}`);
  return Number(nanos) / 1e6;
}

function fraction(nanos: bigint, unit: bigint): string {
  const digits = String(nanos % unit)
    .padStart(String(unit).length - 1, "0")
    .replace(/0+$/, "");
  return `${nanos / unit}${digits === "" ? "" : `.${digits}`}`;
}

/** The text Go writes for a duration in nanoseconds. */
export function formatDurationNanos(nanos: bigint): string {
  if (nanos === 0n) return "0s";
  const sign = nanos < 0n ? "-" : "";
  const size = nanos < 0n ? -nanos : nanos;
  if (size < 1_000n) return `${sign}${size}ns`;
  if (size < 1_000_000n) return `${sign}${fraction(size, 1_000n)}µs`;
  if (size < second) return `${sign}${fraction(size, 1_000_000n)}ms`;
  const hours = size / (3600n * second);
  const minutes = (size / (60n * second)) % 60n;
  const seconds = `${fraction(size % (60n * second), second)}s`;
  if (hours > 0n) return `${sign}${hours}h${minutes}m${seconds}`;
  return minutes > 0n ? `${sign}${minutes}m${seconds}` : `${sign}${seconds}`;
}

/** The text Go writes for a duration in milliseconds. */
export function formatDuration(milliseconds: number): string {
  return formatDurationNanos(BigInt(Math.round(milliseconds * 1e6)));
}
