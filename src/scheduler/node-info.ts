/** One node with the sums over its pods: what filters and scores read. Never changed in place. */
import type { Node, Taint } from "../gen/core-v1.ts";
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
type LiveTaint = DeepReadonly<Taint>;

export interface HostPort {
  readonly ip: string;
  readonly protocol: string;
  readonly port: number;
}

/** What follows from the node alone, worked out once for each version of it. */
interface NodeFacts {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly allocatable: Amounts;
  readonly hardTaints: readonly LiveTaint[];
  readonly softTaints: readonly LiveTaint[];
  /** Bytes of each image by each of its names. */
  readonly images: ReadonlyMap<string, number>;
}

export interface NodeInfo extends NodeFacts {
  readonly node: LiveNode;
  readonly pods: ReadonlyMap<string, LivePod>;
  readonly requested: Amounts;
  readonly presumed: Amounts;
  /** How many pods have required anti-affinity, and any affinity: most nodes can be skipped. */
  readonly antiAffinityPods: number;
  readonly affinityPods: number;
  /** How many pods take ports of the host. */
  readonly portPods: number;
}

/** All nodes at one moment, in name order. */
export interface Snapshot {
  readonly nodes: readonly NodeInfo[];
  /** How many nodes hold each image. */
  readonly imageHolders: ReadonlyMap<string, number>;
  /** Those of all nodes together: mostly there are none to look for. */
  readonly antiAffinityPods: number;
  readonly affinityPods: number;
}

function factsOf(node: LiveNode): NodeFacts {
  const taints = node.spec?.taints ?? [];
  const images = new Map<string, number>();
  for (const { names, sizeBytes = 0 } of node.status?.images ?? []) {
    for (const name of names ?? []) images.set(name, Number(sizeBytes));
  }
  return {
    name: node.metadata.name ?? "",
    labels: node.metadata.labels ?? {},
    allocatable: amountsOf(node.status?.allocatable ?? node.status?.capacity),
    hardTaints: taints.filter(({ effect }) => effect !== "PreferNoSchedule"),
    softTaints: taints.filter(({ effect }) => effect === "PreferNoSchedule"),
    images,
  };
}

export function emptyNodeInfo(node: LiveNode): NodeInfo {
  return {
    ...factsOf(node),
    node,
    pods: new Map(),
    requested: {},
    presumed: {},
    antiAffinityPods: 0,
    affinityPods: 0,
    portPods: 0,
  };
}

export function withNode(info: NodeInfo, node: LiveNode): NodeInfo {
  return { ...info, ...factsOf(node), node };
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
    portPods: without.portPods + (hostPorts(pod).length > 0 ? 1 : 0),
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
    portPods: info.portPods - (hostPorts(present).length > 0 ? 1 : 0),
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

const noPorts: readonly HostPort[] = [];

export function hostPorts(pod: LivePod): readonly HostPort[] {
  const { containers, initContainers = [] } = pod.spec;
  const sidecars = initContainers.filter((c) => c.restartPolicy === "Always");
  const ports: HostPort[] = [];
  for (const container of sidecars.length === 0 ? containers : [...containers, ...sidecars]) {
    for (const { hostIP, protocol, hostPort = 0 } of container.ports ?? []) {
      if (hostPort <= 0) continue;
      const ip = hostIP === undefined || hostIP === "" ? "0.0.0.0" : hostIP;
      ports.push({ ip, protocol: protocol ?? "TCP", port: hostPort });
    }
  }
  return ports.length === 0 ? noPorts : ports;
}

/** 0.0.0.0 takes the port on every address. */
export function portsConflict(a: HostPort, b: HostPort): boolean {
  if (a.port !== b.port || a.protocol !== b.protocol) return false;
  return a.ip === b.ip || a.ip === "0.0.0.0" || b.ip === "0.0.0.0";
}

export function snapshotOf(nodes: readonly NodeInfo[]): Snapshot {
  const imageHolders = new Map<string, number>();
  for (const { images } of nodes) {
    for (const name of images.keys()) {
      imageHolders.set(name, (imageHolders.get(name) ?? 0) + 1);
    }
  }
  const sum = (count: (info: NodeInfo) => number): number =>
    nodes.reduce((total, info) => total + count(info), 0);
  const antiAffinityPods = sum((info) => info.antiAffinityPods);
  const affinityPods = sum((info) => info.affinityPods);
  return { nodes, imageHolders, antiAffinityPods, affinityPods };
}

/** A copy of `snapshot` in which one node is another. */
export function replaceNode(snapshot: Snapshot, changed: NodeInfo): Snapshot {
  let { antiAffinityPods, affinityPods } = snapshot;
  const nodes = snapshot.nodes.map((info) => {
    if (info.name !== changed.name) return info;
    antiAffinityPods += changed.antiAffinityPods - info.antiAffinityPods;
    affinityPods += changed.affinityPods - info.affinityPods;
    return changed;
  });
  return { ...snapshot, nodes, antiAffinityPods, affinityPods };
}

/** True when a node can take more than before; heartbeats do not matter. */
export function mayHelp(before: LiveNode, now: LiveNode): boolean {
  const relevant = ({ metadata, spec, status }: LiveNode) =>
    JSON.stringify([
      metadata.labels,
      spec?.taints,
      spec?.unschedulable,
      status?.allocatable,
      status?.images?.length,
    ]);
  return relevant(before) !== relevant(now);
}
