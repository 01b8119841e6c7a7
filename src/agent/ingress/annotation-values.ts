/** The forms in which annotations give their values. */

/** Without the members that are undefined: they say the same, and cost bytes in each message. */
export function defined<T extends object>(
  value: {
    readonly [K in keyof T]: T[K] | undefined;
  },
): T {
  return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined)) as T;
}

export function isTrue(value: string | undefined): boolean {
  return value?.trim().toLowerCase() === "true";
}

export function splitList(value: string): readonly string[] {
  return value
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

export function wholeNumber(value: string | undefined): number | undefined {
  return value !== undefined && /^-?\d{1,9}$/.test(value) ? Number(value) : undefined;
}

/** nginx's `8m`; 0 is no limit. */
export function bytes(value: string | undefined): number | undefined {
  const [, count, unit = ""] = /^(\d{1,12})([kKmMgG]?)$/.exec(value ?? "") ?? [];
  if (count === undefined || Number(count) === 0) return undefined;
  const factors: Readonly<Record<string, number>> = { "": 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3 };
  return Number(count) * (factors[unit.toLowerCase()] ?? 1);
}

/** nginx's seconds, with or without their unit. */
export function milliseconds(value: string | undefined): number | undefined {
  const [, count, unit = "s"] = /^(\d{1,8})(s|m|ms)?$/.exec(value ?? "") ?? [];
  if (count === undefined) return undefined;
  return Number(count) * (unit === "ms" ? 1 : unit === "m" ? 60_000 : 1000);
}
