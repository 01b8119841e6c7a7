/**
 * Arguments of single components (`--kube-apiserver-arg=request-timeout=30s`) against tables of
 * those that k3 understands; the values keep the component's own names and forms.
 */
import { parseDuration } from "../lib/duration.ts";
import { bad, boolOf, type FlagValues, nearestName } from "./flags.ts";

/** One argument: its default, and what reads a value; that throws RangeError with the reason. */
export interface ComponentArg<T> {
  readonly default: T;
  readonly read: (text: string) => T;
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

export function switched(fallback: boolean): ComponentArg<boolean> {
  return {
    default: fallback,
    read(text) {
      const value = boolOf(text);
      if (value === undefined) throw new RangeError("it must be true or false");
      return value;
    },
  };
}

/** Reads what the user gave by the list flag `flag`; the last of equal names wins. */
export function componentArgsOf<Rows extends ComponentArgs>(
  flags: FlagValues,
  flag: string,
  rows: Rows,
): ComponentValues<Rows> {
  const values = new Map<string, unknown>(
    Object.entries(rows).map(([name, row]) => [name, row.default]),
  );
  for (const argument of flags.list(flag)) {
    const [name = "", value] = argument.replace(/^--/, "").split(/=(.*)/s);
    const row = Object.hasOwn(rows, name) ? rows[name] : undefined;
    if (row === undefined) throw bad(flag, argument, unknown(name, Object.keys(rows)));
    try {
      // A switch may stand alone, as on a command line.
      values.set(name, row.read(value ?? (typeof row.default === "boolean" ? "true" : "")));
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw bad(flag, argument, error.message);
    }
  }
  return Object.fromEntries(values) as ComponentValues<Rows>;
}

function unknown(name: string, known: readonly string[]): string {
  const nearest = nearestName(name, known);
  const hint = nearest === undefined ? "" : `; did you mean ${nearest}?`;
  return `this version does not understand the argument ${JSON.stringify(name)}${hint}`;
}
