/** Which pods of lower priority have to go so that a pod fits somewhere. */
import type { PodDisruptionBudget } from "../gen/policy-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { labelSelectorOf, matchesLabels } from "../lib/selector.ts";
import type { LivePod } from "./amounts.ts";
import { fitMessage, type Nominations, promisedTo } from "./decide.ts";
import { filterNode, prepareFilters, type Rejection } from "./filters.ts";
import { type NodeInfo, replaceNode, type Snapshot, withoutPod, withPod } from "./node-info.ts";
import type { Profile } from "./profile.ts";
import type { ClusterView } from "./view.ts";

export interface PreemptionInput {
  readonly pod: LivePod;
  readonly snapshot: Snapshot;
  readonly view: ClusterView;
  readonly profile: Profile;
  readonly nominations: Nominations;
  readonly rejections: ReadonlyMap<string, Rejection>;
  /** A whole number in 0..below-1: where to begin when not all nodes are tried. */
  readonly random: (below: number) => number;
  readonly budgets: readonly DeepReadonly<PodDisruptionBudget>[];
}

export type Preemption =
  | { readonly node: string; readonly victims: readonly LivePod[] }
  | { readonly node: undefined; readonly message: string };

/** A node that takes the pod once the victims are gone. */
export interface Candidate {
  readonly node: string;
  readonly victims: readonly LivePod[];
  readonly violations: number;
}

const prefix = "preemption: ";

export function planPreemption(input: PreemptionInput): Preemption {
  const found = findCandidates(input);
  return "candidates" in found ? bestOf(found.candidates) : found;
}

/** The one that costs least. */
export function bestOf(candidates: readonly Candidate[]): Preemption {
  const [best] = candidates.toSorted(compareCandidates);
  if (best === undefined) return refusal("no candidate node for preemption");
  return { node: best.node, victims: best.victims };
}

/** All that were looked for, at least one; or why there is none. */
export function findCandidates(
  input: PreemptionInput,
): { readonly candidates: readonly Candidate[] } | Preemption {
  const { pod, snapshot, rejections } = input;
  if (pod.spec.preemptionPolicy === "Never") {
    return refusal("not eligible due to preemptionPolicy=Never.");
  }
  if (waitsForVictims(input)) {
    return refusal("not eligible due to a terminating pod on the nominated node.");
  }
  const curable = snapshot.nodes.filter(({ name }) => rejections.get(name)?.isFinal === false);
  const candidates: Candidate[] = [];
  const reasons: { readonly reasons: readonly string[] }[] = [];
  const enough = candidatesToFind(curable.length, input.profile);
  const offset = curable.length === 0 ? 0 : input.random(curable.length);
  for (let at = 0; at < curable.length && candidates.length < enough; at++) {
    const found = findVictims(input, curable[(offset + at) % curable.length] as NodeInfo);
    if ("node" in found) candidates.push(found);
    else reasons.push(found);
  }
  if (candidates.length > 0) return { candidates };
  const others = snapshot.nodes.length - reasons.length;
  const notHelpful = { reasons: ["Preemption is not helpful for scheduling"] };
  reasons.push(...Array.from({ length: others }, () => notHelpful));
  return refusal(fitMessage(snapshot.nodes.length, reasons));
}

/** In large clusters a part of the nodes has to do. */
function candidatesToFind(nodes: number, profile: Profile): number {
  const share = Math.floor((nodes * profile.minCandidateNodesPercentage) / 100);
  return Math.min(nodes, Math.max(share, profile.minCandidateNodesAbsolute));
}

function refusal(message: string): Preemption {
  return { node: undefined, message: prefix + message };
}

function priorityOf(pod: LivePod): number {
  return pod.spec.priority ?? 0;
}

/** True while pods that were preempted for this one are still stopping. */
function waitsForVictims({ pod, snapshot, rejections }: PreemptionInput): boolean {
  const nominated = pod.status?.nominatedNodeName;
  if (nominated === undefined || nominated === "") return false;
  if (rejections.get(nominated)?.isFinal === true) return false;
  const info = snapshot.nodes.find(({ name }) => name === nominated);
  return [...(info?.pods.values() ?? [])].some(
    (other) =>
      other.metadata.deletionTimestamp !== undefined && priorityOf(other) < priorityOf(pod),
  );
}

/** Takes all weaker pods away, then lets as many as possible stay, the important ones first. */
function findVictims(
  input: PreemptionInput,
  info: NodeInfo,
): Candidate | { readonly reasons: readonly string[] } {
  const { pod, snapshot } = input;
  const weaker = [...info.pods.values()].filter((other) => priorityOf(other) < priorityOf(pod));
  const noVictims = { reasons: ["No preemption victims found for incoming pod"] };
  if (weaker.length === 0) return noVictims;
  const full = promisedTo(pod, info, input.nominations).reduce(withPod, info);
  const problemOf = (candidate: NodeInfo) =>
    filterNode(prepareFilters({ ...input, snapshot: replaceNode(snapshot, candidate) }), candidate);
  const fits = (candidate: NodeInfo) => problemOf(candidate) === undefined;
  let current = weaker.reduce(withoutPod, full);
  const rest = problemOf(current);
  if (rest !== undefined) return rest;
  const ordered = weaker.toSorted(byImportance);
  const protectedPods = violating(ordered, input.budgets);
  const victims: LivePod[] = [];
  let violations = 0;
  for (const isProtected of [true, false]) {
    for (const other of ordered.filter((victim) => protectedPods.has(victim) === isProtected)) {
      const withOther = withPod(current, other);
      if (fits(withOther)) {
        current = withOther;
        continue;
      }
      victims.push(other);
      if (isProtected) violations++;
    }
  }
  if (victims.length === 0) return noVictims;
  return { node: info.name, victims: victims.sort(byImportance), violations };
}

function startOf(pod: LivePod): number {
  return Date.parse(pod.status?.startTime ?? "") || Number.MAX_SAFE_INTEGER;
}

/** Higher priority first, then longer running. */
function byImportance(a: LivePod, b: LivePod): number {
  return priorityOf(b) - priorityOf(a) || startOf(a) - startOf(b);
}

/** Those whose removal a disruption budget does not allow. */
function violating(
  pods: readonly LivePod[],
  budgets: PreemptionInput["budgets"],
): ReadonlySet<LivePod> {
  const left = budgets.map((budget) => budget.status?.disruptionsAllowed ?? 0);
  const found = new Set<LivePod>();
  for (const pod of pods) {
    budgets.forEach((budget, index) => {
      if (budget.metadata.namespace !== pod.metadata.namespace) return;
      if (pod.metadata.labels === undefined) return;
      if (!matchesLabels(labelSelectorOf(budget.spec.selector), pod.metadata.labels)) return;
      if (budget.status?.disruptedPods?.[pod.metadata.name ?? ""] !== undefined) return;
      left[index] = (left[index] ?? 0) - 1;
      if ((left[index] ?? 0) < 0) found.add(pod);
    });
  }
  return found;
}

/** Fewest broken budgets, then the least important and fewest victims, then the youngest. */
function compareCandidates(a: Candidate, b: Candidate): number {
  const highest = ({ victims }: Candidate) => priorityOf(victims[0] as LivePod);
  const total = ({ victims }: Candidate) =>
    victims.reduce((sum, victim) => sum + priorityOf(victim) + 2 ** 31, 0);
  const earliest = ({ victims }: Candidate) =>
    Math.min(
      ...victims
        .filter((victim) => priorityOf(victim) === priorityOf(victims[0] as LivePod))
        .map(startOf),
    );
  return (
    a.violations - b.violations ||
    highest(a) - highest(b) ||
    total(a) - total(b) ||
    a.victims.length - b.victims.length ||
    earliest(b) - earliest(a)
  );
}
