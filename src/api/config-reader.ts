/** Reads configuration files that are no objects of the API, member by member, naming the path. */

import { tryParseDurationNanos } from "../lib/duration.ts";

export type ConfigRecord = Readonly<Record<string, unknown>>;

/** An absent member reads as an empty one, as in Go. */
export function recordAt(value: unknown, path: string): ConfigRecord {
  if (value === undefined || value === null) return {};
  if (typeof value === "object" && !Array.isArray(value)) return value as ConfigRecord;
  throw wrongType(path, "object");
}

export function listAt(value: unknown, path: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value;
  throw wrongType(path, "list");
}

export function textAt(value: unknown, path: string): string {
  if (value === undefined || value === null) return "";
  if (typeof value === "string") return value;
  throw wrongType(path, "string");
}

export function textsAt(value: unknown, path: string): readonly string[] {
  return listAt(value, path).map((one, index) => textAt(one, `${path}[${index}]`));
}

export function flagAt(value: unknown, path: string): boolean | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === "boolean") return value;
  throw wrongType(path, "boolean");
}

export function intAt(value: unknown, path: string): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === "number" && Number.isInteger(value)) return value;
  throw wrongType(path, "integer");
}

/** Milliseconds of a Go duration. */
export function durationAt(text: string, path: string): number {
  const nanos = tryParseDurationNanos(text);
  if (nanos === undefined) {
    throw new Error(`failed decoding: ${path}: time: invalid duration ${JSON.stringify(text)}`);
  }
  return Number(nanos) / 1e6;
}

/** Throws when a file is of another kind or version. */
export function checkType(config: ConfigRecord, versions: readonly string[], kind: string): void {
  const version = textAt(config.apiVersion, "apiVersion");
  const given = textAt(config.kind, "kind");
  if (given === kind && versions.includes(version)) return;
  throw new Error(`no kind ${JSON.stringify(given)} is registered for version "${version}"`);
}

/** Strict decoding: throws for members that nobody knows. */
export function knownMembers(record: ConfigRecord, path: string, names: readonly string[]): void {
  const unknown = unknownMembers(record, path, names);
  if (unknown.length > 0) throw new Error(`strict decoding error: ${unknown.join(", ")}`);
}

/** What strict decoding objects to. */
export function unknownMembers(
  record: ConfigRecord,
  path: string,
  names: readonly string[],
): readonly string[] {
  const prefix = path === "" ? "" : `${path}.`;
  return Object.keys(record)
    .filter((name) => !names.includes(name))
    .map((name) => `unknown field ${JSON.stringify(`${prefix}${name}`)}`);
}

function wrongType(path: string, wanted: string): Error {
  return new Error(`failed decoding: ${path === "" ? "the file" : path} is not of type ${wanted}`);
}

/** `path: Invalid value: …`, as field errors of the API read. */
export function invalidText(path: string, value: unknown, why: string): string {
  return `${path}: Invalid value: ${JSON.stringify(value)}: ${why}`;
}

export function unsupportedText(path: string, value: string, supported: readonly string[]): string {
  const names = supported.map((one) => JSON.stringify(one)).join(", ");
  return `${path}: Unsupported value: ${JSON.stringify(value)}: supported values: ${names}`;
}

export function requiredText(path: string, why = ""): string {
  return `${path}: Required value${why === "" ? "" : `: ${why}`}`;
}

/** Throws all problems at once, in the form of Go's aggregated errors. */
export function throwProblems(problems: readonly string[]): void {
  const distinct = [...new Set(problems)];
  if (distinct.length === 0) return;
  throw new Error(distinct.length === 1 ? distinct[0] : `[${distinct.join(", ")}]`);
}
