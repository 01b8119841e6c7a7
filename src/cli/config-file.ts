/** K3s's configuration file and its drop-ins: keys are flags without dashes. */
import { parseDocument } from "yaml";
import type { Files } from "../runtime/runtime.ts";
import type { FlagRow } from "./flag-row.ts";
import { type GivenFlag, nearestName, rowOf, UsageError } from "./flags.ts";

export interface ConfigFileOptions {
  readonly path: string;
  readonly rows: readonly FlagRow[];
  readonly files: Files;
  /** An agent refuses unknown keys; a server warns, since its file may serve other versions. */
  readonly refusesUnknown: boolean;
}

export interface ConfigFileResult {
  readonly given: readonly GivenFlag[];
  readonly warnings: readonly string[];
}

/** Reads `path` and `path.d/*.yaml`, later files over earlier ones; missing files are fine. */
export async function readConfigFile(options: ConfigFileOptions): Promise<ConfigFileResult> {
  const { path, files } = options;
  const dropIns = (await files.list(`${path}.d`))
    .filter((name) => /\.ya?ml$/.test(name))
    .map((name) => `${path}.d/${name}`);
  const merged = new Map<string, readonly string[]>();
  for (const file of [path, ...dropIns]) {
    const text = await files.readText(file).catch((error: unknown) => {
      if (error instanceof Error && "code" in error && error.code === "EISDIR") return undefined;
      throw new UsageError(`Cannot read the configuration file ${file}: ${String(error)}`);
    });
    if (text !== undefined) mergeInto(merged, decode(text, file));
  }
  return toFlags(merged, options);
}

interface Entry {
  readonly key: string;
  readonly append: boolean;
  readonly values: readonly string[];
}

function decode(text: string, file: string): readonly Entry[] {
  const document = parseDocument(text, { schema: "yaml-1.1", uniqueKeys: true });
  const problem = document.errors[0];
  if (problem !== undefined)
    throw new UsageError(`Cannot read the configuration file ${file}: ${problem.message}`);
  const content: unknown = document.toJS({ mapAsMap: true });
  if (content === null || content === undefined) return [];
  if (!(content instanceof Map))
    throw new UsageError(
      `Cannot read the configuration file ${file}: it must hold keys and values`,
    );
  return [...content].map(([rawKey, value]: [unknown, unknown]) => {
    const key = String(rawKey);
    const append = key.endsWith("+");
    return { key: append ? key.slice(0, -1) : key, append, values: valuesOf(value, key, file) };
  });
}

function valuesOf(value: unknown, key: string, file: string): readonly string[] {
  const items: readonly unknown[] = Array.isArray(value) ? value : [value];
  return items.map((item) => {
    if (item === null || item === undefined) return "";
    if (typeof item === "object")
      throw new UsageError(
        `Cannot use ${key} in ${file}: its value must be a scalar or a list of scalars`,
      );
    return String(item);
  });
}

/** The order of first appearance is kept; a plain key replaces, a key with + appends. */
function mergeInto(merged: Map<string, readonly string[]>, entries: readonly Entry[]): void {
  for (const { key, append, values } of entries)
    merged.set(key, append ? [...(merged.get(key) ?? []), ...values] : values);
}

function toFlags(
  merged: ReadonlyMap<string, readonly string[]>,
  { rows, path, refusesUnknown }: ConfigFileOptions,
): ConfigFileResult {
  const given: GivenFlag[] = [];
  const warnings: string[] = [];
  for (const [key, values] of merged) {
    const row = rowOf(rows, key);
    if (row !== undefined) {
      for (const value of values) given.push({ name: row.name, value, source: "file" });
      continue;
    }
    const nearest = nearestName(
      key,
      rows.map(({ name }) => name),
    );
    const hint = nearest === undefined ? "" : `; did you mean ${nearest}?`;
    const message = `Cannot use ${key} of ${path}: no flag has that name${hint}`;
    if (refusesUnknown) throw new UsageError(message);
    warnings.push(message);
  }
  return { given, warnings };
}
