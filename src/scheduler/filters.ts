/** The filters: which nodes can take a pod, and in upstream's words why others cannot. */
import { featuresToRun, missingFeatures } from "../schema/declared-features.ts";
import {
  matchesRequiredAffinity,
  matchesTerms,
  tolerates,
  untoleratedTaints,
} from "../schema/placement.ts";
import { type Amounts, type LivePod, podRequests } from "./amounts.ts";
import { devicesOn, planDevices } from "./devices/plan.ts";
import { classOfResource } from "./devices/view.ts";
import {
  type HostPort,
  hostPorts,
  type NodeInfo,
  portsConflict,
  type Snapshot,
} from "./node-info.ts";
import { podAffinityProblem, podAffinityState } from "./pod-affinity.ts";
import type { FilterName, Profile } from "./profile.ts";
import type { RejectedBy } from "./queue.ts";
import { spreadProblem, spreadState } from "./topology-spread.ts";
import type { ClusterView } from "./view.ts";
import {
  claimsOf,
  isBound,
  limitProblem,
  usesExclusiveClaim,
  volumeProblem,
  zoneProblem,
} from "./volumes.ts";

/** Why one node is out. */
export interface Rejection {
  readonly filter: RejectedBy;
  readonly reasons: readonly string[];
  /** True when removing pods from the node would not help. */
  readonly isFinal: boolean;
}

export interface FilterInput {
  readonly pod: LivePod;
  readonly snapshot: Snapshot;
  readonly view: ClusterView;
  readonly profile: Profile;
}

type Found = Omit<Rejection, "filter"> | undefined;
type Check = (info: NodeInfo) => Found;
/** Looks at the pod once; undefined when the filter has nothing to say about such a pod. */
type Prepare = (input: FilterInput) => Check | undefined;

export type PreparedFilters = readonly (readonly [FilterName, Check])[];

const final = (...reasons: string[]): Found => ({ reasons, isFinal: true });
const curable = (...reasons: string[]): Found => ({ reasons, isFinal: false });

const unschedulableTaint = { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" };

/** In upstream's order; the first that rejects a node speaks for it. */
const table: Readonly<Record<FilterName, Prepare>> = {
  NodeUnschedulable({ pod }) {
    const isTolerated = (pod.spec.tolerations ?? []).some((t) => tolerates(t, unschedulableTaint));
    if (isTolerated) return undefined;
    const found = final("node(s) were unschedulable");
    return ({ node }) => (node.spec?.unschedulable === true ? found : undefined);
  },
  NodeName({ pod }) {
    const wanted = pod.spec.nodeName ?? "";
    if (wanted === "") return undefined;
    const found = final("node(s) didn't match the requested node name");
    return ({ name }) => (name === wanted ? undefined : found);
  },
  TaintToleration({ pod }) {
    const found = final("node(s) had untolerated taint(s)");
    return ({ hardTaints, node }) =>
      hardTaints.length === 0 || untoleratedTaints(pod, node).length === 0 ? undefined : found;
  },
  NodeAffinity: nodeAffinity,
  NodePorts({ pod }) {
    const ports = hostPorts(pod);
    return ports.length === 0 ? undefined : (info) => nodePorts(ports, info);
  },
  NodeResourcesFit({ pod, profile, view }) {
    const requests = limitedRequests(podRequests(pod), profile);
    const served = requests.filter(([name]) => classOfResource(name, view.devices) !== undefined);
    if (served.length === 0) return (info) => nodeResourcesFit(requests, info);
    // What a node has not got itself its devices may serve.
    const isLeft = ({ allocatable }: NodeInfo, request: (typeof requests)[number]) =>
      served.includes(request) && !allocatable[request[0]];
    return (info) =>
      nodeResourcesFit(
        requests.filter((request) => !isLeft(info, request)),
        info,
      );
  },
  VolumeRestrictions({ pod, snapshot, view }) {
    const claims = claimsOf(pod, view.volumes);
    if (!claims.some(({ spec }) => spec.accessModes?.includes("ReadWriteOncePod"))) {
      return undefined;
    }
    const { namespace = "" } = pod.metadata;
    const users = snapshot.nodes.filter((info) => usesExclusiveClaim(claims, namespace, info));
    const found = curable(
      "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode " +
        "already in-use by another pod",
    );
    return users.length === 0 ? undefined : () => found;
  },
  NodeVolumeLimits({ pod, view }) {
    const claims = claimsOf(pod, view.volumes);
    if (claims.length === 0) return undefined;
    return (info) => toCurable(limitProblem(claims, info, view.volumes));
  },
  VolumeBinding({ pod, view }) {
    const claims = claimsOf(pod, view.volumes);
    if (claims.length === 0) return undefined;
    return (info) => toFinal(volumeProblem(claims, info, view.volumes));
  },
  VolumeZone({ pod, view }) {
    const claims = claimsOf(pod, view.volumes).filter(isBound);
    if (claims.length === 0) return undefined;
    return (info) => toFinal(zoneProblem(claims, info, view.volumes));
  },
  PodTopologySpread(input) {
    const spread = spreadState(input);
    if (spread === undefined) return undefined;
    return (info) => {
      const problem = spreadProblem(spread, info);
      return problem && { reasons: [problem.reason], isFinal: problem.isFinal };
    };
  },
  InterPodAffinity({ pod, snapshot, view }) {
    const affinity = podAffinityState(pod, snapshot, view.namespaceLabels);
    if (affinity === undefined) return undefined;
    return (info) => {
      const problem = podAffinityProblem(affinity, info);
      if (problem === undefined) return undefined;
      // Removing pods makes room where pods repel, never where a friend is missing.
      return problem === "node(s) didn't match pod affinity rules"
        ? final(problem)
        : curable(problem);
    };
  },
  NodeDeclaredFeatures({ pod }) {
    const needed = featuresToRun(pod.spec);
    if (needed.length === 0) return undefined;
    const found = final("node(s) didn't match Pod's required features");
    return ({ node }) =>
      missingFeatures(needed, node.status?.declaredFeatures).length === 0 ? undefined : found;
  },
  DynamicResources: dynamicResources,
};

function dynamicResources({ pod, view }: FilterInput): Check | undefined {
  const plan = planDevices(pod, view.devices);
  // What no node can serve is told before any is looked at.
  if (plan === undefined || typeof plan === "string") return undefined;
  return (info) => {
    const found = devicesOn(plan, info);
    return typeof found === "string" ? final(found) : undefined;
  };
}

function toFinal(problem: string | undefined): Found {
  return problem === undefined ? undefined : final(problem);
}

function toCurable(problem: string | undefined): Found {
  return problem === undefined ? undefined : curable(problem);
}

function nodeAffinity({ pod, profile }: FilterInput): Check | undefined {
  const required = pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  const added = profile.addedAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  const isPlain = required === undefined && Object.keys(pod.spec.nodeSelector ?? {}).length === 0;
  if (isPlain && added === undefined) return undefined;
  const found = final("node(s) didn't match Pod's node affinity/selector");
  const enforced = final("node(s) didn't match scheduler-enforced node affinity");
  return ({ node }) => {
    if (added !== undefined && !matchesTerms(node, added.nodeSelectorTerms)) return enforced;
    return matchesRequiredAffinity(pod, node) ? undefined : found;
  };
}

function nodePorts(ports: readonly HostPort[], info: NodeInfo): Found {
  if (info.portPods === 0) return undefined;
  for (const other of info.pods.values()) {
    for (const taken of hostPorts(other)) {
      if (ports.some((port) => portsConflict(port, taken))) {
        return curable("node(s) didn't have free ports for the requested pod ports");
      }
    }
  }
  return undefined;
}

function limitedRequests(requests: Amounts, profile: Profile): readonly [string, number][] {
  return Object.entries(requests).filter(
    ([name, amount]) =>
      amount !== 0 &&
      !profile.ignoredResources.has(name) &&
      !profile.ignoredResourceGroups.has(name.slice(0, Math.max(0, name.indexOf("/")))),
  );
}

function nodeResourcesFit(
  requests: readonly (readonly [string, number])[],
  { pods, allocatable, requested }: NodeInfo,
): Found {
  let reasons: string[] | undefined;
  let isFinal = false;
  if (pods.size + 1 > (allocatable.pods ?? 0)) reasons = ["Too many pods"];
  for (const [resource, amount] of requests) {
    const most = allocatable[resource] ?? 0;
    if ((requested[resource] ?? 0) + amount <= most) continue;
    reasons ??= [];
    reasons.push(`Insufficient ${resource}`);
    if (amount > most) isFinal = true;
  }
  return reasons && { reasons, isFinal };
}

/** The filters that have something to say about this pod. */
export function prepareFilters(input: FilterInput): PreparedFilters {
  const prepared: (readonly [FilterName, Check])[] = [];
  for (const [name, prepare] of Object.entries(table) as [FilterName, Prepare][]) {
    if (!input.profile.filters.has(name)) continue;
    const check = prepare(input);
    if (check !== undefined) prepared.push([name, check]);
  }
  return prepared;
}

/** The first rejection of the node, or undefined when it can take the pod. */
export function filterNode(prepared: PreparedFilters, info: NodeInfo): Rejection | undefined {
  for (const [filter, check] of prepared) {
    const found = check(info);
    if (found !== undefined) return { filter, ...found };
  }
  return undefined;
}

/**
 * The only nodes that the pod's required affinity names, as daemon pods have it; undefined when
 * any node may do.
 */
export function namedNodes({ spec }: LivePod): ReadonlySet<string> | undefined {
  const required = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  const terms = required?.nodeSelectorTerms ?? [];
  if (terms.length === 0) return undefined;
  const names = new Set<string>();
  for (const { matchFields = [] } of terms) {
    const byName = matchFields.filter(
      ({ key, operator }) => key === "metadata.name" && operator === "In",
    );
    if (byName.length === 0) return undefined;
    const [first, ...others] = byName.map(({ values = [] }) => new Set(values));
    for (const name of first ?? []) if (others.every((set) => set.has(name))) names.add(name);
  }
  return names;
}
