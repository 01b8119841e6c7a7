/** Which pods a ReplicaSet removes first. */

import { parseTime } from "../objects.ts";
import { isPodReady, type LivePod, podCondition } from "../pod-state.ts";

const deletionCost = "controller.kubernetes.io/pod-deletion-cost";
const phaseRank: Readonly<Record<string, number>> = { Pending: 0, Unknown: 1, Running: 2 };

/**
 * The `count` pods to delete: unassigned, pending, not ready, cheap, doubled up on a node, ready
 * for a short time, often restarted and young ones first. `related` are the active pods of all
 * ReplicaSets of the same owner; they tell what "doubled up" means.
 */
export function choosePodsToDelete(
  pods: readonly LivePod[],
  related: readonly LivePod[],
  count: number,
  nowMs: number,
): LivePod[] {
  if (count >= pods.length) return [...pods];
  const onNode = new Map<string, number>();
  for (const pod of related) {
    const node = pod.spec.nodeName ?? "";
    if (node !== "") onNode.set(node, (onNode.get(node) ?? 0) + 1);
  }
  const ranked = pods.map((pod) => rank(pod, onNode, nowMs));
  ranked.sort((a, b) => compare(a.keys, b.keys));
  return ranked.slice(0, count).map(({ pod }) => pod);
}

/** Smaller keys go first; the last one only makes the order total. */
function rank(
  pod: LivePod,
  onNode: ReadonlyMap<string, number>,
  nowMs: number,
): { readonly pod: LivePod; readonly keys: readonly (number | string)[] } {
  const node = pod.spec.nodeName ?? "";
  const ready = isPodReady(pod);
  const readySince = ready ? parseTime(podCondition(pod, "Ready")?.lastTransitionTime) : 0;
  const restarts = (pod.status?.containerStatuses ?? []).map((status) => status.restartCount ?? 0);
  return {
    pod,
    keys: [
      node === "" ? 0 : 1,
      phaseRank[pod.status?.phase ?? "Pending"] ?? 2,
      ready ? 1 : 0,
      Number.parseInt(pod.metadata.annotations?.[deletionCost] ?? "0", 10) || 0,
      -(onNode.get(node) ?? 0),
      ready ? ageMagnitude(readySince, nowMs) : 0,
      -Math.max(0, ...restarts),
      ageMagnitude(parseTime(pod.metadata.creationTimestamp), nowMs),
      pod.metadata.uid ?? "",
    ],
  };
}

/** Ages count by order of magnitude, so that pods of about the same age go in random order. */
function ageMagnitude(sinceMs: number, nowMs: number): number {
  if (sinceMs === 0) return -1;
  const ageMs = nowMs - sinceMs;
  return ageMs <= 0 ? 0 : Math.floor(Math.log2(ageMs * 1e6));
}

function compare(a: readonly (number | string)[], b: readonly (number | string)[]): number {
  for (let i = 0; i < a.length; i++) {
    const x = a[i] ?? 0;
    const y = b[i] ?? 0;
    if (x !== y) return x < y ? -1 : 1;
  }
  return 0;
}
