/**
 * Arguments of single components (`--kube-apiserver-arg=request-timeout=30s`) against tables of
 * those that k3 understands; the values keep the component's own names and forms.
 */
import { formatDuration, parseDuration } from "../lib/duration.ts";
import { bad, boolOf, type FlagValues, nearestName } from "./flags.ts";

/** One argument: its default, and what reads a value; that throws RangeError with the reason. */
export interface ComponentArg<T> {
  readonly default: T;
  readonly read: (text: string) => T;
  /** It may stand without a value, which is then "true". */
  readonly isSwitch?: boolean;
  /** A value as it would be given; by default as JavaScript writes it. */
  text?(value: T): string;
  /** Arguments that may be given several times: what several values are together. */
  join?(one: T, next: T): T;
}

export type ComponentArgs = Readonly<Record<string, ComponentArg<unknown>>>;

/** What decoding a table gives: one value for each row. */
export type ComponentValues<Rows extends ComponentArgs> = {
  readonly [Name in keyof Rows]: Rows[Name]["default"];
};

/** Seconds, minutes and so on in Go's form, kept as milliseconds. */
export function duration(fallbackMs: number): ComponentArg<number> {
  return {
    default: fallbackMs,
    read(text) {
      const ms = parseDuration(text);
      if (ms < 0) throw new RangeError("it must not be negative");
      return ms;
    },
    text: formatDuration,
  };
}

export function count(fallback: number): ComponentArg<number> {
  return {
    default: fallback,
    read(text) {
      if (!/^\d{1,9}$/.test(text)) throw new RangeError("it must be a whole number, 0 or more");
      return Number(text);
    },
  };
}

/** A part of one, at most `most`. */
export function chance(most: number): ComponentArg<number> {
  return {
    default: 0,
    read(text) {
      const value = Number(text);
      if (text.trim() === "" || !(value >= 0 && value <= most)) {
        throw new RangeError(`it must be between 0 and ${most}`);
      }
      return value;
    },
  };
}

export function switched(fallback: boolean): ComponentArg<boolean> {
  return { default: fallback, isSwitch: true, read: readSwitch };
}

/** A switch that nobody has set is neither on nor off. */
export const optionalSwitch: ComponentArg<boolean | undefined> = {
  default: undefined,
  isSwitch: true,
  read: readSwitch,
};

function readSwitch(text: string): boolean {
  const value = boolOf(text);
  if (value === undefined) throw new RangeError("it must be true or false");
  return value;
}

export function text(fallback: string): ComponentArg<string> {
  return { default: fallback, read: (value) => value };
}

/** A text that must be one of `choices`. */
export function choice<T extends string>(choices: readonly T[], fallback: T): ComponentArg<T> {
  return {
    default: fallback,
    read(value) {
      const found = choices.find((one) => one === value);
      if (found === undefined) throw new RangeError(`it must be one of ${choices.join(", ")}`);
      return found;
    },
  };
}

/** A number above zero, with a fraction or without. */
export function rate(fallback: number): ComponentArg<number> {
  return {
    default: fallback,
    read(value) {
      const number = /^\d+(\.\d+)?$/.test(value) ? Number(value) : 0;
      if (number <= 0) throw new RangeError("it must be a positive number");
      return number;
    },
  };
}

/** A whole number above zero. */
export function positive(fallback: number): ComponentArg<number> {
  const { read } = count(fallback);
  return {
    default: fallback,
    read(value) {
      const number = read(value);
      if (number === 0) throw new RangeError("it must be a positive number");
      return number;
    },
  };
}

/** Any number of texts; commas part those of one value unless `commas` is false. */
export function texts(
  fallback: readonly string[],
  { commas = true }: { readonly commas?: boolean } = {},
): ComponentArg<readonly string[]> {
  return {
    default: fallback,
    read: (value) => {
      const items = commas ? value.split(",") : [value];
      return items.map((item) => item.trim()).filter((item) => item !== "");
    },
    join: (one, next) => [...one, ...next],
  };
}

/** `name`, `name+` (after the default) and `name-` (before it), as K3s has it. */
type Place = "alone" | "after" | "before";

interface Given {
  readonly place: Place;
  readonly value: unknown;
}

/** Reads what the user gave by the list flag `flag`; of single values the last one wins. */
export function componentArgsOf<Rows extends ComponentArgs>(
  flags: Pick<FlagValues, "list">,
  flag: string,
  rows: Rows,
): ComponentValues<Rows> {
  const given = new Map<string, Given[]>();
  for (const argument of flags.list(flag)) {
    const { name, place, value } = parseArgument(argument);
    const row = Object.hasOwn(rows, name) ? rows[name] : undefined;
    if (row === undefined) throw bad(flag, argument, unknown(name, Object.keys(rows)));
    try {
      const read = row.read(value ?? (row.isSwitch === true ? "true" : ""));
      given.set(name, [...(given.get(name) ?? []), { place, value: read }]);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw bad(flag, argument, error.message);
    }
  }
  const values = Object.entries(rows).map(([name, row]) => [
    name,
    together(row, given.get(name) ?? []),
  ]);
  return Object.fromEntries(values) as ComponentValues<Rows>;
}

function parseArgument(argument: string): {
  readonly name: string;
  readonly place: Place;
  readonly value: string | undefined;
} {
  const [head = "", value] = argument.replace(/^--/, "").split(/=(.*)/s);
  const [, name = "", sign = ""] = /^(.*?)([+-]?)$/s.exec(head) ?? [];
  const place = sign === "+" ? "after" : sign === "-" ? "before" : "alone";
  return { name, place, value };
}

function together(row: ComponentArg<unknown>, given: readonly Given[]): unknown {
  const values = given.map(({ value }) => value);
  if (given.length === 0) return row.default;
  const isBefore = given.some(({ place }) => place === "before");
  const isAfter = given.some(({ place }) => place === "after");
  if (row.join === undefined) return isBefore ? row.default : values.at(-1);
  const all = [...(isAfter ? [row.default] : []), ...values, ...(isBefore ? [row.default] : [])];
  return all.reduce(row.join);
}

/** Each value as it would be given, for whoever asks how the component was started. */
export function componentTextsOf<Rows extends ComponentArgs>(
  rows: Rows,
  values: ComponentValues<Rows>,
): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(rows).flatMap(([name, row]) => {
      const value = values[name];
      return value === undefined ? [] : [[name, row.text?.(value) ?? `${value}`] as const];
    }),
  );
}

function unknown(name: string, known: readonly string[]): string {
  const nearest = nearestName(name, known);
  const hint = nearest === undefined ? "" : `; did you mean ${nearest}?`;
  return `this version does not understand the argument ${JSON.stringify(name)}${hint}`;
}
