/** Whether a node is one that a pod's nodeSelector and node affinity ask for. */
import type { NodeSelectorTerm } from "../gen/core-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { labelSelectorOf, matchesLabels } from "../lib/selector.ts";
import type { LivePod } from "./amounts.ts";
import type { LiveNode } from "./node-info.ts";

/** An empty term matches nothing. */
export function matchesTerm(node: LiveNode, term: DeepReadonly<NodeSelectorTerm>): boolean {
  const expressions = term.matchExpressions ?? [];
  const fields = term.matchFields ?? [];
  if (expressions.length === 0 && fields.length === 0) return false;
  const labels = labelSelectorOf({ matchExpressions: expressions });
  if (!matchesLabels(labels, node.metadata.labels)) return false;
  const fieldSelector = labelSelectorOf({ matchExpressions: fields });
  return matchesLabels(fieldSelector, { "metadata.name": node.metadata.name ?? "" });
}

/** Terms are alternatives. */
export function matchesTerms(
  node: LiveNode,
  terms: readonly DeepReadonly<NodeSelectorTerm>[],
): boolean {
  return terms.some((term) => matchesTerm(node, term));
}

export function matchesRequiredAffinity(pod: LivePod, node: LiveNode): boolean {
  const labels = node.metadata.labels ?? {};
  const wanted = Object.entries(pod.spec.nodeSelector ?? {});
  if (!wanted.every(([key, value]) => labels[key] === value)) return false;
  const required = pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return required === undefined || matchesTerms(node, required.nodeSelectorTerms);
}
