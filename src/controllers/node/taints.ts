/** Which taints a node must carry, and when they drive pods away. Pure. */
import type { Node, Taint } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { parseTime, sameJson } from "../objects.ts";
import type { LivePod } from "../pod-state.ts";
import type { Permission } from "./zones.ts";

export type LiveNode = DeepReadonly<Node>;
type LiveTaint = DeepReadonly<Taint>;

const prefix = "node.kubernetes.io/";
const notReady = `${prefix}not-ready`;
const unreachable = `${prefix}unreachable`;

/** Condition type and status to the taint it means. */
const conditionTaints: readonly (readonly [string, string, string])[] = [
  ["Ready", "False", notReady],
  ["Ready", "Unknown", unreachable],
  ["MemoryPressure", "True", `${prefix}memory-pressure`],
  ["DiskPressure", "True", `${prefix}disk-pressure`],
  ["NetworkUnavailable", "True", `${prefix}network-unavailable`],
  ["PIDPressure", "True", `${prefix}pid-pressure`],
];
const unschedulable = `${prefix}unschedulable`;
const managed: ReadonlySet<string> = new Set([
  ...conditionTaints.map(([, , key]) => key),
  unschedulable,
]);

/** True when the node has yet to get the NoExecute taint of its readiness: someone must allow. */
export function wantsEviction(node: LiveNode): boolean {
  const wanted = evictionTaint(node);
  const has = (key: string) =>
    node.spec?.taints?.some((taint) => taint.key === key && taint.effect === "NoExecute") === true;
  // From one of the two to the other is no new eviction.
  return wanted !== undefined && !has(notReady) && !has(unreachable);
}

function evictionTaint({ status }: LiveNode): string | undefined {
  const ready = status?.conditions?.find(({ type }) => type === "Ready");
  if (ready?.status === "False") return notReady;
  return ready?.status === "Unknown" ? unreachable : undefined;
}

/** The taints the node must have, or undefined when it has them. */
export function planTaints(
  node: LiveNode,
  now: string,
  permission: Permission,
): Taint[] | undefined {
  const present = node.spec?.taints ?? [];
  const wanted: { readonly key: string; readonly effect: string }[] = [];
  for (const [type, status, key] of conditionTaints) {
    const condition = node.status?.conditions?.find((c) => c.type === type);
    if (condition?.status === status) wanted.push({ key, effect: "NoSchedule" });
  }
  if (node.spec?.unschedulable === true) wanted.push({ key: unschedulable, effect: "NoSchedule" });
  const evicting = evictionTaint(node);
  const mayEvict = permission === "add" || (permission === "wait" && !wantsEviction(node));
  if (evicting !== undefined && mayEvict) wanted.push({ key: evicting, effect: "NoExecute" });
  // A node that never told its readiness keeps the taint it registered with.
  const isSilent = !node.status?.conditions?.some(({ type }) => type === "Ready");
  const isOurs = ({ key, effect }: LiveTaint) =>
    managed.has(key) && effect !== "PreferNoSchedule" && !(isSilent && key === notReady);
  const find = (list: readonly LiveTaint[], key: string, effect: string) =>
    list.find((taint) => taint.key === key && taint.effect === effect);
  const kept = present.filter(
    (taint) => !isOurs(taint) || wanted.some((w) => find([taint], w.key, w.effect)),
  );
  const added = wanted
    .filter(({ key, effect }) => find(present, key, effect) === undefined)
    .map(({ key, effect }) => ({ key, effect, timeAdded: now }));
  const taints = [...kept, ...added];
  return sameJson(taints, present) ? undefined : (structuredClone(taints) as Taint[]);
}

/** Labels by which older selectors know the machine, where they are missing or wrong. */
export function planLabels({ metadata }: LiveNode): Record<string, string> | undefined {
  const labels = metadata.labels ?? {};
  const wanted: Record<string, string> = {};
  for (const name of ["os", "arch"]) {
    const value = labels[`kubernetes.io/${name}`];
    const older = `beta.kubernetes.io/${name}`;
    if (value !== undefined && labels[older] !== value) wanted[older] = value;
  }
  return Object.keys(wanted).length === 0 ? undefined : wanted;
}

function tolerationMs(pod: LivePod, taint: LiveTaint): number | undefined {
  let least: number | undefined;
  for (const toleration of pod.spec.tolerations ?? []) {
    const { key = "", value = "", effect = "", operator = "Equal" } = toleration;
    if (effect !== "" && effect !== taint.effect) continue;
    if (key !== "" && key !== taint.key) continue;
    if (operator === "Exists" || (key !== "" && value === (taint.value ?? ""))) {
      const ms = Number(toleration.tolerationSeconds ?? Number.POSITIVE_INFINITY) * 1000;
      least = Math.min(least ?? Number.POSITIVE_INFINITY, Math.max(0, ms));
    }
  }
  return least;
}

/** Tells two taints of a node apart, as the API does. */
export function taintId({ key, effect }: LiveTaint): string {
  return `${key}:${effect}`;
}

/**
 * When the pod must leave: milliseconds since the epoch, undefined for never. `seenMs` tells since
 * when a taint is known that does not say itself when it was added, as kubectl's do not.
 */
export function evictionTimeMs(
  pod: LivePod,
  node: LiveNode,
  nowMs: number,
  seenMs: (taint: LiveTaint) => number,
): number | undefined {
  let first: number | undefined;
  for (const taint of node.spec?.taints ?? []) {
    if (taint.effect !== "NoExecute") continue;
    const ms = tolerationMs(pod, taint);
    if (ms === undefined) return nowMs;
    if (!Number.isFinite(ms)) continue;
    const since = parseTime(taint.timeAdded) || seenMs(taint);
    first = Math.min(first ?? Number.POSITIVE_INFINITY, since + ms);
  }
  return first;
}
