/** The scores: which of the nodes that can take a pod suits it best. */
import { matchesTerm, unwelcomingTaints } from "../schema/placement.ts";
import { type LivePod, podPresumedRequests, podRequests } from "./amounts.ts";
import { devicesOn, planDevices, preferenceOf } from "./devices/plan.ts";
import type { NodeInfo, Snapshot } from "./node-info.ts";
import { podAffinityScore, podAffinityWeights } from "./pod-affinity.ts";
import type { FitStrategy, Profile, ResourceWeight, ScoreName } from "./profile.ts";
import { spreadCosts } from "./topology-spread.ts";
import type { ClusterView } from "./view.ts";

/** Each score is brought to 0..100 before its weight is applied. */
const scoreMax = 100;

export interface ScoreInput {
  readonly pod: LivePod;
  readonly nodes: readonly NodeInfo[];
  readonly snapshot: Snapshot;
  readonly view: ClusterView;
  readonly profile: Profile;
}

/** One score for each of `nodes`; undefined when all would be the same. */
type Scorer = (input: ScoreInput) => readonly number[] | undefined;

const scorers: Readonly<Record<ScoreName, Scorer>> = {
  TaintToleration: taintToleration,
  NodeAffinity: nodeAffinity,
  NodeResourcesFit: resourcesFit,
  PodTopologySpread: topologySpread,
  InterPodAffinity: interPodAffinity,
  NodeResourcesBalancedAllocation: balancedAllocation,
  ImageLocality: imageLocality,
  DynamicResources: dynamicResources,
};

/** The weighted sum of all scores for each node, in the order of `nodes`. */
export function scoreNodes(input: ScoreInput): number[] {
  const totals = new Array<number>(input.nodes.length).fill(0);
  for (const [name, score] of Object.entries(scorers) as [ScoreName, Scorer][]) {
    const weight = input.profile.weights[name] ?? 0;
    const scores = weight === 0 ? undefined : score(input);
    if (scores === undefined) continue;
    for (let index = 0; index < totals.length; index++) {
      totals[index] = (totals[index] ?? 0) + weight * (scores[index] ?? 0);
    }
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

function taintToleration({ pod, nodes }: ScoreInput): number[] | undefined {
  if (nodes.every(({ softTaints }) => softTaints.length === 0)) return undefined;
  return normalized(
    nodes.map(({ node }) => unwelcomingTaints(pod, node)),
    true,
  );
}

function nodeAffinity({ pod, nodes, profile }: ScoreInput): number[] | undefined {
  const preferred = [
    ...(pod.spec.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []),
    ...(profile.addedAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []),
  ];
  if (preferred.length === 0) return undefined;
  const sums = nodes.map(({ node }) => {
    let sum = 0;
    for (const { preference, weight } of preferred) {
      if (matchesTerm(node, preference)) sum += weight;
    }
    return sum;
  });
  return normalized(sums, false);
}

function resourcesFit({ pod, nodes, profile }: ScoreInput): number[] {
  const requests = podPresumedRequests(pod);
  const { fit } = profile;
  return nodes.map(({ presumed, requested, allocatable }) => {
    let sum = 0;
    let weights = 0;
    for (const { name, weight } of fit.resources) {
      const most = allocatable[name] ?? 0;
      if (most === 0) continue;
      // Other resources are only counted where they are asked for.
      const isBasic = name === "cpu" || name === "memory";
      const used = ((isBasic ? presumed : requested)[name] ?? 0) + (requests[name] ?? 0);
      sum += fitScore(fit, used, most) * weight;
      weights += weight;
    }
    return weights === 0 ? 0 : Math.floor(sum / weights);
  });
}

function fitScore(fit: FitStrategy, used: number, most: number): number {
  switch (fit.type) {
    case "LeastAllocated":
      return used > most ? 0 : Math.floor(((most - used) * scoreMax) / most);
    case "MostAllocated":
      return Math.floor((Math.min(used, most) * scoreMax) / most);
    case "RequestedToCapacityRatio":
      return onShape(fit.shape, used > most ? 100 : Math.floor((used * 100) / most));
  }
}

/** Straight lines between the points; their scores of 0..10 become 0..100. */
function onShape(
  shape: readonly { readonly utilization: number; readonly score: number }[],
  utilization: number,
): number {
  const scale = scoreMax / 10;
  for (const [index, point] of shape.entries()) {
    if (utilization > point.utilization) continue;
    const before = shape[index - 1];
    if (before === undefined) return point.score * scale;
    const slope = (point.score - before.score) / (point.utilization - before.utilization);
    return Math.trunc((before.score + slope * (utilization - before.utilization)) * scale);
  }
  return (shape.at(-1)?.score ?? 0) * scale;
}

/** How far the pod brings the use of the node's resources together, or apart. */
function balancedAllocation({ pod, nodes, profile }: ScoreInput): number[] | undefined {
  const requests = podRequests(pod);
  const resources = profile.balancedResources;
  if (resources.every(({ name }) => (requests[name] ?? 0) === 0)) return undefined;
  const nothing = {};
  return nodes.map((info) => {
    const after = balance(info, requests, resources);
    const before = balance(info, nothing, resources);
    return Math.floor(scoreMax / 2 + (scoreMax / 2 + after - before) / 2);
  });
}

function balance(
  { requested, allocatable }: NodeInfo,
  more: Readonly<Record<string, number>>,
  resources: readonly ResourceWeight[],
): number {
  const fractions: number[] = [];
  for (const { name } of resources) {
    const most = allocatable[name] ?? 0;
    if (most > 0) fractions.push(Math.min(1, ((requested[name] ?? 0) + (more[name] ?? 0)) / most));
  }
  return Math.floor((1 - deviation(fractions)) * scoreMax);
}

function deviation(values: readonly number[]): number {
  const [first = 0, second = 0] = values;
  if (values.length < 2) return 0;
  if (values.length === 2) return Math.abs(first - second) / 2;
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return Math.sqrt(squares / values.length);
}

function topologySpread(input: ScoreInput): number[] | undefined {
  const costs = spreadCosts(input, input.nodes);
  if (costs === undefined) return undefined;
  const known = costs.filter((cost) => cost !== undefined);
  if (known.length === 0) return undefined;
  const most = Math.max(...known);
  const least = Math.min(...known);
  return costs.map((cost) => {
    if (cost === undefined) return 0;
    return most === 0 ? scoreMax : Math.floor((scoreMax * (most + least - cost)) / most);
  });
}

function interPodAffinity(input: ScoreInput): number[] | undefined {
  const weights = podAffinityWeights(input.pod, input.snapshot, {
    namespaceLabels: input.view.namespaceLabels,
    hardWeight: input.profile.hardPodAffinityWeight,
    ignoresExisting: input.profile.ignorePreferredTermsOfExistingPods,
  });
  if (weights === undefined) return undefined;
  const sums = input.nodes.map((info) => podAffinityScore(weights, info));
  const least = Math.min(...sums);
  const span = Math.max(...sums) - least;
  return sums.map((sum) => (span === 0 ? 0 : Math.floor((scoreMax * (sum - least)) / span)));
}

const imageBytesMin = 23 * 1024 * 1024;
const imageBytesMaxPerContainer = 1000 * 1024 * 1024;

/** Nodes that hold the pod's images, weighted down for images that few nodes hold. */
function imageLocality({ pod, nodes, snapshot }: ScoreInput): number[] | undefined {
  const containers = [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
  const names = [
    ...containers.map(({ image = "" }) => image),
    ...(pod.spec.volumes ?? []).flatMap(({ image }) => image?.reference ?? []),
  ]
    .map(normalizedImage)
    .filter((name) => snapshot.imageHolders.has(name));
  if (names.length === 0) return undefined;
  const most = imageBytesMaxPerContainer * containers.length;
  return nodes.map(({ images }) => {
    let bytes = 0;
    for (const name of names) {
      const spread = (snapshot.imageHolders.get(name) ?? 0) / snapshot.nodes.length;
      bytes += Math.floor((images.get(name) ?? 0) * spread);
    }
    const within = Math.min(Math.max(bytes, imageBytesMin), most);
    return Math.floor((scoreMax * (within - imageBytesMin)) / (most - imageBytesMin));
  });
}

function normalizedImage(image: string): string {
  return image.lastIndexOf(":") <= image.lastIndexOf("/") ? `${image}:latest` : image;
}

/** Nodes that meet the earlier of the alternatives that a pod's claims name. */
function dynamicResources({ pod, nodes, view }: ScoreInput): number[] | undefined {
  const plan = planDevices(pod, view.devices);
  if (plan === undefined || typeof plan === "string") return undefined;
  const claims = [...plan.allocated, ...plan.open];
  const requests = claims.flatMap(({ spec }) => spec?.devices?.requests ?? []);
  if (requests.every(({ exactly }) => exactly !== undefined)) return undefined;
  return normalized(
    nodes.map((info) => {
      const found = devicesOn(plan, info);
      return typeof found === "string" ? 0 : preferenceOf(plan, found);
    }),
    false,
  );
}
