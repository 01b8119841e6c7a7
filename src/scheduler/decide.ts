/** The decision for one pod: a node, or why there is none. Pure over a snapshot. */
import type { LivePod } from "./amounts.ts";
import { planDevices } from "./devices/plan.ts";
import {
  filterNode,
  namedNodes,
  type PreparedFilters,
  prepareFilters,
  type Rejection,
} from "./filters.ts";
import { type NodeInfo, replaceNode, type Snapshot, withPod } from "./node-info.ts";
import type { FilterName, Profile } from "./profile.ts";
import type { RejectedBy } from "./queue.ts";
import { scoreNodes } from "./scores.ts";
import type { ClusterView } from "./view.ts";
import { claimProblem } from "./volumes.ts";

/** Unbound pods that were promised a node by preemption. */
export type Nominations = ReadonlyMap<string, readonly LivePod[]>;

export interface DecideInput {
  readonly pod: LivePod;
  readonly snapshot: Snapshot;
  readonly view: ClusterView;
  readonly profile: Profile;
  readonly nominations: Nominations;
  /** Where to begin when only a part of many nodes is looked at. */
  readonly startIndex: number;
  /** A whole number in 0..below-1, to break ties. */
  readonly random: (below: number) => number;
}

export interface Refusal {
  readonly node: undefined;
  readonly message: string;
  readonly rejectedBy: readonly RejectedBy[];
  readonly rejections: ReadonlyMap<string, Rejection>;
}

export type Decision = { readonly node: string; readonly looked: number } | Refusal;

/** The nodes that can take the pod, and why the others cannot. */
export interface Search {
  readonly feasible: readonly NodeInfo[];
  readonly rejections: ReadonlyMap<string, Rejection>;
  /** How many nodes were looked at, of those in turn. */
  readonly looked: number;
}

export function decide(input: DecideInput): Decision {
  const found = search(input);
  return "node" in found ? found : decisionOf(input, found);
}

/** Runs the filters; a refusal when no node needs to be looked at. */
export function search(input: DecideInput): Search | Refusal {
  const { pod, profile, snapshot, view } = input;
  if (snapshot.nodes.length === 0) {
    return {
      node: undefined,
      message: "no nodes available to schedule pods",
      rejectedBy: ["any"],
      rejections: new Map(),
    };
  }
  const problem = claimProblem(pod, view.volumes);
  if (problem !== undefined) return refusedByAll(snapshot, "VolumeBinding", problem);
  const plan = profile.filters.has("DynamicResources") && planDevices(pod, view.devices);
  if (typeof plan === "string") return refusedByAll(snapshot, "DynamicResources", plan);
  return findFeasible(input);
}

/** No node needs to be looked at. */
function refusedByAll({ nodes }: Snapshot, filter: FilterName, problem: string): Refusal {
  const rejection: Rejection = { filter, reasons: [problem], isFinal: true };
  return {
    node: undefined,
    message: `0/${nodes.length} nodes are available: ${problem}.`,
    rejectedBy: [filter],
    rejections: new Map(nodes.map(({ name }) => [name, rejection])),
  };
}

/** The best of the feasible nodes; `extra` are points by name on top of the scores. */
export function decisionOf(
  input: DecideInput,
  { feasible, rejections, looked }: Search,
  extra?: ReadonlyMap<string, number>,
): Decision {
  if (feasible.length > 0) return { node: choose(input, feasible, extra), looked };
  return {
    node: undefined,
    message: fitMessage(input.snapshot.nodes.length, [...rejections.values()]),
    rejectedBy: [...new Set([...rejections.values()].map(({ filter }) => filter))],
    rejections,
  };
}

/** All of up to a hundred nodes, then a share that shrinks as the cluster grows. */
export function nodesToFind(total: number, percentage = 0): number {
  const nodesMin = 100;
  if (total < nodesMin) return total;
  const percent = percentage > 0 ? percentage : Math.max(5, 50 - Math.floor(total / 125));
  return Math.max(nodesMin, Math.floor((total * percent) / 100));
}

const unnamed: Rejection = {
  filter: "NodeAffinity",
  reasons: ["node(s) didn't satisfy plugin(s) [NodeAffinity]"],
  isFinal: true,
};

function findFeasible(input: DecideInput): Search {
  const { snapshot, profile } = input;
  const prepared = prepareFilters(input);
  const named = profile.filters.has("NodeAffinity") ? namedNodes(input.pod) : undefined;
  if (named !== undefined) return findAmong(named, prepared, input);
  const rejections = new Map<string, Rejection>();
  const feasible: NodeInfo[] = [];
  const total = snapshot.nodes.length;
  const enough = nodesToFind(total, profile.percentageOfNodesToScore);
  let looked = 0;
  for (; looked < total && feasible.length < enough; looked++) {
    const info = snapshot.nodes[(input.startIndex + looked) % total] as NodeInfo;
    const rejection = filterWithNominated(prepared, info, input);
    if (rejection === undefined) feasible.push(info);
    else rejections.set(info.name, rejection);
  }
  return { feasible, rejections, looked };
}

/** A pod that names its nodes, as daemon pods do, need not be tried on all the others. */
function findAmong(
  named: ReadonlySet<string>,
  prepared: PreparedFilters,
  input: DecideInput,
): Search {
  const rejections = new Map<string, Rejection>();
  const feasible: NodeInfo[] = [];
  for (const info of input.snapshot.nodes) {
    const isNamed = named.has(info.name);
    const rejection = isNamed ? filterWithNominated(prepared, info, input) : unnamed;
    if (rejection === undefined) feasible.push(info);
    else rejections.set(info.name, rejection);
  }
  return { feasible, rejections, looked: 0 };
}

/** The node must do both with and without the pods it is promised to. */
function filterWithNominated(
  prepared: PreparedFilters,
  info: NodeInfo,
  input: DecideInput,
): Rejection | undefined {
  const promised =
    input.nominations.size === 0 ? [] : promisedTo(input.pod, info, input.nominations);
  if (promised.length > 0) {
    const full = promised.reduce(withPod, info);
    const snapshot = replaceNode(input.snapshot, full);
    const rejection = filterNode(prepareFilters({ ...input, snapshot }), full);
    if (rejection !== undefined) return rejection;
  }
  return filterNode(prepared, info);
}

/** Pods of at least the same priority that wait for this node. */
export function promisedTo(pod: LivePod, info: NodeInfo, nominations: Nominations): LivePod[] {
  const priority = pod.spec.priority ?? 0;
  return (nominations.get(info.name) ?? []).filter(
    (other) => other.metadata.uid !== pod.metadata.uid && (other.spec.priority ?? 0) >= priority,
  );
}

function choose(
  input: DecideInput,
  feasible: readonly NodeInfo[],
  extra: ReadonlyMap<string, number> | undefined,
): string {
  const { nominatedNodeName } = input.pod.status ?? {};
  if (nominatedNodeName && feasible.some(({ name }) => name === nominatedNodeName)) {
    return nominatedNodeName;
  }
  const [only] = feasible;
  if (feasible.length === 1 && only !== undefined) return only.name;
  const own = scoreNodes({ ...input, nodes: feasible });
  const scores = extra
    ? own.map((score, index) => score + (extra.get(feasible[index]?.name ?? "") ?? 0))
    : own;
  const best = Math.max(...scores);
  const ties = feasible.filter((_, index) => scores[index] === best);
  return ties[input.random(ties.length)]?.name ?? "";
}

/** "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable." */
export function fitMessage(
  total: number,
  rejections: readonly { readonly reasons: readonly string[] }[],
): string {
  const counts = new Map<string, number>();
  for (const reason of rejections.flatMap(({ reasons }) => reasons)) {
    counts.set(reason, (counts.get(reason) ?? 0) + 1);
  }
  const parts = [...counts].map(([reason, count]) => `${count} ${reason}`).sort();
  const list = parts.length === 0 ? "" : ` ${parts.join(", ")}.`;
  return `0/${total} nodes are available:${list}`;
}
