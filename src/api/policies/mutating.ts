/** MutatingAdmissionPolicy: changes objects by expressions (KEP-3962). */
import {
  mutatingAdmissionPolicies,
  mutatingAdmissionPolicyBindings,
} from "../../client/resources.ts";
import type {
  MutatingAdmissionPolicy,
  MutatingAdmissionPolicyBinding,
  Mutation,
} from "../../gen/admissionregistration-v1.ts";
import { ApiError } from "../../lib/api-error.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { celOfJson, jsonOfCel } from "../../schema/cel/values.ts";
import { copyJson, replaceMembers } from "../../schema/copy.ts";
import type { KubeObject } from "../../schema/object.ts";
import { sameJson } from "../../schema/same-json.ts";
import { everyOf } from "../admission/look-up.ts";
import type { AdmissionContext, AdmissionPlugin } from "../admission-plugin.ts";
import { refused } from "../errors.ts";
import { applyJsonPatch } from "../json-patch.ts";
import { converted, shown } from "../webhooks/shown.ts";
import { evaluations } from "./evaluations.ts";
import { isPolicy, matchResources } from "./match.ts";

type Policy = DeepReadonly<MutatingAdmissionPolicy>;
type Binding = DeepReadonly<MutatingAdmissionPolicyBinding>;

export const mutatingPolicies: AdmissionPlugin = {
  name: "MutatingAdmissionPolicy",
  async mutate(object, context) {
    const { definition, live, verb, reinvocation } = context;
    if (verb === "DELETE" || verb === "CONNECT" || isPolicy(definition)) return;
    const bindings = await everyOf(live, mutatingAdmissionPolicyBindings);
    if (bindings.length === 0) return;
    for (const policy of await everyOf(live, mutatingAdmissionPolicies)) {
      for (const binding of bindings) {
        if (binding.spec.policyName !== policy.metadata.name) continue;
        if (reinvocation.isSecond && policy.spec.reinvocationPolicy !== "IfNeeded") continue;
        const before = copyJson<KubeObject>(object);
        await apply(policy, binding, object, context);
        if (!sameJson(before, object)) reinvocation.isWanted = true;
      }
    }
  },
};

async function apply(
  policy: Policy,
  binding: Binding,
  object: KubeObject,
  context: AdmissionContext,
): Promise<void> {
  const { spec } = policy;
  const definition = await matchResources(spec.matchConstraints, object, context);
  if (definition === undefined) return;
  if ((await matchResources(binding.spec.matchResources, object, context)) === undefined) return;
  const request = shown(object, context, definition);
  try {
    for await (const bindings of evaluations(spec, binding.spec.paramRef, request, context)) {
      let current = copyJson<KubeObject>(request.object as KubeObject);
      for (const mutation of spec.mutations ?? []) {
        current = await mutated(mutation, current, bindings, context);
      }
      const next = converted(current, definition, context.definition);
      replaceMembers(object, copyJson<KubeObject>(next));
      context.normalize(object);
    }
  } catch (error) {
    if (spec.failurePolicy === "Ignore") return;
    throw denied(policy, binding, error, context);
  }
}

async function mutated(
  { patchType, applyConfiguration, jsonPatch }: DeepReadonly<Mutation>,
  object: KubeObject,
  bindings: Readonly<Record<string, unknown>>,
  context: AdmissionContext,
): Promise<KubeObject> {
  const { policyEnvironment } = await import("../cel/admission-cel.ts");
  const isPatch = patchType === "JSONPatch";
  const expression = (isPatch ? jsonPatch : applyConfiguration)?.expression ?? "";
  const program = policyEnvironment.compile(expression);
  // Each mutation sees what those before it did.
  const result = jsonOfCel(await program.evaluate({ ...bindings, object: celOfJson(object) }));
  if (isPatch) {
    if (!Array.isArray(result)) throw new Error("expression must evaluate to a list of JSONPatch");
    return applyJsonPatch(result, object) as KubeObject;
  }
  if (typeof result !== "object" || result === null) {
    throw new Error("expression must evaluate to an Object");
  }
  return context.merge(object, result) as KubeObject;
}

function denied(policy: Policy, binding: Binding, error: unknown, context: AdmissionContext) {
  const [own, by] = [policy.metadata.name, binding.metadata.name];
  const why = error instanceof Error ? error.message : String(error);
  const text = `policy '${own}' with binding '${by}' denied request: ${why}`;
  const { message, details } = refused(context.definition, context.name, text);
  return new ApiError("Invalid", message, {
    details: { ...details, causes: [{ reason: "", message: text }] },
  });
}
