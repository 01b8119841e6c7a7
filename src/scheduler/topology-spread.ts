/** Spreads the pods of a group evenly over topologies, as far as a pod asks for it. */
import type { TopologySpreadConstraint } from "../gen/core-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { type LabelSelector, labelSelectorOf, matchesLabels } from "../lib/selector.ts";
import { matchesRequiredAffinity, untoleratedTaints } from "../schema/placement.ts";
import type { LivePod } from "./amounts.ts";
import { labelsOf, type NodeInfo, type Snapshot } from "./node-info.ts";

type LiveConstraint = DeepReadonly<TopologySpreadConstraint>;

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

/** Counts pods per topology for each constraint of the kind; undefined without such. */
export function spreadState(pod: LivePod, snapshot: Snapshot, when: When): SpreadState | undefined {
  const constraints = (pod.spec.topologySpreadConstraints ?? []).filter(
    ({ whenUnsatisfiable }) => whenUnsatisfiable === when,
  );
  if (constraints.length === 0) return undefined;
  const keys = constraints.map(({ topologyKey }) => topologyKey);
  return constraints.map((constraint) => {
    const selector = selectorOf(constraint, pod);
    const counts = new Map<string, number>();
    for (const info of snapshot.nodes) {
      if (!isEligible(pod, info, constraint, keys)) continue;
      const value = labelsOf(info)[constraint.topologyKey] ?? "";
      counts.set(value, (counts.get(value) ?? 0) + countMatching(info, pod, selector));
    }
    const isShort = counts.size < (constraint.minDomains ?? 1);
    return {
      constraint,
      counts,
      least: isShort || counts.size === 0 ? 0 : Math.min(...counts.values()),
      self: matchesLabels(selector, pod.metadata.labels) ? 1 : 0,
    };
  });
}

function selectorOf(constraint: LiveConstraint, pod: LivePod): LabelSelector {
  const base = labelSelectorOf(constraint.labelSelector);
  const labels = pod.metadata.labels ?? {};
  const keyed = (constraint.matchLabelKeys ?? [])
    .filter((key) => labels[key] !== undefined)
    .map((key) => ({ key, operator: "in" as const, values: [labels[key] ?? ""] }));
  return { ...base, requirements: [...base.requirements, ...keyed] };
}

function isEligible(
  pod: LivePod,
  info: NodeInfo,
  constraint: LiveConstraint,
  keys: readonly string[],
): boolean {
  const labels = labelsOf(info);
  if (!keys.every((key) => labels[key] !== undefined)) return false;
  if ((constraint.nodeAffinityPolicy ?? "Honor") === "Honor") {
    if (!matchesRequiredAffinity(pod, info.node)) return false;
  }
  if ((constraint.nodeTaintsPolicy ?? "Ignore") === "Honor") {
    if (untoleratedTaints(pod, info.node).length > 0) return false;
  }
  return true;
}

function countMatching(info: NodeInfo, pod: LivePod, selector: LabelSelector): number {
  let count = 0;
  for (const other of info.pods.values()) {
    if (other.metadata.namespace !== pod.metadata.namespace) continue;
    if (other.metadata.deletionTimestamp !== undefined) continue;
    if (matchesLabels(selector, other.metadata.labels)) count++;
  }
  return count;
}

const problem = "node(s) didn't match pod topology spread constraints";

/** Why the node would make the spread too uneven; `isFinal` when no victim could change that. */
export function spreadProblem(
  state: SpreadState,
  info: NodeInfo,
): { readonly reason: string; readonly isFinal: boolean } | undefined {
  for (const { constraint, counts, least, self } of state) {
    const value = labelsOf(info)[constraint.topologyKey];
    if (value === undefined) {
      return { reason: `${problem} (missing required label)`, isFinal: true };
    }
    if ((counts.get(value) ?? 0) + self - least > constraint.maxSkew) {
      return { reason: problem, isFinal: false };
    }
  }
  return undefined;
}

/** Smaller is better; undefined when the node lacks a topology key. */
export function spreadCost(state: SpreadState, info: NodeInfo): number | undefined {
  let cost = 0;
  for (const { constraint, counts } of state) {
    const value = labelsOf(info)[constraint.topologyKey];
    if (value === undefined) return undefined;
    // A topology of many values gets more weight, as upstream's log(size + 2) does.
    const weight = Math.log(counts.size + 2);
    cost += (counts.get(value) ?? 0) * weight + (constraint.maxSkew - 1);
  }
  return Math.round(cost);
}
