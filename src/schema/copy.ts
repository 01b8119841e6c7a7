/** Copies of JSON values. */
import type { DeepReadonly } from "../lib/deep-readonly.ts";

/** A copy that shares nothing with `value`; members that are undefined are left out. */
export function copyJson<T>(value: DeepReadonly<T> | T): T {
  return copy(value) as T;
}

function copy(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(copy);
  const result: Record<string, unknown> = {};
  for (const key in value) {
    const member = (value as Record<string, unknown>)[key];
    if (member === undefined) continue;
    if (key === "__proto__") setOwn(result, key, copy(member));
    else result[key] = copy(member);
  }
  return result;
}

/** Sets a member as data even where its name is `__proto__`. */
export function setOwn(target: Record<string, unknown>, key: string, value: unknown): void {
  if (key !== "__proto__") target[key] = value;
  else {
    Object.defineProperty(target, key, {
      value,
      enumerable: true,
      configurable: true,
      writable: true,
    });
  }
}

/** Puts the members of `next` in the place of those of `target`, which others hold on to. */
export function replaceMembers(target: object, next: object): void {
  const members = target as Record<string, unknown>;
  for (const key of Object.keys(members)) delete members[key];
  for (const [key, value] of Object.entries(next)) setOwn(members, key, value);
}
