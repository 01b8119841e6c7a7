/** `activeDeadlineSeconds`: a pod that has been on the node for longer fails. */
import type { KubeletContext } from "./kubelet-context.ts";
import { hasEnded } from "./plan-pod.ts";
import type { PodRecord } from "./pod-record.ts";

/** Fails a pod whose time is over; else tells how many milliseconds it has left, if any limit. */
export function enforceDeadline(context: KubeletContext, record: PodRecord): number | undefined {
  const { pod, failed, startedMs } = record;
  const seconds = pod.spec.activeDeadlineSeconds;
  if (seconds === undefined || failed !== undefined || hasEnded(pod)) return undefined;
  const leftMs = startedMs + seconds * 1000 - context.runtime.clock.now().getTime();
  if (leftMs > 0) return leftMs;
  const message = "Pod was active on the node longer than the specified deadline";
  record.failed = { reason: "DeadlineExceeded", message };
  context.events.event(pod, "Normal", "DeadlineExceeded", message);
  return undefined;
}
