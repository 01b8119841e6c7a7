/** Reads the fields of a configuration document; what is wrong is told with its path. */

/** What the file says is wrong with itself, with the path of the field. */
export class SchedulerConfigError extends Error {
  override readonly name = "SchedulerConfigError";
}

export type Fields = Readonly<Record<string, unknown>>;

export function fail(path: string, problem: string): never {
  throw new SchedulerConfigError(`${path}: ${problem}`);
}

export function fieldsOf(value: unknown, path: string): Fields {
  if (value === undefined || value === null) return {};
  if (typeof value !== "object" || Array.isArray(value)) fail(path, "must be an object");
  return value as Fields;
}

export function listOf(value: unknown, path: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) fail(path, "must be a list");
  return value;
}

export function textOf(value: unknown, path: string): string {
  if (typeof value !== "string" || value === "") fail(path, "must be a text");
  return value;
}

/** A whole number; `fallback` when it is absent. */
export function numberOf(
  value: unknown,
  path: string,
  fallback: number,
  most = 2 ** 31 - 1,
): number {
  if (value === undefined || value === null) return fallback;
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= most) {
    return value;
  }
  return fail(path, `must be a whole number from 0 to ${most}`);
}
