/** What a pod's status means to the controllers that own pods. */
import type { Pod, PodCondition } from "../gen/core-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { isDeleting, parseTime } from "./objects.ts";

export type LivePod = DeepReadonly<Pod>;

export function podCondition(pod: LivePod, type: string): DeepReadonly<PodCondition> | undefined {
  return pod.status?.conditions?.find((condition) => condition.type === type);
}

export function isPodReady(pod: LivePod): boolean {
  return podCondition(pod, "Ready")?.status === "True";
}

export function isPodTerminal(pod: LivePod): boolean {
  return pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
}

/** Neither over nor on its way out. */
export function isPodActive(pod: LivePod): boolean {
  return !isPodTerminal(pod) && !isDeleting(pod);
}

/** On its way out, but its containers may still run. */
export function isPodTerminating(pod: LivePod): boolean {
  return !isPodTerminal(pod) && isDeleting(pod);
}

/** Milliseconds until a ready pod counts as available; undefined when it is not ready. */
export function untilAvailableMs(
  pod: LivePod,
  minReadySeconds: number,
  nowMs: number,
): number | undefined {
  const ready = podCondition(pod, "Ready");
  if (ready?.status !== "True") return undefined;
  if (minReadySeconds === 0) return 0;
  const since = parseTime(ready.lastTransitionTime);
  if (since === 0) return undefined;
  return Math.max(0, since + minReadySeconds * 1000 - nowMs);
}

export function isPodAvailable(pod: LivePod, minReadySeconds: number, nowMs: number): boolean {
  return untilAvailableMs(pod, minReadySeconds, nowMs) === 0;
}
