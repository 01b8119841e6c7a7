/** What is to be done about one volume and one node: attach, tell, wait or detach. Pure. */
import type { Node, PersistentVolume } from "../../gen/core-v1.ts";
import type { VolumeAttachment } from "../../gen/storage-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { isDeleting } from "../objects.ts";
import { isPodTerminal, type LivePod } from "../pod-state.ts";

export type LiveAttachment = DeepReadonly<VolumeAttachment>;
export type LiveNode = DeepReadonly<Node>;

export interface NodeInput {
  /** Undefined when there is no such node any more. */
  readonly node: LiveNode | undefined;
  /** The volume in the node's lists. */
  readonly uniqueName: string;
  readonly attachment: LiveAttachment | undefined;
  /** The pods of the node that use the volume. */
  readonly pods: readonly LivePod[];
  /** Nodes that have it, or are about to lose it, where only one may. */
  readonly elsewhere: readonly string[];
  /** How long nobody on the node has wanted it. */
  readonly unwantedMs: number;
  /** Whether a node that is gone was still using it. */
  readonly wasInUse: boolean;
}

export type NodeStep =
  | { readonly do: "nothing" }
  | { readonly do: "attach" }
  /** Another node has to let go of it first. */
  | { readonly do: "waitForOthers" }
  | { readonly do: "waitForAttacher" }
  | { readonly do: "tellFailure"; readonly message: string }
  | { readonly do: "report" }
  /** The node uses it still; after a while that no longer counts for a node that is not ready. */
  | { readonly do: "waitForUnmount"; readonly againInMs: number | undefined }
  | { readonly do: "detach"; readonly isForced: boolean };

const limits = { forceAfterMs: 360_000 } as const;
const outOfService = "node.kubernetes.io/out-of-service";
const managed = "volumes.kubernetes.io/controller-managed-attach-detach";

export function planNode(input: NodeInput): NodeStep {
  const { node, attachment, pods, elsewhere } = input;
  const isWanted = pods.length > 0 && node?.metadata.annotations?.[managed] !== undefined;
  if (!isWanted) return planUnwanted(input);
  if (attachment === undefined) {
    return { do: elsewhere.length > 0 ? "waitForOthers" : "attach" };
  }
  if (isDeleting(attachment)) {
    return { do: "tellFailure", message: "volume attachment is being deleted" };
  }
  if (attachment.status?.attached === true) return { do: "report" };
  const message = attachment.status?.attachError?.message;
  return message === undefined ? { do: "waitForAttacher" } : { do: "tellFailure", message };
}

function planUnwanted({ node, uniqueName, attachment, unwantedMs, wasInUse }: NodeInput): NodeStep {
  const isReported = node !== undefined && reports(node, uniqueName);
  if (attachment === undefined && !isReported) return { do: "nothing" };
  if (attachment !== undefined && isDeleting(attachment) && !isReported) return { do: "nothing" };
  const isInUse = node === undefined ? wasInUse : uses(node, uniqueName);
  const isAway = node?.spec?.taints?.some(({ key }) => key === outOfService) === true;
  const isLong = unwantedMs > limits.forceAfterMs;
  if (isInUse && !isAway && !(isLong && !isReady(node))) {
    const againInMs = isLong || isReady(node) ? undefined : limits.forceAfterMs - unwantedMs + 1;
    return { do: "waitForUnmount", againInMs };
  }
  return { do: "detach", isForced: isLong || isAway };
}

export function reports(node: LiveNode, uniqueName: string): boolean {
  return node.status?.volumesAttached?.some(({ name }) => name === uniqueName) === true;
}

export function uses(node: LiveNode, uniqueName: string): boolean {
  return node.status?.volumesInUse?.includes(uniqueName) === true;
}

function isReady(node: LiveNode | undefined): boolean {
  const ready = node?.status?.conditions?.find(({ type }) => type === "Ready");
  return ready?.status === "True";
}

/** Whether several nodes may have the volume at once; without a word on it the driver decides. */
export function allowsMany({ spec }: DeepReadonly<PersistentVolume>): boolean {
  const modes = spec.accessModes ?? [];
  return modes.length === 0 || modes.some((mode) => /^(ReadWriteMany|ReadOnlyMany)$/.test(mode));
}

/** Whether the pod's volumes are to be attached: nothing of it may run any more otherwise. */
export function needsVolumes(pod: LivePod): boolean {
  if (isPodTerminal(pod)) return false;
  const { containerStatuses, initContainerStatuses, ephemeralContainerStatuses } = pod.status ?? {};
  const all = [containerStatuses, initContainerStatuses, ephemeralContainerStatuses].flat();
  const runs = all.some(
    (one) => one !== undefined && !one?.state?.terminated && !one?.state?.waiting,
  );
  return !isDeleting(pod) || runs;
}

/** Why a pod waits for the nodes that have the volume, in what its namespace may know. */
export function waitingText(volume: string, pod: LivePod, users: readonly LivePod[]): string {
  const what = `Waiting for detach for volume "${volume}"`;
  if (users.length === 0) {
    return (
      `${what} Volume is already exclusively attached to one node, waiting on detach before it ` +
      "can be attached to another node"
    );
  }
  const isNear = ({ metadata }: LivePod): boolean => metadata.namespace === pod.metadata.namespace;
  const near = users.filter(isNear).map(({ metadata }) => metadata.name);
  const far = users.length - near.length;
  if (near.length === 0) {
    return `${what} Volume is already used by ${far} pod(s) in different namespaces`;
  }
  const others = far === 0 ? "" : ` and ${far} pod(s) in different namespaces`;
  return `${what} Volume is already used by pod(s) ${near.join(", ")}${others}`;
}
