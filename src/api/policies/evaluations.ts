/** The sets of values that a policy's expressions are evaluated with: one for each parameter. */
import type {
  MatchCondition,
  ParamKind,
  ParamRef,
  Variable,
} from "../../gen/admissionregistration-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { celOfJson } from "../../schema/cel/values.ts";
import type { AdmissionContext } from "../admission-plugin.ts";
import type { Shown } from "../webhooks/shown.ts";
import { paramsOf } from "./params.ts";

export interface PolicySpec {
  readonly paramKind?: DeepReadonly<ParamKind> | undefined;
  readonly matchConditions?: readonly DeepReadonly<MatchCondition>[] | undefined;
  readonly variables?: readonly DeepReadonly<Variable>[] | undefined;
}

/**
 * Yields the values under which the policy's conditions hold.
 *
 * @throws Error when a parameter is missing or a condition cannot be evaluated.
 */
export async function* evaluations(
  spec: PolicySpec,
  paramRef: DeepReadonly<ParamRef> | undefined,
  request: Shown,
  context: AdmissionContext,
): AsyncGenerator<Readonly<Record<string, unknown>>> {
  // CEL is only loaded where somebody uses it.
  const cel = await import("../cel/admission-cel.ts");
  const { withVariables } = await import("./variables.ts");
  const base = {
    ...cel.requestBindings(request, request.definition, context),
    namespaceObject: await cel.namespaceBinding(context),
  };
  for (const params of await paramsOf(spec.paramKind, paramRef, context)) {
    const given = { ...base, params: celOfJson(params) };
    const bindings = await withVariables(spec.variables ?? [], given);
    const conditions = spec.matchConditions ?? [];
    const outcome = await cel.matchConditions(cel.policyEnvironment, conditions, bindings);
    if (outcome.type === "error") throw outcome.error;
    if (outcome.type === "match") yield bindings;
  }
}
