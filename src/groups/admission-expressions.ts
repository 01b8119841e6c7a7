/** Checks the CEL expressions of webhooks and admission policies when these are written. */

import type { FieldError } from "../api/resource-definition.ts";
import type {
  MatchCondition,
  Mutation,
  ValidatingAdmissionPolicySpec,
  Variable,
} from "../gen/admissionregistration-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { labelKeyErrors } from "../lib/names.ts";
import type { CelEnvironment, CelResult } from "../schema/cel/environment.ts";
import { duplicate, invalid, oneOf, required } from "./field-errors.ts";

const limits = { matchConditionsMax: 64 } as const;

/** Loaded when the first expression is written: most clusters never hold one. */
function environments(): typeof import("../api/cel/admission-cel.ts") {
  return require("../api/cel/admission-cel.ts");
}

function faults(
  environment: CelEnvironment,
  field: string,
  expression: string | undefined,
  wanted: CelResult,
): FieldError[] {
  if (!expression?.trim()) return [required(field, "expression is not specified")];
  try {
    environment.compile(expression, wanted);
    return [];
  } catch (error) {
    return [invalid(field, expression, error instanceof Error ? error.message : String(error))];
  }
}

function conditionFaults(
  environment: CelEnvironment,
  at: string,
  conditions: readonly DeepReadonly<MatchCondition>[],
): FieldError[] {
  const errors: FieldError[] = [];
  const names = new Set<string>();
  if (conditions.length > limits.matchConditionsMax) {
    const most = limits.matchConditionsMax;
    const detail = `must have at most ${most} items`;
    errors.push({ type: "FieldValueTooMany", field: at, value: conditions.length, detail });
  }
  conditions.forEach(({ name, expression }, index) => {
    const field = `${at}[${index}]`;
    errors.push(...faults(environment, `${field}.expression`, expression, "bool"));
    if (!name) errors.push(required(`${field}.name`));
    else {
      const wrong = labelKeyErrors(name);
      errors.push(...wrong.map((detail) => invalid(`${field}.name`, name, detail)));
      if (names.has(name)) errors.push(duplicate(`${field}.name`, name));
      names.add(name);
    }
  });
  return errors;
}

/** Of `webhooks[i].matchConditions`. */
export function webhookConditionErrors(
  at: string,
  conditions: readonly DeepReadonly<MatchCondition>[] = [],
): FieldError[] {
  if (conditions.length === 0) return [];
  return conditionFaults(environments().webhookEnvironment, `${at}.matchConditions`, conditions);
}

/** Of the conditions and variables that both kinds of policy have. */
export function policyExpressionErrors(spec: {
  readonly matchConditions?: readonly DeepReadonly<MatchCondition>[] | undefined;
  readonly variables?: readonly DeepReadonly<Variable>[] | undefined;
}): FieldError[] {
  const { policyEnvironment } = environments();
  const errors = conditionFaults(
    policyEnvironment,
    "spec.matchConditions",
    spec.matchConditions ?? [],
  );
  const names = new Set<string>();
  (spec.variables ?? []).forEach(({ name, expression }, index) => {
    const at = `spec.variables[${index}]`;
    if (!name) errors.push(required(`${at}.name`, "name is not specified"));
    else if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
      errors.push(invalid(`${at}.name`, name, "name is not a valid CEL identifier"));
    } else if (names.has(name)) errors.push(duplicate(`${at}.name`, name));
    names.add(name);
    errors.push(...faults(policyEnvironment, `${at}.expression`, expression, "any"));
  });
  return errors;
}

/** Of the mutations of a MutatingAdmissionPolicy. */
export function mutationErrors(mutations: readonly DeepReadonly<Mutation>[] = []): FieldError[] {
  const { policyEnvironment } = environments();
  return mutations.flatMap(({ patchType, applyConfiguration, jsonPatch }, index) => {
    const at = `spec.mutations[${index}]`;
    if (patchType === "ApplyConfiguration") {
      const field = `${at}.applyConfiguration.expression`;
      return faults(policyEnvironment, field, applyConfiguration?.expression, "map");
    }
    if (patchType === "JSONPatch") {
      const field = `${at}.jsonPatch.expression`;
      return faults(policyEnvironment, field, jsonPatch?.expression, "list");
    }
    return oneOf(`${at}.patchType`, patchType, ["ApplyConfiguration", "JSONPatch"]);
  });
}

/** Of the validations and audit annotations of a ValidatingAdmissionPolicy. */
export function validationErrors({
  validations = [],
  auditAnnotations = [],
}: DeepReadonly<ValidatingAdmissionPolicySpec>): FieldError[] {
  const { policyEnvironment } = environments();
  const errors: FieldError[] = [];
  validations.forEach(({ expression, message, messageExpression }, index) => {
    const at = `spec.validations[${index}]`;
    errors.push(...faults(policyEnvironment, `${at}.expression`, expression, "bool"));
    if (message?.includes("\n")) {
      errors.push(invalid(`${at}.message`, message, "message must not contain line breaks"));
    } else if (expression?.includes("\n") && !message?.trim()) {
      const detail = "message must be specified if expression contains line breaks";
      errors.push(required(`${at}.message`, detail));
    }
    if (messageExpression !== undefined && messageExpression !== "") {
      const field = `${at}.messageExpression`;
      errors.push(...faults(policyEnvironment, field, messageExpression, "string"));
    }
  });
  auditAnnotations.forEach(({ key, valueExpression }, index) => {
    const at = `spec.auditAnnotations[${index}]`;
    if (!key) errors.push(required(`${at}.key`));
    errors.push(...faults(policyEnvironment, `${at}.valueExpression`, valueExpression, "any"));
  });
  return errors;
}
