/** The small plugins that fill pods and nodes in: tolerations, priority, the not-ready taint. */
import { priorityClasses } from "../../client/resources.ts";
import type { Node, Pod, Toleration } from "../../gen/core-v1.ts";
import type { PriorityClass } from "../../gen/scheduling-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { AdmissionContext, AdmissionPlugin } from "../admission-plugin.ts";
import { refused } from "../errors.ts";
import { everyOf } from "./look-up.ts";

const evictionSeconds = 300;

function creates(context: AdmissionContext, plural: string): boolean {
  return context.verb === "CREATE" && isAbout(context, plural);
}

function updates(context: AdmissionContext, plural: string): boolean {
  return context.verb === "UPDATE" && isAbout(context, plural);
}

function isAbout({ definition, subresource }: AdmissionContext, plural: string): boolean {
  return subresource === "" && definition.group === "" && definition.plural === plural;
}

/** Pods stay five minutes on a node that is not ready or unreachable, unless they say otherwise. */
export const defaultTolerationSeconds: AdmissionPlugin = {
  name: "DefaultTolerationSeconds",
  async mutate(object, context) {
    if (!creates(context, "pods") && !updates(context, "pods")) return;
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
    if (creates(context, "pods")) await fillPriority(object as Pod, context);
    if (updates(context, "pods")) keepPriority(object as Pod, context.old as DeepReadonly<Pod>);
  },
  async validate(object, context) {
    const { definition, verb, name } = context;
    if (definition.plural !== "priorityclasses" || verb === "DELETE" || verb === "CONNECT") return;
    if (!(object as DeepReadonly<PriorityClass>).globalDefault) return;
    const other = (await everyOf(context.live, priorityClasses)).find(
      (one) => one.globalDefault && one.metadata.name !== name,
    );
    if (other === undefined) return;
    const why =
      `PriorityClass ${other.metadata.name} is already marked as default. ` +
      "Only one default can exist";
    throw refused(definition, name, why);
  },
};

async function fillPriority({ spec }: Pod, context: AdmissionContext): Promise<void> {
  const classes = await everyOf(context.live, priorityClasses);
  const named = spec.priorityClassName;
  const found = named
    ? classes.find(({ metadata }) => metadata.name === named)
    : classes
        .filter((one) => one.globalDefault)
        .toSorted((a, b) => (a.value ?? 0) - (b.value ?? 0))[0];
  const refuse = (why: string): Error => refused(context.definition, context.name, why);
  if (named && found === undefined) throw refuse(`no PriorityClass with name ${named} was found`);
  const value = found?.value ?? 0;
  const computed = (what: unknown): string =>
    `must not be provided in pod spec; priority admission controller computed ${what} from the ` +
    "given PriorityClass name";
  if (spec.priority !== undefined && spec.priority !== value) {
    throw refuse(`the integer value of priority (${spec.priority}) ${computed(value)}`);
  }
  const policy = found?.preemptionPolicy ?? "PreemptLowerPriority";
  if (spec.preemptionPolicy !== undefined && spec.preemptionPolicy !== policy) {
    throw refuse(
      `the string value of PreemptionPolicy (${spec.preemptionPolicy}) ${computed(policy)}`,
    );
  }
  if (found?.metadata.name !== undefined) spec.priorityClassName = found.metadata.name;
  spec.priority = value;
  spec.preemptionPolicy = policy;
}

/** What the server once gave stays when the file that made the pod replaces it. */
function keepPriority({ spec }: Pod, { spec: old }: DeepReadonly<Pod>): void {
  if (old.priority !== undefined) spec.priority ??= old.priority;
  if (old.preemptionPolicy !== undefined) spec.preemptionPolicy ??= old.preemptionPolicy;
}

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
