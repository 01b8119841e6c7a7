/** Taints of nodes against tolerations of pods. */
import type { Taint, Toleration } from "../gen/core-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import type { LivePod } from "./amounts.ts";
import type { LiveNode } from "./node-info.ts";

type LiveTaint = DeepReadonly<Taint>;

export function tolerates(toleration: DeepReadonly<Toleration>, taint: LiveTaint): boolean {
  const { key = "", value = "", effect = "", operator = "Equal" } = toleration;
  if (effect !== "" && effect !== taint.effect) return false;
  if (key !== "" && key !== taint.key) return false;
  switch (operator === "" ? "Equal" : operator) {
    case "Exists":
      return true;
    case "Equal":
      return key !== "" && value === (taint.value ?? "");
    default:
      return false;
  }
}

/** The taints that keep the pod off the node. */
export function untoleratedTaints(pod: LivePod, node: LiveNode): LiveTaint[] {
  const hard = (node.spec?.taints ?? []).filter(({ effect }) => effect !== "PreferNoSchedule");
  return hard.filter((taint) => !(pod.spec.tolerations ?? []).some((t) => tolerates(t, taint)));
}

/** How many taints would rather not have the pod. */
export function unwelcomingTaints(pod: LivePod, node: LiveNode): number {
  const soft = (node.spec?.taints ?? []).filter(({ effect }) => effect === "PreferNoSchedule");
  const relevant = (pod.spec.tolerations ?? []).filter(
    ({ effect = "" }) => effect === "" || effect === "PreferNoSchedule",
  );
  return soft.filter((taint) => !relevant.some((t) => tolerates(t, taint))).length;
}
