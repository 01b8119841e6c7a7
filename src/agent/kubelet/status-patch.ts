/** The strategic merge patch that brings a pod's status in the API to what it should be. Pure. */
import type * as core from "../../gen/core-v1.ts";
import { kubeletConditions } from "./pod-conditions.ts";
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
] as const satisfies readonly (keyof core.PodStatus)[];

/** These merge by address, so that the old entries have to be replaced by name. */
const addressLists = ["hostIPs", "podIPs"] as const;

/** Equal whatever the order of keys; empty and absent are the same on the wire. */
export function sameJson(a: unknown, b: unknown): boolean {
  return canonical(a) === canonical(b);
}

function canonical(value: unknown): string {
  return JSON.stringify(value ?? null, (_key, entry: unknown) => {
    if (entry === null || typeof entry !== "object" || Array.isArray(entry)) return entry;
    const fields = Object.entries(entry).filter(
      ([, v]) => v !== undefined && v !== "" && !isEmptyObject(v),
    );
    return Object.fromEntries(fields.toSorted(([x], [y]) => (x < y ? -1 : 1)));
  });
}

function isEmptyObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}

/** Undefined when the API already says the same. */
export function statusPatch(pod: Pod, status: core.PodStatus): object | undefined {
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
    const isOurs = (kubeletConditions as readonly string[]).includes(condition.type);
    const old = before.conditions?.find((entry) => entry.type === condition.type);
    return isOurs && !sameCondition(old, condition) ? [withoutStale(old, condition)] : [];
  });
  if (conditions.length > 0) changes.conditions = conditions;
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
