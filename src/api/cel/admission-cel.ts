/** What expressions about admission requests get to see, and the conditions among them. */
import { namespaces } from "../../client/resources.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { Turn } from "../../lib/turns.ts";
import { celLimits } from "../../schema/cel/environment.ts";
import { Budget, EvaluationError, evaluate, OutOfBudget } from "../../schema/cel/policy/budget.ts";
import { PolicyExpressions } from "../../schema/cel/policy/expressions.ts";
import { celOfJson } from "../../schema/cel/values.ts";
import type { KubeObject } from "../../schema/object.ts";
import { lookUp } from "../admission/look-up.ts";
import type { AdmissionContext } from "../admission-plugin.ts";
import type { ResourceDefinition } from "../resource-definition.ts";
import { requestPart } from "../webhooks/review.ts";
import { authorizerOf } from "./authorizer.ts";

type Shown = DeepReadonly<KubeObject> | null;

/** For `matchConditions` of webhooks. */
export const webhookExpressions = new PolicyExpressions({ hasParams: false });

export interface Expression {
  readonly name: string;
  readonly expression: string;
}

/** The bindings of a request, whose objects stand in the version of `definition`. */
export function requestBindings(
  { object, oldObject }: { readonly object: Shown; readonly oldObject: Shown },
  definition: ResourceDefinition,
  context: AdmissionContext,
): Readonly<Record<string, unknown>> {
  return {
    object: celOfJson(object),
    oldObject: celOfJson(oldObject),
    request: celOfJson(requestPart({ definition, object, oldObject }, context)),
    authorizer: authorizerOf(context),
    namespaceObject: null,
  };
}

/** The namespace of the request for expressions; null for what has none. */
export async function namespaceBinding({
  definition,
  live,
  namespace,
}: AdmissionContext): Promise<unknown> {
  const isNamespace = definition.group === "" && definition.plural === "namespaces";
  if (namespace === "" || isNamespace) return null;
  const found = await lookUp(live, namespaces, "", namespace);
  if (found === undefined) return null;
  const { managedFields: _, ...metadata } = found.metadata;
  return celOfJson({ metadata, spec: found.spec ?? {}, status: found.status ?? {} });
}

export type MatchOutcome =
  | { readonly type: "match" }
  | { readonly type: "no-match" }
  | { readonly type: "error"; readonly error: Error };

/** All conditions must hold; one that is false outweighs others that failed. */
export async function matchConditions(
  expressions: Pick<PolicyExpressions, "compile">,
  conditions: readonly DeepReadonly<Expression>[],
  bindings: Readonly<Record<string, unknown>>,
  turn?: Turn,
): Promise<MatchOutcome> {
  const budget = new Budget(turn, celLimits.conditionsBudget);
  const errors = new Set<string>();
  for (const { expression } of conditions) {
    const compile = () => expressions.compile(expression, ["bool"], { hasAuthorizer: true });
    try {
      const value = await evaluate(expression, compile, bindings, budget);
      if (value !== true) return { type: "no-match" };
    } catch (error) {
      if (error instanceof OutOfBudget) return { type: "error", error };
      if (!(error instanceof EvaluationError)) throw error;
      errors.add(error.message);
    }
  }
  if (errors.size === 0) return { type: "match" };
  const [first = ""] = errors;
  const text = errors.size === 1 ? first : `[${[...errors].join(", ")}]`;
  return { type: "error", error: new EvaluationError(text) };
}
