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
import { Turn } from "../../lib/turns.ts";
import { celOfJson, jsonOfCel } from "../../schema/cel/values.ts";
import { copyJson, replaceMembers } from "../../schema/copy.ts";
import type { KubeObject } from "../../schema/object.ts";
import { sameJson } from "../../schema/same-json.ts";
import { everyOf } from "../admission/look-up.ts";
import type { AdmissionContext, AdmissionPlugin } from "../admission-plugin.ts";
import { refused } from "../errors.ts";
import { applyJsonPatch, FailedTest } from "../json-patch.ts";
import { converted, shown } from "../webhooks/shown.ts";
import { type Evaluation, evaluations } from "./evaluations.ts";
import { isPolicy, matchResources } from "./match.ts";
import { ConfigurationError } from "./params.ts";

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
  const request = await shown(object, context, definition);
  try {
    for await (const evaluation of evaluations(spec, binding.spec.paramRef, request, context)) {
      let current = copyJson<KubeObject>(request.object as KubeObject);
      for (const mutation of spec.mutations ?? []) {
        current = await mutated(mutation, current, evaluation, context);
      }
      const next = await converted(current, definition, context.definition);
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
  { bindings, expressions }: Evaluation,
  context: AdmissionContext,
): Promise<KubeObject> {
  const { Budget, evaluate } = await import("../../schema/cel/policy/budget.ts");
  const { misnamedMessages } = await import("../../schema/cel/run/messages.ts");
  const isPatch = patchType === "JSONPatch";
  const expression = (isPatch ? jsonPatch : applyConfiguration)?.expression ?? "";
  const wanted = isPatch ? "list(JSONPatch)" : "Object";
  const scope = { hasAuthorizer: true, hasPatches: true };
  const compile = () => expressions.compile(expression, [wanted], scope);
  // Each mutation sees what those before it did, and may cost as much as one policy.
  const budget = new Budget(new Turn(context.runtime.clock));
  const own = expressions.bind({ ...bindings, object: celOfJson(object) }, budget);
  const value = await evaluate(expression, compile, own, budget);
  const misnamed = misnamedMessages(value);
  if (misnamed.length > 0) throw new Error(`type mismatch: ${misnamed.join("\n")}`);
  const result = jsonOfCel(value);
  if (isPatch) return patched(object, result) as KubeObject;
  try {
    return context.merge(object, result) as KubeObject;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`error applying patch: ${why}`);
  }
}

/** A patch whose own test fails changes nothing. */
function patched(object: KubeObject, patch: unknown): unknown {
  try {
    return applyJsonPatch(patch as readonly unknown[], object);
  } catch (error) {
    if (error instanceof FailedTest) return object;
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`JSON Patch: ${why}`);
  }
}

/** A refusal whose reason tells what was wrong, under the code of a refusal. */
function denied(policy: Policy, binding: Binding, error: unknown, context: AdmissionContext) {
  const [own, by] = [policy.metadata.name, binding.metadata.name];
  const why = error instanceof Error ? error.message : String(error);
  const isOfPolicy = error instanceof ConfigurationError && error.of === "policy";
  const name = isOfPolicy ? JSON.stringify(own) : `'${own}' with binding '${by}'`;
  const text = `policy ${name} denied request: ${why}`;
  const { details } = refused(context.definition, context.name, text);
  const reason = error instanceof ConfigurationError ? "Forbidden" : "Invalid";
  return new ApiError(reason, text, {
    code: 403,
    details: { ...details, causes: [{ reason: "", message: text }] },
  });
}
