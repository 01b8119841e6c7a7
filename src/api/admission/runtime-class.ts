/** RuntimeClass: a pod pays its runtime's overhead and goes where that runtime is. */
import { runtimeClasses } from "../../client/resources.ts";
import type { Pod } from "../../gen/core-v1.ts";
import type { Scheduling } from "../../gen/node-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { semanticEqual } from "../../lib/semantic-equal.ts";
import { copyJson } from "../../schema/copy.ts";
import type { AdmissionPlugin } from "../admission-plugin.ts";
import { refused } from "../errors.ts";
import { lookUp } from "./look-up.ts";

export const runtimeClass: AdmissionPlugin = {
  name: "RuntimeClass",
  async mutate(object, context) {
    const { definition, verb, subresource } = context;
    if (definition.group !== "" || definition.plural !== "pods") return;
    if (verb !== "CREATE" || subresource !== "") return;
    const { spec } = object as Pod;
    const refuse = (why: string): Error =>
      refused(definition, context.name, `pod rejected: ${why}`);
    const name = spec.runtimeClassName;
    const found = name ? await lookUp(context.live, runtimeClasses, "", name) : undefined;
    if (name && found === undefined) throw refuse(`RuntimeClass "${name}" not found`);
    const fixed = found?.overhead?.podFixed;
    if (spec.overhead !== undefined && !semanticEqual(spec.overhead, fixed)) {
      throw refuse(
        fixed === undefined
          ? "Pod Overhead set without corresponding RuntimeClass defined Overhead"
          : "Pod's Overhead doesn't match RuntimeClass's defined Overhead",
      );
    }
    if (fixed !== undefined) spec.overhead = { ...fixed };
    const conflict = schedule(object as Pod, found?.scheduling);
    if (conflict !== undefined) throw refused(definition, context.name, conflict);
  },
};

/** Answers the conflict between what pod and class say, if there is one. */
function schedule(
  { spec }: Pod,
  scheduling: DeepReadonly<Scheduling> | undefined,
): string | undefined {
  if (scheduling === undefined) return undefined;
  const { nodeSelector = {}, tolerations = [] } = scheduling;
  for (const [key, value] of Object.entries(nodeSelector)) {
    const own = spec.nodeSelector?.[key];
    if (own === undefined || own === value) continue;
    return (
      `conflict: runtimeClass.scheduling.nodeSelector[${key}] = ${value}; ` +
      `pod.spec.nodeSelector[${key}] = ${own}`
    );
  }
  if (Object.keys(nodeSelector).length > 0) {
    spec.nodeSelector = { ...spec.nodeSelector, ...nodeSelector };
  }
  const present = spec.tolerations ?? [];
  const missing = tolerations.filter((one) => !present.some((own) => semanticEqual(own, one)));
  if (missing.length > 0) spec.tolerations = [...present, ...missing.map((one) => copyJson(one))];
  return undefined;
}
