/** What a kubelet tells about its node: that it starts, and how conditions changed. */
import type { NodeCondition } from "../../gen/core-v1.ts";
import type { EventRecorder } from "../../live/events.ts";

/** Reasons by condition, for its status True and for False. */
const reasons: Readonly<Record<string, readonly [whenTrue: string, whenFalse: string]>> = {
  MemoryPressure: ["NodeHasInsufficientMemory", "NodeHasSufficientMemory"],
  DiskPressure: ["NodeHasDiskPressure", "NodeHasNoDiskPressure"],
  PIDPressure: ["NodeHasInsufficientPID", "NodeHasSufficientPID"],
  Ready: ["NodeReady", "NodeNotReady"],
};

/** The reasons of the events that a new status calls for. */
export function nodeStatusEvents(
  before: readonly NodeCondition[],
  now: readonly NodeCondition[],
): readonly string[] {
  return now.flatMap(({ type, status }) => {
    const [whenTrue, whenFalse] = reasons[type] ?? [];
    const old = before.find((condition) => condition.type === type);
    if (old?.status === status || whenTrue === undefined || whenFalse === undefined) return [];
    // A node that was never ready has not ceased to be.
    if (type === "Ready" && old === undefined && status !== "True") return [];
    return [status === "True" ? whenTrue : whenFalse];
  });
}

/** Records events about the node; kubelets put its name where its uid would stand. */
export function tellOfNode(
  events: EventRecorder,
  name: string,
  reason: string,
  told: { readonly message?: string; readonly type?: "Normal" | "Warning" } = {},
): void {
  const { message = `Node ${name} status is now: ${reason}`, type = "Normal" } = told;
  const about = { apiVersion: "v1", kind: "Node", metadata: { name, uid: name } };
  events.event(about, type, reason, message);
}
