/** JSON values, copied: what may be changed must not be shared. */
import type { DeepReadonly } from "../lib/deep-readonly.ts";

/** A copy of its own at every depth; undefined members are left out, as JSON has none. */
export function mutableCopy<T>(value: DeepReadonly<T> | T): T {
  return copy(value) as T;
}

function copy(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(copy);
  const result: Record<string, unknown> = {};
  for (const key in value) {
    const member = (value as Record<string, unknown>)[key];
    if (member !== undefined) result[key] = copy(member);
  }
  return result;
}
