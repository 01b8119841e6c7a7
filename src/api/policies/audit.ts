/** What validating policies note in the record of a request. */
import type {
  AuditAnnotation,
  ValidatingAdmissionPolicyBinding,
} from "../../gen/admissionregistration-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { AdmissionContext } from "../admission-plugin.ts";
import type { policyEnvironment } from "../cel/admission-cel.ts";

const limits = { valueLengthMax: 10 * 1024 } as const;

type Annotated = DeepReadonly<AuditAnnotation>;
type Binding = DeepReadonly<ValidatingAdmissionPolicyBinding>;
type Environment = typeof policyEnvironment;

/** The `auditAnnotations` of one policy; several bindings may each give a key other values. */
export class PolicyNotes {
  readonly #values = new Map<string, Set<string>>();

  /**
   * Evaluates under one parameter.
   *
   * @throws Error when an expression fails, which counts by the failure policy.
   */
  async take(
    annotations: readonly Annotated[],
    bindings: Readonly<Record<string, unknown>>,
    environment: Environment,
  ): Promise<void> {
    for (const { key, valueExpression } of annotations) {
      const value = await textOf(valueExpression, bindings, environment);
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

async function textOf(
  expression: string,
  bindings: Readonly<Record<string, unknown>>,
  environment: Environment,
): Promise<string> {
  let value: unknown;
  try {
    value = await environment.compile(expression).evaluate(bindings);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`expression '${expression}' resulted in error: ${why}`);
  }
  if (value === null) return "";
  if (typeof value === "string") return value.trim();
  throw new Error(`valueExpression '${expression}' resulted in unsupported return type`);
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
