/** Arguments, environment and configuration file against the flag table. */
import type { FlagRow } from "./flag-row.ts";

/** What the user got wrong: printed as it is, without a stack. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

export function bad(flag: string, value: string, why: string): UsageError {
  return new UsageError(`Cannot use --${flag}=${value}: ${why}`);
}

/** One occurrence of a flag; `source` tells where it stands, for messages. */
export interface GivenFlag {
  readonly name: string;
  readonly value: string;
  readonly source: "argument" | "environment" | "file";
}

export class FlagValues {
  readonly #given = new Map<string, GivenFlag[]>();
  readonly #rows: ReadonlyMap<string, FlagRow>;

  constructor(rows: readonly FlagRow[], given: readonly GivenFlag[]) {
    this.#rows = new Map(rows.map((row) => [row.name, row]));
    for (const flag of given) {
      const before = this.#given.get(flag.name);
      if (before === undefined) this.#given.set(flag.name, [flag]);
      else before.push(flag);
    }
  }

  isGiven(name: string): boolean {
    return this.#given.has(name);
  }

  /** The last one wins; the row's default when none was given. */
  string(name: string): string {
    return this.#given.get(name)?.at(-1)?.value ?? this.#rows.get(name)?.default ?? "";
  }

  bool(name: string): boolean {
    return boolOf(this.string(name)) ?? false;
  }

  int(name: string): number {
    return Number(this.string(name));
  }

  list(name: string): readonly string[] {
    const row = this.#rows.get(name);
    const values = this.#given.get(name)?.map(({ value }) => value) ?? [row?.default ?? ""];
    const items = row?.commas === true ? values.flatMap((value) => value.split(",")) : values;
    return items.map((item) => item.trim()).filter((item) => item !== "");
  }
}

/** The spellings that Go's strconv.ParseBool takes. */
export function boolOf(text: string): boolean | undefined {
  if (["1", "t", "T", "true", "TRUE", "True"].includes(text)) return true;
  if (["0", "f", "F", "false", "FALSE", "False"].includes(text)) return false;
  return undefined;
}

/** Reads `--flag value`, `--flag=value`, `-f value` and bare booleans; throws UsageError. */
export function parseArguments(
  rows: readonly FlagRow[],
  args: readonly string[],
  command: string,
): readonly GivenFlag[] {
  const given: GivenFlag[] = [];
  for (let i = 0; i < args.length; i++) {
    const argument = args[i] ?? "";
    if (!argument.startsWith("-") || argument === "-")
      throw new UsageError(
        `Cannot use ${JSON.stringify(argument)}: ${command} takes flags only (--name=value)`,
      );
    const [, name = "", value] = /^--?([^=]*)(?:=([\s\S]*))?$/.exec(argument) ?? [];
    const row = rowOf(rows, name);
    if (row === undefined) throw unknownFlag(rows, name, value, command);
    if (value !== undefined) given.push({ name: row.name, value, source: "argument" });
    else if (row.type === "bool") given.push({ name: row.name, value: "true", source: "argument" });
    else {
      const next = args[++i];
      if (next === undefined) throw new UsageError(`Cannot use --${name}: its value is missing`);
      given.push({ name: row.name, value: next, source: "argument" });
    }
  }
  return given;
}

/** `given` and what the environment adds to it, every value checked against its type. */
export function completeFlags(
  rows: readonly FlagRow[],
  given: readonly GivenFlag[],
  env: Readonly<Record<string, string | undefined>>,
): FlagValues {
  const names = new Set(given.map(({ name }) => name));
  const fromEnv: GivenFlag[] = rows.flatMap((row) => {
    const value = row.env === undefined ? undefined : env[row.env];
    if (value === undefined || value === "" || names.has(row.name)) return [];
    return [{ name: row.name, value, source: "environment" as const }];
  });
  const all = [...given, ...fromEnv];
  for (const flag of all) checkFlag(rows, flag);
  return new FlagValues(rows, all);
}

function checkFlag(rows: readonly FlagRow[], flag: GivenFlag): void {
  const row = rowOf(rows, flag.name);
  if (row === undefined) return;
  const place = placeOf(row, flag);
  if (row.type === "bool" && boolOf(flag.value) === undefined)
    throw new UsageError(`Cannot use ${place}: ${quote(flag.value)} is neither true nor false`);
  if (row.type === "int" && !/^-?\d+$/.test(flag.value))
    throw new UsageError(`Cannot use ${place}: ${quote(flag.value)} is not a whole number`);
  if (row.refusedNo !== undefined && boolOf(flag.value) === false)
    throw new UsageError(`Cannot set ${place} to false yet: ${row.refusedNo}`);
  if (row.unsupported === undefined) return;
  // Saying no to a thing that k3 does not do anyway is fine.
  const isNo = row.type === "bool" ? boolOf(flag.value) === false : flag.value === "";
  if (!isNo && flag.value !== row.default)
    throw new UsageError(`Cannot use ${place} yet: ${row.unsupported}`);
}

function placeOf(row: FlagRow, flag: GivenFlag): string {
  switch (flag.source) {
    case "argument":
      return `--${row.name}`;
    case "environment":
      return `${row.env ?? ""} (--${row.name})`;
    case "file":
      return `${row.name} of the configuration file`;
  }
}

const quote = (text: string): string => JSON.stringify(text);

export function rowOf(rows: readonly FlagRow[], name: string): FlagRow | undefined {
  return rows.find((row) => row.name === name || row.alias === name);
}

function unknownFlag(
  rows: readonly FlagRow[],
  name: string,
  value: string | undefined,
  command: string,
): UsageError {
  const nearest = nearestName(
    name,
    rows.map((row) => row.name),
  );
  const given = value === undefined ? `--${name}` : `--${name}=${value}`;
  const hint = nearest === undefined ? "" : `; did you mean --${nearest}?`;
  return new UsageError(`Cannot use ${given}: ${command} has no flag of that name${hint}`);
}

/** The name that is reached with the fewest edits, when it is near enough to be meant. */
export function nearestName(name: string, names: readonly string[]): string | undefined {
  let best: { readonly name: string; readonly edits: number } | undefined;
  for (const candidate of names) {
    const edits = editDistance(name, candidate);
    if (best === undefined || edits < best.edits) best = { name: candidate, edits };
  }
  const editsMax = Math.max(2, Math.floor(name.length / 3));
  return best !== undefined && best.edits <= editsMax ? best.name : undefined;
}

function editDistance(from: string, to: string): number {
  let above = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let row = 1; row <= from.length; row++) {
    const current = [row];
    for (let column = 1; column <= to.length; column++) {
      const swap = from[row - 1] === to[column - 1] ? 0 : 1;
      current.push(
        Math.min(
          (above[column] ?? 0) + 1,
          (current[column - 1] ?? 0) + 1,
          (above[column - 1] ?? 0) + swap,
        ),
      );
    }
    above = current;
  }
  return above[to.length] ?? 0;
}
