/** The filters: which nodes can take a pod, and in upstream's words why others cannot. */

import { matchesRequiredAffinity, tolerates, untoleratedTaints } from "../schema/placement.ts";
import { add, type LivePod, podRequests } from "./amounts.ts";
import {
  type HostPort,
  hostPorts,
  type NodeInfo,
  portsConflict,
  type Snapshot,
} from "./node-info.ts";
import {
  type NamespaceLabels,
  type PodAffinityState,
  podAffinityProblem,
  podAffinityState,
} from "./pod-affinity.ts";
import { type SpreadState, spreadProblem, spreadState } from "./topology-spread.ts";
import type { VolumeView } from "./volumes.ts";
import { volumeProblem } from "./volumes.ts";

export type FilterName =
  | "NodeUnschedulable"
  | "NodeName"
  | "TaintToleration"
  | "NodeAffinity"
  | "NodePorts"
  | "NodeResourcesFit"
  | "VolumeBinding"
  | "PodTopologySpread"
  | "InterPodAffinity";

/** Why one node is out. */
export interface Rejection {
  readonly filter: FilterName;
  readonly reasons: readonly string[];
  /** True when removing pods from the node would not help. */
  readonly isFinal: boolean;
}

export interface ClusterView {
  readonly namespaceLabels: NamespaceLabels;
  readonly volumes: VolumeView;
}

/** What is computed once per pod before nodes are looked at. */
export interface FilterState {
  readonly pod: LivePod;
  readonly requests: Readonly<Record<string, number>>;
  readonly ports: readonly HostPort[];
  readonly spread: SpreadState | undefined;
  readonly affinity: PodAffinityState | undefined;
  readonly view: ClusterView;
}

export function filterState(pod: LivePod, snapshot: Snapshot, view: ClusterView): FilterState {
  return {
    pod,
    requests: podRequests(pod),
    ports: hostPorts(pod),
    spread: spreadState(pod, snapshot, "DoNotSchedule"),
    affinity: podAffinityState(pod, snapshot, view.namespaceLabels),
    view,
  };
}

type Found = Omit<Rejection, "filter"> | undefined;
type Filter = (state: FilterState, info: NodeInfo) => Found;

const final = (...reasons: string[]): Found => ({ reasons, isFinal: true });
const curable = (...reasons: string[]): Found => ({ reasons, isFinal: false });

const unschedulableTaint = { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" };

/** In upstream's order; the first that rejects a node speaks for it. */
const filters: readonly (readonly [FilterName, Filter])[] = [
  [
    "NodeUnschedulable",
    ({ pod }, { node }) => {
      if (node.spec?.unschedulable !== true) return undefined;
      const isTolerated = (pod.spec.tolerations ?? []).some((t) =>
        tolerates(t, unschedulableTaint),
      );
      return isTolerated ? undefined : final("node(s) were unschedulable");
    },
  ],
  [
    "NodeName",
    ({ pod }, { node }) => {
      const wanted = pod.spec.nodeName ?? "";
      if (wanted === "" || wanted === node.metadata.name) return undefined;
      return final("node(s) didn't match the requested node name");
    },
  ],
  [
    "TaintToleration",
    ({ pod }, { node }) =>
      untoleratedTaints(pod, node).length === 0
        ? undefined
        : final("node(s) had untolerated taint(s)"),
  ],
  [
    "NodeAffinity",
    ({ pod }, { node }) =>
      matchesRequiredAffinity(pod, node)
        ? undefined
        : final("node(s) didn't match Pod's node affinity/selector"),
  ],
  ["NodePorts", nodePorts],
  ["NodeResourcesFit", nodeResourcesFit],
  [
    "VolumeBinding",
    ({ pod, view }, { node }) => {
      const problem = volumeProblem(pod, node, view.volumes);
      return problem === undefined ? undefined : final(problem);
    },
  ],
  [
    "PodTopologySpread",
    ({ spread }, info) => {
      const problem = spread === undefined ? undefined : spreadProblem(spread, info);
      return problem && { reasons: [problem.reason], isFinal: problem.isFinal };
    },
  ],
  [
    "InterPodAffinity",
    ({ affinity }, info) => {
      const problem = affinity === undefined ? undefined : podAffinityProblem(affinity, info);
      if (problem === undefined) return undefined;
      // Removing pods makes room where pods repel, never where a friend is missing.
      return problem === "node(s) didn't match pod affinity rules"
        ? final(problem)
        : curable(problem);
    },
  ],
];

function nodePorts({ ports }: FilterState, info: NodeInfo): Found {
  if (ports.length === 0) return undefined;
  for (const other of info.pods.values()) {
    for (const taken of hostPorts(other)) {
      if (ports.some((port) => portsConflict(port, taken))) {
        return curable("node(s) didn't have free ports for the requested pod ports");
      }
    }
  }
  return undefined;
}

function nodeResourcesFit({ requests }: FilterState, info: NodeInfo): Found {
  const reasons: string[] = [];
  let isFinal = false;
  const podsMax = info.allocatable.pods ?? 0;
  if (info.pods.size + 1 > podsMax) reasons.push("Too many pods");
  const total = add(info.requested, requests);
  for (const [resource, amount] of Object.entries(requests)) {
    if (amount === 0) continue;
    const allocatable = info.allocatable[resource] ?? 0;
    if ((total[resource] ?? 0) <= allocatable) continue;
    reasons.push(`Insufficient ${resource}`);
    if (amount > allocatable) isFinal = true;
  }
  return reasons.length === 0 ? undefined : { reasons, isFinal };
}

/** The first rejection of the node, or undefined when it can take the pod. */
export function filterNode(state: FilterState, info: NodeInfo): Rejection | undefined {
  for (const [filter, run] of filters) {
    const found = run(state, info);
    if (found !== undefined) return { filter, ...found };
  }
  return undefined;
}
