/** Ages as `kubectl get` shows them: at most two units, fewer digits the older. */

const secondsPer = { minute: 60, hour: 3600, day: 86400, year: 365 * 86400 } as const;

function pair(seconds: number, large: number, small: number, units: string): string {
  const rest = Math.floor((seconds % large) / small);
  const first = `${Math.floor(seconds / large)}${units.charAt(0)}`;
  return rest === 0 ? first : `${first}${rest}${units.charAt(1)}`;
}

/** `ms` as `5s`, `2m3s`, `15m`, `3h5m`, `12h`, `2d4h`, `9d`, `2y30d`. */
export function humanDuration(ms: number): string {
  const seconds = Math.trunc(ms / 1000);
  if (seconds < -1) return "<invalid>";
  if (seconds < 0) return "0s";
  const { minute, hour, day, year } = secondsPer;
  if (seconds < 2 * minute) return `${seconds}s`;
  if (seconds < 10 * minute) return pair(seconds, minute, 1, "ms");
  if (seconds < 3 * hour) return `${Math.floor(seconds / minute)}m`;
  if (seconds < 8 * hour) return pair(seconds, hour, minute, "hm");
  if (seconds < 2 * day) return `${Math.floor(seconds / hour)}h`;
  if (seconds < 8 * day) return pair(seconds, day, hour, "dh");
  if (seconds < 2 * year) return `${Math.floor(seconds / day)}d`;
  if (seconds < 8 * year) return pair(seconds, year, day, "yd");
  return `${Math.floor(seconds / year)}y`;
}

/** The age of a timestamp, `<unknown>` when there is none. */
export function ageOf(timestamp: string | null | undefined, now: Date): string {
  if (!timestamp) return "<unknown>";
  return humanDuration(now.getTime() - Date.parse(timestamp));
}
