/** The sets of values that a policy's expressions are evaluated with: one for each parameter. */
import type {
  MatchCondition,
  ParamKind,
  ParamRef,
  Variable,
} from "../../gen/admissionregistration-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { Turn } from "../../lib/turns.ts";
import type { Budget } from "../../schema/cel/policy/budget.ts";
import type { PolicyExpressions } from "../../schema/cel/policy/expressions.ts";
import { celOfJson } from "../../schema/cel/values.ts";
import type { AdmissionContext } from "../admission-plugin.ts";
import type { Shown } from "../webhooks/shown.ts";
import { paramsOf } from "./params.ts";

export interface PolicySpec {
  readonly paramKind?: DeepReadonly<ParamKind> | undefined;
  readonly matchConditions?: readonly DeepReadonly<MatchCondition>[] | undefined;
  readonly variables?: readonly DeepReadonly<Variable>[] | undefined;
}

/** One evaluation of a policy. */
export interface Evaluation {
  readonly bindings: Readonly<Record<string, unknown>>;
  readonly expressions: PolicyExpressions;
  /** What its expressions may cost together. */
  readonly budget: Budget;
}

const compiled = new WeakMap<PolicySpec, Promise<PolicyExpressions>>();

/** The expressions of a policy; compiled once for each of its versions. */
function expressionsOf(spec: PolicySpec): Promise<PolicyExpressions> {
  let made = compiled.get(spec);
  if (made === undefined) {
    // CEL is only loaded where somebody uses it.
    made = import("../../schema/cel/policy/expressions.ts").then(
      ({ PolicyExpressions: Expressions }) =>
        new Expressions({ hasParams: spec.paramKind !== undefined }, spec.variables),
    );
    compiled.set(spec, made);
  }
  return made;
}

/**
 * Yields the values under which the policy's conditions hold.
 *
 * @throws ConfigurationError when a parameter cannot be had.
 * @throws Error when a condition cannot be evaluated.
 */
export async function* evaluations(
  spec: PolicySpec,
  paramRef: DeepReadonly<ParamRef> | undefined,
  request: Shown,
  context: AdmissionContext,
): AsyncGenerator<Evaluation> {
  const params = await paramsOf(spec.paramKind, paramRef, context);
  const cel = await import("../cel/admission-cel.ts");
  const { Budget: CelBudget } = await import("../../schema/cel/policy/budget.ts");
  const expressions = await expressionsOf(spec);
  const base = {
    ...cel.requestBindings(request, request.definition, context),
    namespaceObject: await cel.namespaceBinding(context),
  };
  const turn = new Turn(context.runtime.clock);
  for (const param of params) {
    const given = { ...base, params: celOfJson(param) };
    const conditions = spec.matchConditions ?? [];
    const outcome = await cel.matchConditions(expressions, conditions, given, turn);
    if (outcome.type === "error") throw outcome.error;
    if (outcome.type !== "match") continue;
    const budget = new CelBudget(turn);
    yield { bindings: expressions.bind(given, budget), expressions, budget };
  }
}
