/** Whether a pod may run on a node: its affinity to labels, its tolerance of taints. */
import type { Node, NodeSelectorTerm, Pod, Taint, Toleration } from "../gen/core-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { type LabelSelector, labelSelectorOf, matchesLabels } from "../lib/selector.ts";

type LiveNode = DeepReadonly<Node>;
/** Only what placement reads, so that a pod that is yet to be made fits too. */
export interface Placeable {
  readonly spec: DeepReadonly<Pick<Pod["spec"], "nodeSelector" | "affinity" | "tolerations">>;
}
type LiveTaint = DeepReadonly<Taint>;

interface CompiledTerm {
  readonly isEmpty: boolean;
  readonly labels: LabelSelector;
  readonly fields: LabelSelector;
}
/** One term is held against many nodes. */
const compiledTerms = new WeakMap<DeepReadonly<NodeSelectorTerm>, CompiledTerm>();

function compile(term: DeepReadonly<NodeSelectorTerm>): CompiledTerm {
  const known = compiledTerms.get(term);
  if (known !== undefined) return known;
  const { matchExpressions = [], matchFields = [] } = term;
  const made = {
    isEmpty: matchExpressions.length === 0 && matchFields.length === 0,
    labels: labelSelectorOf({ matchExpressions }),
    fields: labelSelectorOf({ matchExpressions: matchFields }),
  };
  compiledTerms.set(term, made);
  return made;
}

/** An empty term matches nothing. */
export function matchesTerm(node: LiveNode, term: DeepReadonly<NodeSelectorTerm>): boolean {
  const { isEmpty, labels, fields } = compile(term);
  if (isEmpty || !matchesLabels(labels, node.metadata.labels)) return false;
  if (fields.requirements.length === 0) return true;
  return matchesLabels(fields, { "metadata.name": node.metadata.name ?? "" });
}

/** Terms are alternatives. */
export function matchesTerms(
  node: LiveNode,
  terms: readonly DeepReadonly<NodeSelectorTerm>[],
): boolean {
  return terms.some((term) => matchesTerm(node, term));
}

export function matchesRequiredAffinity(pod: Placeable, node: LiveNode): boolean {
  const { nodeSelector } = pod.spec;
  if (nodeSelector !== undefined) {
    const { labels = {} } = node.metadata;
    for (const key in nodeSelector) if (labels[key] !== nodeSelector[key]) return false;
  }
  const required = pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return required === undefined || matchesTerms(node, required.nodeSelectorTerms);
}

export function tolerates(toleration: DeepReadonly<Toleration>, taint: LiveTaint): boolean {
  const { key = "", value = "", effect = "", operator = "Equal" } = toleration;
  if (effect !== "" && effect !== taint.effect) return false;
  if (key !== "" && key !== taint.key) return false;
  switch (operator === "" ? "Equal" : operator) {
    case "Exists":
      return true;
    case "Equal":
      return key !== "" && value === (taint.value ?? "");
    default:
      return false;
  }
}

/** The taints that keep the pod off the node. */
export function untoleratedTaints(pod: Placeable, node: LiveNode): LiveTaint[] {
  const hard = (node.spec?.taints ?? []).filter(({ effect }) => effect !== "PreferNoSchedule");
  return hard.filter((taint) => !(pod.spec.tolerations ?? []).some((t) => tolerates(t, taint)));
}

/** How many taints would rather not have the pod. */
export function unwelcomingTaints(pod: Placeable, node: LiveNode): number {
  const soft = (node.spec?.taints ?? []).filter(({ effect }) => effect === "PreferNoSchedule");
  const relevant = (pod.spec.tolerations ?? []).filter(
    ({ effect = "" }) => effect === "" || effect === "PreferNoSchedule",
  );
  return soft.filter((taint) => !relevant.some((t) => tolerates(t, taint))).length;
}
