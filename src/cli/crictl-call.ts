/** What every subcommand of `k3 crictl` gets, and how its answer is shown. */
import type { CriClient } from "../agent/cri/client.ts";
import type { Clock } from "../runtime/runtime.ts";
import { toYaml } from "../schema/yaml.ts";
import type { CommandContext } from "./command.ts";
import { tableText } from "./crictl-format.ts";
import type { FlagRow } from "./flag-row.ts";
import { type FlagValues, UsageError } from "./flags.ts";

export interface Call {
  readonly cri: CriClient;
  readonly flags: FlagValues;
  /** What is no flag. */
  readonly names: readonly string[];
  readonly context: CommandContext;
  readonly clock: Clock;
  readonly dataDir: string;
}

export interface SubcommandRow {
  readonly usage: string;
  readonly flags: readonly FlagRow[];
  /** How many names must be given at least. */
  readonly namesMin: number;
  readonly run: (call: Call) => Promise<number>;
}

export function flag(
  name: string,
  alias: string,
  type: FlagRow["type"],
  help: string,
  fallback?: string,
): FlagRow {
  return {
    name,
    ...(alias === "" ? {} : { alias }),
    type,
    group: "general",
    help,
    ...(fallback === undefined ? {} : { default: fallback }),
  };
}

export const quietFlag = flag("quiet", "q", "bool", "Show ids only");
export const outputFlag = flag("output", "o", "string", "Output format: json, yaml or table");
export const allFlag = flag("all", "a", "bool", "All of them");
export const noTruncFlag = flag("no-trunc", "", "bool", "Show ids as long as they are");
export const labelFlag = flag("label", "", "list", "Only those with this label (key=value)");
export const lastFlag = flag("last", "n", "int", "Only the newest so many");
export const latestFlag = flag("latest", "l", "bool", "Only the newest one");

/** The columns of a list: head and cell. */
export type TableColumn<T> = readonly [head: string, cell: (item: T) => string];

interface Listing<T> {
  readonly items: readonly T[];
  readonly columns: readonly TableColumn<T>[];
  readonly idOf: (item: T) => string;
  /** The whole answer, for JSON and YAML. */
  readonly json: () => unknown;
}

/** Shows a list in the format that was asked for. */
export function showList<T>({ flags, context }: Call, listing: Listing<T>): number {
  const { items, columns, idOf } = listing;
  if (flags.bool("quiet")) context.out(items.map((item) => `${idOf(item)}\n`).join(""));
  else if (["", "table"].includes(flags.string("output")))
    context.out(
      tableText(
        columns.map(([head]) => head),
        items.map((item) => columns.map(([, cell]) => cell(item))),
      ),
    );
  else showValue({ flags, context }, listing.json());
  return 0;
}

/** Shows one value; JSON unless YAML is asked for. */
export function showValue(
  { flags, context }: Pick<Call, "flags" | "context">,
  value: unknown,
): void {
  const format = flags.string("output");
  if (["", "json", "table"].includes(format))
    context.out(`${JSON.stringify(value, undefined, 2)}\n`);
  else if (format === "yaml") context.out(toYaml(value));
  else throw new UsageError(`Cannot use --output=${format}: it must be json, yaml or table`);
}

const shortIdLength = 13;

/** An id as tables show it. */
export function shortId({ flags }: Call, id: string): string {
  const bare = id.replace(/^sha256:/, "");
  return flags.bool("no-trunc") ? bare : bare.slice(0, shortIdLength);
}

/** The first `--last`, or one with `--latest`. */
export function newest<T>({ flags }: Call, items: readonly T[]): readonly T[] {
  if (flags.bool("latest")) return items.slice(0, 1);
  return flags.isGiven("last") && flags.int("last") > 0 ? items.slice(0, flags.int("last")) : items;
}

/** `--label a=b` as the runtime's filter takes it. */
export function labelSelector({ flags }: Call): Record<string, string> {
  const pairs = flags.list("label").map((text): [string, string] => {
    const at = text.indexOf("=");
    if (at < 1) throw new UsageError(`Cannot use --label=${text}: it must be key=value`);
    return [text.slice(0, at), text.slice(at + 1)];
  });
  return Object.fromEntries(pairs);
}

/** A pattern that a name must have in it. */
export function pattern({ flags }: Call, name: string): RegExp {
  try {
    return new RegExp(flags.string(name));
  } catch {
    throw new UsageError(`Cannot use --${name}=${flags.string(name)}: it is no regular expression`);
  }
}
