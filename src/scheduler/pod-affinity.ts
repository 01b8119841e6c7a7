/** Which topologies a pod must, must not or would like to share with other pods. */
import type { PodAffinityTerm } from "../gen/core-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import {
  type LabelSelector,
  labelSelectorOf,
  matchesLabels,
  type Requirement,
} from "../lib/selector.ts";
import type { LivePod } from "./amounts.ts";
import type { NodeInfo, Snapshot } from "./node-info.ts";

type LiveTerm = DeepReadonly<PodAffinityTerm>;
export type NamespaceLabels = (namespace: string) => Readonly<Record<string, string>>;

interface Term {
  readonly topologyKey: string;
  readonly selector: LabelSelector;
  readonly matchesNamespace: (namespace: string) => boolean;
}

interface Compiled {
  readonly by: NamespaceLabels;
  readonly namespace: string | undefined;
  readonly labels: LivePod["metadata"]["labels"];
  readonly term: Term;
}
/** Terms of pods that run are read again for each pod that comes. */
const compiled = new WeakMap<LiveTerm, Compiled>();

function compile(term: LiveTerm, owner: LivePod, by: NamespaceLabels): Term {
  const { namespace, labels } = owner.metadata;
  const known = compiled.get(term);
  const isSame = known?.by === by && known.namespace === namespace && known.labels === labels;
  if (isSame) return known.term;
  const made = compileAnew(term, owner, by);
  compiled.set(term, { by, namespace, labels, term: made });
  return made;
}

function compileAnew(term: LiveTerm, owner: LivePod, namespaceLabels: NamespaceLabels): Term {
  const own = owner.metadata.labels ?? {};
  const keyed = (keys: readonly string[] | undefined, operator: "in" | "notin"): Requirement[] =>
    (keys ?? [])
      .filter((key) => own[key] !== undefined)
      .map((key) => ({ key, operator, values: [own[key] ?? ""] }));
  const base = labelSelectorOf(term.labelSelector);
  const selector: LabelSelector = {
    ...base,
    requirements: [
      ...base.requirements,
      ...keyed(term.matchLabelKeys, "in"),
      ...keyed(term.mismatchLabelKeys, "notin"),
    ],
  };
  const listed = new Set(term.namespaces ?? []);
  const byLabels =
    term.namespaceSelector === undefined ? undefined : labelSelectorOf(term.namespaceSelector);
  if (listed.size === 0 && byLabels === undefined) listed.add(owner.metadata.namespace ?? "");
  return {
    topologyKey: term.topologyKey,
    selector,
    matchesNamespace: (namespace) =>
      listed.has(namespace) ||
      (byLabels !== undefined && matchesLabels(byLabels, namespaceLabels(namespace))),
  };
}

function matches(term: Term, pod: LivePod): boolean {
  return (
    term.matchesNamespace(pod.metadata.namespace ?? "") &&
    matchesLabels(term.selector, pod.metadata.labels)
  );
}

/** A topology, for example `kubernetes.io/hostname=a`. */
function place(info: NodeInfo, key: string): string | undefined {
  const value = info.labels[key];
  return value === undefined ? undefined : `${key}=${value}`;
}

function required(pod: LivePod, kind: "podAffinity" | "podAntiAffinity"): readonly LiveTerm[] {
  return pod.spec.affinity?.[kind]?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
}

export interface PodAffinityState {
  readonly affinity: readonly { readonly term: Term; readonly places: ReadonlySet<string> }[];
  /** The pod matches its own terms, so the first of a group may go anywhere. */
  readonly mayStartGroup: boolean;
  readonly antiAffinity: readonly { readonly term: Term; readonly places: ReadonlySet<string> }[];
  /** Places where a pod that is there refuses this one. */
  readonly refused: ReadonlySet<string>;
}

/** Looks at all pods once, so that each node is a set lookup. */
export function podAffinityState(
  pod: LivePod,
  snapshot: Snapshot,
  namespaceLabels: NamespaceLabels,
): PodAffinityState | undefined {
  const affinityTerms = required(pod, "podAffinity");
  const antiTerms = required(pod, "podAntiAffinity");
  const refusers =
    snapshot.antiAffinityPods === 0
      ? []
      : snapshot.nodes.filter((info) => info.antiAffinityPods > 0);
  if (affinityTerms.length + antiTerms.length + refusers.length === 0) return undefined;
  const refused = new Set<string>();
  for (const info of refusers) {
    for (const other of info.pods.values()) {
      for (const term of required(other, "podAntiAffinity")) {
        const at = place(info, term.topologyKey);
        if (at === undefined || refused.has(at)) continue;
        if (matches(compile(term, other, namespaceLabels), pod)) refused.add(at);
      }
    }
  }
  const affinity = affinityTerms.map((term) => compile(term, pod, namespaceLabels));
  const anti = antiTerms.map((term) => compile(term, pod, namespaceLabels));
  // Upstream counts a pod for affinity only when it matches all terms.
  const isFriend = (other: LivePod) => affinity.every((term) => matches(term, other));
  const friends = affinity.map((term) => ({
    term,
    places: placesOf(snapshot, term, affinity.length > 0 ? isFriend : () => false),
  }));
  return {
    affinity: friends,
    mayStartGroup: friends.every(({ places }) => places.size === 0) && isFriend(pod),
    antiAffinity: anti.map((term) => ({
      term,
      places: placesOf(snapshot, term, (other) => matches(term, other)),
    })),
    refused,
  };
}

function placesOf(
  snapshot: Snapshot,
  term: Term,
  counts: (pod: LivePod) => boolean,
): ReadonlySet<string> {
  const places = new Set<string>();
  for (const info of snapshot.nodes) {
    if (info.pods.size === 0) continue;
    const at = place(info, term.topologyKey);
    if (at === undefined || places.has(at)) continue;
    for (const other of info.pods.values()) {
      if (!counts(other)) continue;
      places.add(at);
      break;
    }
  }
  return places;
}

/** Why the node does not do, in upstream's words; undefined when it does. */
export function podAffinityProblem(state: PodAffinityState, info: NodeInfo): string | undefined {
  for (const { term, places } of state.affinity) {
    const at = place(info, term.topologyKey);
    if (at === undefined) return "node(s) didn't match pod affinity rules";
    if (!places.has(at) && !state.mayStartGroup) return "node(s) didn't match pod affinity rules";
  }
  for (const { term, places } of state.antiAffinity) {
    const at = place(info, term.topologyKey);
    if (at !== undefined && places.has(at)) return "node(s) didn't match pod anti-affinity rules";
  }
  if (state.refused.size === 0) return undefined;
  for (const key in info.labels) {
    if (state.refused.has(`${key}=${info.labels[key]}`)) {
      return "node(s) didn't satisfy existing pods anti-affinity rules";
    }
  }
  return undefined;
}

export interface WeightOptions {
  readonly namespaceLabels: NamespaceLabels;
  /** The weight a running pod's required affinity has when another pod is placed. */
  readonly hardWeight: number;
  /** What running pods would like counts only when the pod would like something itself. */
  readonly ignoresExisting: boolean;
}

/** How much each place attracts or repels the pod; undefined when no pod has a say. */
export function podAffinityWeights(
  pod: LivePod,
  snapshot: Snapshot,
  { namespaceLabels, hardWeight, ignoresExisting }: WeightOptions,
): ReadonlyMap<string, number> | undefined {
  const own = weighted(pod, 0).map(({ term, weight }) => ({
    term: compile(term, pod, namespaceLabels),
    weight,
  }));
  if (own.length === 0 && (ignoresExisting || snapshot.affinityPods === 0)) return undefined;
  const weights = new Map<string, number>();
  const count = (info: NodeInfo, key: string, weight: number) => {
    const at = place(info, key);
    if (at !== undefined) weights.set(at, (weights.get(at) ?? 0) + weight);
  };
  for (const info of snapshot.nodes) {
    if (info.pods.size === 0 || (own.length === 0 && info.affinityPods === 0)) continue;
    for (const other of info.pods.values()) {
      for (const { term, weight } of own) {
        if (matches(term, other)) count(info, term.topologyKey, weight);
      }
      if (info.affinityPods === 0) continue;
      for (const { term, weight } of weighted(other, hardWeight)) {
        if (matches(compile(term, other, namespaceLabels), pod)) {
          count(info, term.topologyKey, weight);
        }
      }
    }
  }
  return weights.size === 0 ? undefined : weights;
}

interface WeightedTerm {
  readonly term: LiveTerm;
  readonly weight: number;
}
const noTerms: readonly WeightedTerm[] = [];

/** The preferred terms, and the required affinity ones when they have a weight. */
function weighted(pod: LivePod, hardWeight: number): readonly WeightedTerm[] {
  const affinity = pod.spec.affinity;
  if (affinity === undefined) return noTerms;
  const terms: WeightedTerm[] = [];
  for (const [kind, sign] of [
    ["podAffinity", 1],
    ["podAntiAffinity", -1],
  ] as const) {
    const preferred = affinity[kind]?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
    for (const { podAffinityTerm: term, weight } of preferred) {
      terms.push({ term, weight: sign * weight });
    }
  }
  if (hardWeight > 0) {
    for (const term of required(pod, "podAffinity")) terms.push({ term, weight: hardWeight });
  }
  return terms;
}

export function podAffinityScore(weights: ReadonlyMap<string, number>, info: NodeInfo): number {
  let score = 0;
  for (const key in info.labels) score += weights.get(`${key}=${info.labels[key]}`) ?? 0;
  return score;
}
