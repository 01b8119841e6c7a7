/** The strategic merge patch that brings a pod's status in the API to what it should be. Pure. */
import type * as core from "../../gen/core-v1.ts";
import { isKubeletCondition, passingConditions } from "./pod-conditions.ts";
import type { Pod } from "./types.ts";

/** Fields that a kubelet writes; what is absent in `status` is removed. */
const owned = [
  "observedGeneration",
  "phase",
  "reason",
  "message",
  "hostIP",
  "podIP",
  "startTime",
  "qosClass",
  "containerStatuses",
  "initContainerStatuses",
  "ephemeralContainerStatuses",
  "resources",
  "allocatedResources",
] as const satisfies readonly (keyof core.PodStatus)[];

/** These merge by address, so that the old entries have to be replaced by name. */
const addressLists = ["hostIPs", "podIPs"] as const;

/** Equal whatever the order of keys; empty and absent are the same on the wire. */
export function sameJson(a: unknown, b: unknown): boolean {
  return same(a ?? null, b ?? null);
}

function same(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
    return a.every((item, index) => sameJson(item, b[index]));
  }
  const [left, right] = [a as Record<string, unknown>, b as Record<string, unknown>];
  for (const key in left) {
    const [x, y] = [left[key], right[key]];
    if (!(isAbsent(x) ? isAbsent(y) : same(x, y))) return false;
  }
  for (const key in right) if (!(key in left) && !isAbsent(right[key])) return false;
  return true;
}

function isAbsent(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return value === undefined || value === "";
  for (const _ in value) return false;
  return true;
}

export interface StatusPatch {
  readonly metadata: { readonly uid: string | undefined };
  readonly status: Readonly<Record<string, unknown>>;
}

/** Undefined when the API already says the same. */
export function statusPatch(pod: Pod, status: core.PodStatus): StatusPatch | undefined {
  const before = pod.status ?? {};
  const changes: Record<string, unknown> = {};
  for (const field of owned) {
    if (!sameJson(before[field], status[field])) changes[field] = status[field] ?? null;
  }
  for (const field of addressLists) {
    if (sameJson(before[field], status[field])) continue;
    const entries: object[] = status[field] ?? [];
    changes[field] = [...entries, { $patch: "replace" }];
  }
  const conditions = (status.conditions ?? []).flatMap((condition) => {
    const isOurs = isKubeletCondition(condition.type);
    const old = before.conditions?.find((entry) => entry.type === condition.type);
    return isOurs && !sameCondition(old, condition) ? [withoutStale(old, condition)] : [];
  });
  const isOver = ({ type }: { readonly type: string }): boolean =>
    passingConditions.has(type) && status.conditions?.every((now) => now.type !== type) !== false;
  const over = (before.conditions ?? []).filter(isOver);
  const gone = over.map(({ type }) => ({ $patch: "delete", type }));
  if (conditions.length + gone.length > 0) changes.conditions = [...conditions, ...gone];
  if (Object.keys(changes).length === 0) return undefined;
  return { metadata: { uid: pod.metadata.uid }, status: changes };
}

type Condition = NonNullable<core.PodStatus["conditions"]>[number];

function sameCondition(old: Partial<Condition> | undefined, wanted: Condition): boolean {
  if (old === undefined) return false;
  const fields = ["status", "reason", "message", "observedGeneration"] as const;
  return fields.every((field) => sameJson(old[field] ?? "", wanted[field] ?? ""));
}

/** A condition merges into the old one: what it no longer says must be taken away. */
function withoutStale(old: Partial<Condition> | undefined, condition: Condition): object {
  const gone = (["reason", "message"] as const).filter(
    (field) => condition[field] === undefined && (old?.[field] ?? "") !== "",
  );
  return { ...condition, ...Object.fromEntries(gone.map((field) => [field, null])) };
}
