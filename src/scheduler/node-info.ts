/** One node with the sums over its pods: what filters and scores read. Never changed in place. */
import type { Node } from "../gen/core-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import {
  type Amounts,
  add,
  amountsOf,
  type LivePod,
  podPresumedRequests,
  podRequests,
  subtract,
} from "./amounts.ts";

export type LiveNode = DeepReadonly<Node>;

export interface HostPort {
  readonly ip: string;
  readonly protocol: string;
  readonly port: number;
}

export interface NodeInfo {
  readonly node: LiveNode;
  readonly pods: ReadonlyMap<string, LivePod>;
  readonly requested: Amounts;
  readonly presumed: Amounts;
  readonly allocatable: Amounts;
  /** How many pods have required anti-affinity, and any affinity: most nodes can be skipped. */
  readonly antiAffinityPods: number;
  readonly affinityPods: number;
}

/** All nodes at one moment, in name order. */
export interface Snapshot {
  readonly nodes: readonly NodeInfo[];
}

export function emptyNodeInfo(node: LiveNode): NodeInfo {
  return {
    node,
    pods: new Map(),
    requested: {},
    presumed: {},
    allocatable: amountsOf(node.status?.allocatable ?? node.status?.capacity),
    antiAffinityPods: 0,
    affinityPods: 0,
  };
}

export function withNode(info: NodeInfo, node: LiveNode): NodeInfo {
  const allocatable = amountsOf(node.status?.allocatable ?? node.status?.capacity);
  return { ...info, node, allocatable };
}

export function withPod(info: NodeInfo, pod: LivePod): NodeInfo {
  const without = withoutPod(info, pod);
  return {
    ...without,
    pods: new Map(without.pods).set(pod.metadata.uid ?? "", pod),
    requested: add(without.requested, podRequests(pod)),
    presumed: add(without.presumed, podPresumedRequests(pod)),
    antiAffinityPods: without.antiAffinityPods + (hasAntiAffinity(pod) ? 1 : 0),
    affinityPods: without.affinityPods + (hasAffinity(pod) ? 1 : 0),
  };
}

export function withoutPod(info: NodeInfo, pod: LivePod): NodeInfo {
  const present = info.pods.get(pod.metadata.uid ?? "");
  if (present === undefined) return info;
  const pods = new Map(info.pods);
  pods.delete(pod.metadata.uid ?? "");
  return {
    ...info,
    pods,
    requested: subtract(info.requested, podRequests(present)),
    presumed: subtract(info.presumed, podPresumedRequests(present)),
    antiAffinityPods: info.antiAffinityPods - (hasAntiAffinity(present) ? 1 : 0),
    affinityPods: info.affinityPods - (hasAffinity(present) ? 1 : 0),
  };
}

function hasAntiAffinity(pod: LivePod): boolean {
  const terms = pod.spec.affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return (terms ?? []).length > 0;
}

function hasAffinity(pod: LivePod): boolean {
  const affinity = pod.spec.affinity;
  return affinity?.podAffinity !== undefined || affinity?.podAntiAffinity !== undefined;
}

export function hostPorts(pod: LivePod): HostPort[] {
  const sidecars = (pod.spec.initContainers ?? []).filter((c) => c.restartPolicy === "Always");
  return [...pod.spec.containers, ...sidecars].flatMap((container) =>
    (container.ports ?? [])
      .filter(({ hostPort }) => (hostPort ?? 0) > 0)
      .map(({ hostIP, protocol, hostPort }) => ({
        ip: hostIP === undefined || hostIP === "" ? "0.0.0.0" : hostIP,
        protocol: protocol ?? "TCP",
        port: hostPort ?? 0,
      })),
  );
}

/** 0.0.0.0 takes the port on every address. */
export function portsConflict(a: HostPort, b: HostPort): boolean {
  if (a.port !== b.port || a.protocol !== b.protocol) return false;
  return a.ip === b.ip || a.ip === "0.0.0.0" || b.ip === "0.0.0.0";
}

export function labelsOf(info: NodeInfo): Readonly<Record<string, string>> {
  return info.node.metadata.labels ?? {};
}

/** A copy of `snapshot` in which one node is another. */
export function replaceNode(snapshot: Snapshot, changed: NodeInfo): Snapshot {
  const name = changed.node.metadata.name;
  return {
    nodes: snapshot.nodes.map((info) => (info.node.metadata.name === name ? changed : info)),
  };
}
