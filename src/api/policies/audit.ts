/** What validating policies note in the record of a request. */
import type {
  AuditAnnotation,
  ValidatingAdmissionPolicyBinding,
} from "../../gen/admissionregistration-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { AdmissionContext } from "../admission-plugin.ts";
import type { Evaluation } from "./evaluations.ts";

const limits = { valueLengthMax: 10 * 1024 } as const;

type Annotated = DeepReadonly<AuditAnnotation>;
type Binding = DeepReadonly<ValidatingAdmissionPolicyBinding>;

/** The `auditAnnotations` of one policy; several bindings may each give a key other values. */
export class PolicyNotes {
  readonly #values = new Map<string, Set<string>>();

  /**
   * Evaluates under one parameter.
   *
   * @throws Error when an expression fails, which counts by the failure policy.
   */
  async take(annotations: readonly Annotated[], evaluation: Evaluation): Promise<void> {
    for (const { key, valueExpression } of annotations) {
      const value = await textOf(valueExpression, evaluation);
      if (value === "") continue;
      const values = this.#values.get(key) ?? new Set();
      this.#values.set(key, values.add(value.slice(0, limits.valueLengthMax)));
    }
  }

  publish(policyName: string, context: AdmissionContext): void {
    for (const [key, values] of this.#values) {
      context.annotate(`${policyName}/${key}`, [...values].join(", "));
    }
  }
}

async function textOf(expression: string, evaluation: Evaluation): Promise<string> {
  const { evaluate } = await import("../../schema/cel/policy/budget.ts");
  const { bindings, budget, expressions } = evaluation;
  const scope = { hasAuthorizer: true };
  const compile = () => expressions.compile(expression, ["string", "null"], scope);
  const value = await evaluate(expression, compile, bindings, budget);
  return typeof value === "string" ? value.trim() : "";
}

/** A validation that failed under a binding with the action Audit. */
export function noteFailure(
  binding: Binding,
  failure: { readonly message: string; readonly expressionIndex: number },
  context: AdmissionContext,
): void {
  const { policyName, validationActions } = binding.spec;
  const value = {
    message: failure.message,
    policy: policyName,
    binding: binding.metadata.name,
    expressionIndex: failure.expressionIndex,
    validationActions,
  };
  const key = "validation.policy.admission.k8s.io/validation_failure";
  context.annotate(key, JSON.stringify([value]));
}
