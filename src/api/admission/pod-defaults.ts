/** The small plugins that fill pods and nodes in: tolerations, priority, the not-ready taint. */
import { priorityClasses } from "../../client/resources.ts";
import type { Node, Pod, Toleration } from "../../gen/core-v1.ts";
import type { AdmissionContext, AdmissionPlugin } from "../admission-plugin.ts";
import { refused } from "../errors.ts";
import { everyOf } from "./look-up.ts";

const evictionSeconds = 300;

function creates(context: AdmissionContext, plural: string): boolean {
  const { definition, verb, subresource } = context;
  const isMain = verb === "CREATE" && subresource === "";
  return isMain && definition.group === "" && definition.plural === plural;
}

/** Pods stay five minutes on a node that is not ready or unreachable, unless they say otherwise. */
export const defaultTolerationSeconds: AdmissionPlugin = {
  name: "DefaultTolerationSeconds",
  async mutate(object, context) {
    if (!creates(context, "pods")) return;
    const { spec } = object as Pod;
    for (const key of ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]) {
      const tolerations: Toleration[] = spec.tolerations ?? [];
      const has = tolerations.some(
        (one) => (one.key === key || !one.key) && (one.effect === "NoExecute" || !one.effect),
      );
      if (has) continue;
      spec.tolerations = [
        ...tolerations,
        { key, operator: "Exists", effect: "NoExecute", tolerationSeconds: evictionSeconds },
      ];
    }
  },
};

/** Resolves `priorityClassName` to a number, or takes the global default. */
export const priority: AdmissionPlugin = {
  name: "Priority",
  async mutate(object, context) {
    if (!creates(context, "pods")) return;
    const { spec } = object as Pod;
    const classes = await everyOf(context.live, priorityClasses);
    const named = spec.priorityClassName;
    const found = named
      ? classes.find(({ metadata }) => metadata.name === named)
      : classes
          .filter((one) => one.globalDefault)
          .toSorted((a, b) => (a.value ?? 0) - (b.value ?? 0))[0];
    if (named && found === undefined) {
      const why = `no PriorityClass with name ${named} was found`;
      throw refused(context.definition, context.name, why);
    }
    const value = found?.value ?? 0;
    if (spec.priority !== undefined && spec.priority !== value) {
      const why =
        `the integer value of priority (${spec.priority}) must not be provided in pod spec; ` +
        `priority admission controller computed ${value} from the given PriorityClass name`;
      throw refused(context.definition, context.name, why);
    }
    if (found?.metadata.name !== undefined) spec.priorityClassName = found.metadata.name;
    spec.priority = value;
    spec.preemptionPolicy ??= found?.preemptionPolicy ?? "PreemptLowerPriority";
  },
};

/** A new node takes no pods until the node lifecycle controller has seen it Ready. */
export const taintNodesByCondition: AdmissionPlugin = {
  name: "TaintNodesByCondition",
  async mutate(object, context) {
    if (!creates(context, "nodes")) return;
    const { spec } = object as Node;
    const key = "node.kubernetes.io/not-ready";
    if (spec.taints?.some((taint) => taint.key === key && taint.effect === "NoSchedule")) return;
    spec.taints = [...(spec.taints ?? []), { key, effect: "NoSchedule" }];
  },
};
