/** The types of messages that expressions made: mutations check them afterwards. */
import { isMap, mapEntries } from "./map.ts";

const names = new WeakMap<object, string>();

/** Remembers that `message` was written as a `type`. */
export function nameMessage(message: object, type: string): object {
  names.set(message, type);
  return message;
}

/** Messages whose types do not say where they stand: `Object.spec` must be the field `spec`. */
export function misnamedMessages(value: unknown): readonly string[] {
  const root = typeof value === "object" && value !== null ? names.get(value) : undefined;
  if (root !== undefined) return misnamed(value, root);
  if (!Array.isArray(value)) return [];
  return value.flatMap(patchValue);
}

/** The value of a patch begins anew. */
function patchValue(patch: unknown): readonly string[] {
  const value = (patch as Readonly<Record<string, unknown>> | null)?.value;
  if (typeof value !== "object" || value === null) return [];
  const root = names.get(value);
  return root === undefined ? [] : misnamed(value, root);
}

function misnamed(value: unknown, path: string): readonly string[] {
  if (Array.isArray(value)) return value.flatMap((item) => misnamed(item, path));
  if (!isMap(value)) return [];
  const name = names.get(value);
  const entries = mapEntries(value);
  if (name === undefined) return entries.flatMap(([, member]) => misnamed(member, path));
  const below = entries.flatMap(([field, member]) => misnamed(member, `${path}.${field}`));
  if (name === path) return below;
  const where = "which matches field name path from root Object type";
  return [`unexpected type name "${name}", expected "${path}", ${where}`, ...below];
}
