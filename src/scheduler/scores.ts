/** The scores: which of the nodes that can take a pod should. */

import { matchesTerm, unwelcomingTaints } from "../schema/placement.ts";
import { add, type LivePod, podPresumedRequests, podRequests } from "./amounts.ts";
import type { ClusterView } from "./filters.ts";
import type { NodeInfo, Snapshot } from "./node-info.ts";
import { podAffinityScore, podAffinityWeights } from "./pod-affinity.ts";
import { spreadCost, spreadState } from "./topology-spread.ts";

/** Each score is brought to 0..100 before its weight is applied. */
const scoreMax = 100;

interface ScoreInput {
  readonly pod: LivePod;
  readonly nodes: readonly NodeInfo[];
  readonly snapshot: Snapshot;
  readonly view: ClusterView;
}
interface Scorer {
  readonly name: string;
  readonly weight: number;
  /** One score for each of `nodes`; undefined when it has nothing to say. */
  readonly score: (input: ScoreInput) => readonly number[] | undefined;
}

const scorers: readonly Scorer[] = [
  { name: "TaintToleration", weight: 3, score: taintToleration },
  { name: "NodeAffinity", weight: 2, score: nodeAffinity },
  { name: "NodeResourcesFit", weight: 1, score: leastAllocated },
  { name: "PodTopologySpread", weight: 2, score: topologySpread },
  { name: "InterPodAffinity", weight: 2, score: interPodAffinity },
  { name: "NodeResourcesBalancedAllocation", weight: 1, score: balancedAllocation },
  { name: "ImageLocality", weight: 1, score: imageLocality },
];

/** The weighted sum of all scores for each node, in the order of `nodes`. */
export function scoreNodes(input: ScoreInput): number[] {
  const totals = input.nodes.map(() => 0);
  for (const { weight, score } of scorers) {
    score(input)?.forEach((value, index) => {
      totals[index] = (totals[index] ?? 0) + weight * value;
    });
  }
  return totals;
}

/** Scales to 0..100 by the largest; `reverse` makes the largest the worst. */
function normalized(values: readonly number[], reverse: boolean): number[] {
  const most = Math.max(...values);
  if (most === 0) return values.map(() => (reverse ? scoreMax : 0));
  return values.map((value) => {
    const scaled = Math.floor((value * scoreMax) / most);
    return reverse ? scoreMax - scaled : scaled;
  });
}

function taintToleration({ pod, nodes }: ScoreInput): number[] {
  return normalized(
    nodes.map(({ node }) => unwelcomingTaints(pod, node)),
    true,
  );
}

function nodeAffinity({ pod, nodes }: ScoreInput): number[] | undefined {
  const preferred =
    pod.spec.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
  if (preferred.length === 0) return undefined;
  const sums = nodes.map(({ node }) =>
    preferred
      .filter(({ preference }) => matchesTerm(node, preference))
      .reduce((total, { weight }) => total + weight, 0),
  );
  return normalized(sums, false);
}

function leastAllocated({ pod, nodes }: ScoreInput): number[] {
  const requests = podPresumedRequests(pod);
  return nodes.map((info) => {
    const total = add(info.presumed, requests);
    const parts = ["cpu", "memory"].map((resource) => {
      const allocatable = info.allocatable[resource] ?? 0;
      const used = total[resource] ?? 0;
      if (allocatable === 0 || used > allocatable) return 0;
      return Math.floor(((allocatable - used) * scoreMax) / allocatable);
    });
    return Math.floor(parts.reduce((sum, part) => sum + part, 0) / parts.length);
  });
}

function balancedAllocation({ pod, nodes }: ScoreInput): number[] | undefined {
  const requests = podRequests(pod);
  if ((requests.cpu ?? 0) === 0 && (requests.memory ?? 0) === 0) return undefined;
  return nodes.map((info) => {
    const total = add(info.requested, requests);
    const fractions = ["cpu", "memory"]
      .filter((resource) => (info.allocatable[resource] ?? 0) > 0)
      .map((resource) => Math.min(1, (total[resource] ?? 0) / (info.allocatable[resource] ?? 1)));
    const [first = 0, second = first] = fractions;
    return Math.floor((1 - Math.abs(first - second) / 2) * scoreMax);
  });
}

function topologySpread({ pod, nodes, snapshot }: ScoreInput): number[] | undefined {
  const state = spreadState(pod, snapshot, "ScheduleAnyway");
  if (state === undefined) return undefined;
  const costs = nodes.map((info) => spreadCost(state, info));
  const known = costs.filter((cost) => cost !== undefined);
  if (known.length === 0) return costs.map(() => 0);
  const most = Math.max(...known);
  const least = Math.min(...known);
  return costs.map((cost) => {
    if (cost === undefined) return 0;
    return most === 0 ? scoreMax : Math.floor((scoreMax * (most + least - cost)) / most);
  });
}

function interPodAffinity({ pod, nodes, snapshot, view }: ScoreInput): number[] | undefined {
  const weights = podAffinityWeights(pod, snapshot, view.namespaceLabels);
  if (weights === undefined) return undefined;
  const sums = nodes.map((info) => podAffinityScore(weights, info));
  const least = Math.min(...sums);
  const span = Math.max(...sums) - least;
  return sums.map((sum) => (span === 0 ? 0 : Math.floor((scoreMax * (sum - least)) / span)));
}

const imageBytesMin = 23 * 1024 * 1024;
const imageBytesMaxPerContainer = 1000 * 1024 * 1024;

/** Nodes that hold the pod's images, weighted down for images that few nodes hold. */
function imageLocality({ pod, nodes, snapshot }: ScoreInput): number[] | undefined {
  if (snapshot.nodes.length < 2) return undefined;
  const containers = [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
  const names = containers.map(({ image = "" }) => normalizedImage(image));
  const holders = new Map<string, number>();
  for (const info of snapshot.nodes) {
    for (const image of info.node.status?.images ?? []) {
      for (const name of image.names ?? []) holders.set(name, (holders.get(name) ?? 0) + 1);
    }
  }
  const most = imageBytesMaxPerContainer * containers.length;
  return nodes.map(({ node }) => {
    let bytes = 0;
    for (const name of names) {
      const image = node.status?.images?.find((held) => held.names?.includes(name));
      const spread = (holders.get(name) ?? 0) / snapshot.nodes.length;
      bytes += Math.floor((image?.sizeBytes ?? 0) * spread);
    }
    const within = Math.min(Math.max(bytes, imageBytesMin), most);
    return Math.floor((scoreMax * (within - imageBytesMin)) / (most - imageBytesMin));
  });
}

function normalizedImage(image: string): string {
  return image.lastIndexOf(":") <= image.lastIndexOf("/") ? `${image}:latest` : image;
}
