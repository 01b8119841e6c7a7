/** Spreads the pods of a group evenly over topologies, as far as a pod asks for it. */
import type { TopologySpreadConstraint } from "../gen/core-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { type LabelSelector, labelSelectorOf, matchesLabels } from "../lib/selector.ts";
import { matchesRequiredAffinity, untoleratedTaints } from "../schema/placement.ts";
import type { LivePod } from "./amounts.ts";
import type { NodeInfo, Snapshot } from "./node-info.ts";
import type { Profile } from "./profile.ts";
import type { ClusterView } from "./view.ts";

type LiveConstraint = DeepReadonly<TopologySpreadConstraint>;

export interface SpreadInput {
  readonly pod: LivePod;
  readonly snapshot: Snapshot;
  readonly view: ClusterView;
  readonly profile: Profile;
}

interface Wanted {
  readonly constraint: LiveConstraint;
  readonly group: Group;
}

/** The pods that are counted. */
interface Group {
  readonly namespace: string;
  readonly selector: LabelSelector;
  /** The same for the same group. */
  readonly key: string;
}

interface Spread {
  readonly constraint: LiveConstraint;
  /** Matching pods of each value of the topology key. */
  readonly counts: ReadonlyMap<string, number>;
  readonly least: number;
  /** 1 when the pod itself will be counted. */
  readonly self: number;
}

export type SpreadState = readonly Spread[];

type When = "DoNotSchedule" | "ScheduleAnyway";

const hostKey = "kubernetes.io/hostname";
/** What pods of Services and workloads get that ask for nothing themselves. */
const systemConstraints: readonly LiveConstraint[] = [
  { topologyKey: hostKey, maxSkew: 3, whenUnsatisfiable: "ScheduleAnyway" },
  { topologyKey: "topology.kubernetes.io/zone", maxSkew: 5, whenUnsatisfiable: "ScheduleAnyway" },
];

/** The pod's own constraints of the kind, or the default ones over its group. */
function wantedOf({ pod, view, profile }: SpreadInput, when: When): readonly Wanted[] {
  const own = pod.spec.topologySpreadConstraints ?? [];
  if (own.length > 0) {
    return own
      .filter(({ whenUnsatisfiable }) => whenUnsatisfiable === when)
      .map((constraint) => ({ constraint, group: groupOf(pod, selectorOf(constraint, pod)) }));
  }
  const defaults = (profile.defaultConstraints ?? systemConstraints).filter(
    ({ whenUnsatisfiable }) => whenUnsatisfiable === when,
  );
  const selector = defaults.length === 0 ? undefined : view.groupSelector(pod);
  if (selector === undefined) return [];
  const group = groupOf(pod, selector);
  return defaults.map((constraint) => ({ constraint, group }));
}

function groupOf({ metadata: { namespace = "" } }: LivePod, selector: LabelSelector): Group {
  return { namespace, selector, key: `${namespace} ${JSON.stringify(selector)}` };
}

/** Nodes without a zone still spread by host when the constraints are the system's. */
function needsAllKeys({ pod, profile }: SpreadInput): boolean {
  const own = pod.spec.topologySpreadConstraints ?? [];
  return own.length > 0 || profile.defaultConstraints !== undefined;
}

/** Counts pods per topology for each hard constraint; undefined without such. */
export function spreadState(input: SpreadInput): SpreadState | undefined {
  const { pod, snapshot } = input;
  const wanted = wantedOf(input, "DoNotSchedule");
  if (wanted.length === 0) return undefined;
  const keys = wanted.map(({ constraint }) => constraint.topologyKey);
  return wanted.map(({ constraint, group }) => {
    const counts = new Map<string, number>();
    for (const info of snapshot.nodes) {
      const value = info.labels[constraint.topologyKey];
      if (value === undefined || !hasAll(info, keys)) continue;
      if (!isIncluded(pod, info, constraint)) continue;
      const more = countMatching(info, group);
      if (more > 0 || !counts.has(value)) counts.set(value, (counts.get(value) ?? 0) + more);
    }
    const isShort = counts.size < (constraint.minDomains ?? 1);
    return {
      constraint,
      counts,
      least: isShort || counts.size === 0 ? 0 : Math.min(...counts.values()),
      self: matchesLabels(group.selector, pod.metadata.labels) ? 1 : 0,
    };
  });
}

function hasAll({ labels }: NodeInfo, keys: readonly string[]): boolean {
  for (const key of keys) if (labels[key] === undefined) return false;
  return true;
}

function selectorOf(constraint: LiveConstraint, pod: LivePod): LabelSelector {
  const base = labelSelectorOf(constraint.labelSelector);
  const labels = pod.metadata.labels ?? {};
  const keyed = (constraint.matchLabelKeys ?? [])
    .filter((key) => labels[key] !== undefined)
    .map((key) => ({ key, operator: "in" as const, values: [labels[key] ?? ""] }));
  return keyed.length === 0 ? base : { ...base, requirements: [...base.requirements, ...keyed] };
}

function isIncluded(pod: LivePod, info: NodeInfo, constraint: LiveConstraint): boolean {
  if ((constraint.nodeAffinityPolicy ?? "Honor") === "Honor") {
    if (!matchesRequiredAffinity(pod, info.node)) return false;
  }
  if ((constraint.nodeTaintsPolicy ?? "Ignore") !== "Honor") return true;
  return info.hardTaints.length === 0 || untoleratedTaints(pod, info.node).length === 0;
}

/** Counts of groups among the pods of a node: between two decisions few nodes change. */
const countsByPods = new WeakMap<NodeInfo["pods"], Map<string, number>>();

function countMatching({ pods }: NodeInfo, group: Group): number {
  if (pods.size === 0) return 0;
  let counts = countsByPods.get(pods);
  if (counts === undefined) {
    counts = new Map();
    countsByPods.set(pods, counts);
  }
  let count = counts.get(group.key);
  if (count === undefined) {
    count = 0;
    for (const { metadata } of pods.values()) if (isOf(group, metadata)) count++;
    counts.set(group.key, count);
  }
  return count;
}

function isOf({ namespace, selector }: Group, metadata: LivePod["metadata"]): boolean {
  if ((metadata.namespace ?? "") !== namespace) return false;
  return metadata.deletionTimestamp === undefined && matchesLabels(selector, metadata.labels);
}

const problem = "node(s) didn't match pod topology spread constraints";

/** Why the node would make the spread too uneven; `isFinal` when no victim could change that. */
export function spreadProblem(
  state: SpreadState,
  info: NodeInfo,
): { readonly reason: string; readonly isFinal: boolean } | undefined {
  for (const { constraint, counts, least, self } of state) {
    const value = info.labels[constraint.topologyKey];
    if (value === undefined) {
      return { reason: `${problem} (missing required label)`, isFinal: true };
    }
    if ((counts.get(value) ?? 0) + self - least > constraint.maxSkew) {
      return { reason: problem, isFinal: false };
    }
  }
  return undefined;
}

/** Costs of the nodes by the soft constraints, in their order; undefined where a key is missing. */
export function spreadCosts(
  input: SpreadInput,
  nodes: readonly NodeInfo[],
): readonly (number | undefined)[] | undefined {
  const wanted = wantedOf(input, "ScheduleAnyway");
  if (wanted.length === 0) return undefined;
  const keys = wanted.map(({ constraint }) => constraint.topologyKey);
  const hasKeys = (info: NodeInfo) => hasAll(info, keys);
  const strict = needsAllKeys(input);
  const scored = strict ? nodes.filter(hasKeys) : nodes;
  const terms = wanted.map((one) => termOf(one, input, scored, strict ? hasKeys : () => true));
  return nodes.map((info) => {
    if (strict && !hasKeys(info)) return undefined;
    let cost = 0;
    for (const term of terms) cost += term(info);
    return Math.round(cost);
  });
}

/** A topology of many values weighs more; the skew that is allowed waters differences down. */
function termOf(
  { constraint, group }: Wanted,
  { pod, snapshot }: SpreadInput,
  scored: readonly NodeInfo[],
  counts: (info: NodeInfo) => boolean,
): (info: NodeInfo) => number {
  const { topologyKey, maxSkew } = constraint;
  const extra = maxSkew - 1;
  if (topologyKey === hostKey) {
    const weight = Math.log(scored.length + 2);
    return (info) =>
      info.labels[hostKey] === undefined ? 0 : countMatching(info, group) * weight + extra;
  }
  const perValue = new Map<string, number>();
  for (const { labels } of scored) {
    const value = labels[topologyKey];
    if (value !== undefined) perValue.set(value, 0);
  }
  for (const info of perValue.size === 0 ? [] : snapshot.nodes) {
    const value = info.labels[topologyKey];
    const before = value === undefined ? undefined : perValue.get(value);
    if (value === undefined || before === undefined || !counts(info)) continue;
    if (!isIncluded(pod, info, constraint)) continue;
    perValue.set(value, before + countMatching(info, group));
  }
  const weight = Math.log(perValue.size + 2);
  return ({ labels }) => {
    const value = labels[topologyKey];
    return value === undefined ? 0 : (perValue.get(value) ?? 0) * weight + extra;
  };
}
