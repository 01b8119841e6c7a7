/** How one scheduler of several decides: its name, its plugins and their weights and arguments. */
import type { NodeAffinity, TopologySpreadConstraint } from "../gen/core-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";

export const filterNames = [
  "NodeUnschedulable",
  "NodeName",
  "TaintToleration",
  "NodeAffinity",
  "NodePorts",
  "NodeResourcesFit",
  "VolumeRestrictions",
  "NodeVolumeLimits",
  "VolumeBinding",
  "VolumeZone",
  "PodTopologySpread",
  "InterPodAffinity",
  "NodeDeclaredFeatures",
  "DynamicResources",
] as const;
export type FilterName = (typeof filterNames)[number];

export const scoreNames = [
  "TaintToleration",
  "NodeAffinity",
  "NodeResourcesFit",
  "PodTopologySpread",
  "InterPodAffinity",
  "NodeResourcesBalancedAllocation",
  "ImageLocality",
  "DynamicResources",
] as const;
export type ScoreName = (typeof scoreNames)[number];

export interface ResourceWeight {
  readonly name: string;
  readonly weight: number;
}

export type FitStrategy =
  | {
      readonly type: "LeastAllocated" | "MostAllocated";
      readonly resources: readonly ResourceWeight[];
    }
  | {
      readonly type: "RequestedToCapacityRatio";
      readonly resources: readonly ResourceWeight[];
      /** Points of utilization in percent and score 0..10, in order. */
      readonly shape: readonly { readonly utilization: number; readonly score: number }[];
    };

export interface Profile {
  readonly schedulerName: string;
  /** 0 means by the size of the cluster. */
  readonly percentageOfNodesToScore: number;
  readonly filters: ReadonlySet<FilterName>;
  readonly weights: Readonly<Partial<Record<ScoreName, number>>>;
  readonly preempts: boolean;
  readonly fit: FitStrategy;
  readonly ignoredResources: ReadonlySet<string>;
  readonly ignoredResourceGroups: ReadonlySet<string>;
  readonly balancedResources: readonly ResourceWeight[];
  /** Constraints of pods that have none of their own; undefined for those of the system. */
  readonly defaultConstraints: readonly DeepReadonly<TopologySpreadConstraint>[] | undefined;
  readonly hardPodAffinityWeight: number;
  readonly ignorePreferredTermsOfExistingPods: boolean;
  readonly addedAffinity: DeepReadonly<NodeAffinity> | undefined;
  readonly minCandidateNodesPercentage: number;
  readonly minCandidateNodesAbsolute: number;
}

const cpuAndMemory: readonly ResourceWeight[] = [
  { name: "cpu", weight: 1 },
  { name: "memory", weight: 1 },
];

export const defaultProfile: Profile = {
  schedulerName: "default-scheduler",
  percentageOfNodesToScore: 0,
  filters: new Set(filterNames),
  weights: {
    TaintToleration: 3,
    NodeAffinity: 2,
    NodeResourcesFit: 1,
    PodTopologySpread: 2,
    InterPodAffinity: 2,
    NodeResourcesBalancedAllocation: 1,
    ImageLocality: 1,
    DynamicResources: 2,
  },
  preempts: true,
  fit: { type: "LeastAllocated", resources: cpuAndMemory },
  ignoredResources: new Set(),
  ignoredResourceGroups: new Set(),
  balancedResources: cpuAndMemory,
  defaultConstraints: undefined,
  hardPodAffinityWeight: 1,
  ignorePreferredTermsOfExistingPods: false,
  addedAffinity: undefined,
  minCandidateNodesPercentage: 10,
  minCandidateNodesAbsolute: 100,
};
