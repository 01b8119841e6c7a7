/** What every controller needs to know about objects: copies, owners, times, comparison. */
import type { OwnerReference } from "../gen/meta-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import type { Clock } from "../runtime/runtime.ts";
import type { KubeObject } from "../schema/object.ts";

/** A copy that may be changed; objects of a LiveSet are shared and never are. */
export function mutable<T>(object: DeepReadonly<T>): T {
  return structuredClone(object) as T;
}

/** RFC 3339 with seconds, the wire form of meta/v1 `Time`. */
export function formatTime(date: Date): string {
  return `${date.toISOString().slice(0, 19)}Z`;
}

export function timeNow(clock: Clock): string {
  return formatTime(clock.now());
}

/** Milliseconds since the epoch; 0 when the time is not set. */
export function parseTime(time: string | null | undefined): number {
  if (time === undefined || time === null || time === "") return 0;
  const ms = Date.parse(time);
  return Number.isNaN(ms) ? 0 : ms;
}

/** The owner that manages `object`, if any. */
export function controllerOf(
  object: DeepReadonly<KubeObject>,
): DeepReadonly<OwnerReference> | undefined {
  return object.metadata.ownerReferences?.find((owner) => owner.controller === true);
}

export function isControlledBy(
  object: DeepReadonly<KubeObject>,
  owner: DeepReadonly<KubeObject>,
): boolean {
  return controllerOf(object)?.uid === owner.metadata.uid;
}

/** The reference by which `owner` manages what it creates. */
export function controllerReference(owner: DeepReadonly<KubeObject>): OwnerReference {
  return {
    apiVersion: owner.apiVersion,
    kind: owner.kind,
    name: owner.metadata.name ?? "",
    uid: owner.metadata.uid ?? "",
    controller: true,
    blockOwnerDeletion: true,
  };
}

/** JSON with sorted keys and without what Go omits when empty: equal text means equal objects. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) => {
    if (item === null || typeof item !== "object" || Array.isArray(item)) return item;
    const sorted: Record<string, unknown> = {};
    for (const key of Object.keys(item).sort()) {
      const field = (item as Record<string, unknown>)[key];
      if (field !== null && !isEmptyCollection(field)) sorted[key] = field;
    }
    return sorted;
  });
}

function isEmptyCollection(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}

export function sameJson(a: unknown, b: unknown): boolean {
  return canonicalJson(a) === canonicalJson(b);
}

/** Drops fields Go would omit (`omitempty`): undefined, 0, "", false and empty lists. */
export function omitEmpty<T extends object>(object: T): Compact<T> {
  const kept = Object.entries(object).filter(
    ([, value]) =>
      value !== undefined &&
      value !== null &&
      value !== 0 &&
      value !== "" &&
      value !== false &&
      !isEmptyCollection(value),
  );
  return Object.fromEntries(kept) as Compact<T>;
}

export type Compact<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** Orders by creation, oldest first, then by name: upstream's order among equals. */
export function byCreation(a: DeepReadonly<KubeObject>, b: DeepReadonly<KubeObject>): number {
  const difference =
    parseTime(a.metadata.creationTimestamp) - parseTime(b.metadata.creationTimestamp);
  if (difference !== 0) return difference;
  return (a.metadata.name ?? "") < (b.metadata.name ?? "") ? -1 : 1;
}

export function isDeleting(object: DeepReadonly<KubeObject>): boolean {
  return Boolean(object.metadata.deletionTimestamp);
}
