/** Checks the CEL expressions of webhooks and admission policies when these are written. */

import type { FieldError } from "../api/resource-definition.ts";
import type {
  AuditAnnotation,
  MatchCondition,
  Mutation,
  ParamKind,
  Validation,
  Variable,
} from "../gen/admissionregistration-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { labelKeyErrors } from "../lib/names.ts";
import type { PolicyExpressions } from "../schema/cel/policy/expressions.ts";
import { duplicate, invalid, invalids, notSupported, oneOf, required } from "./field-errors.ts";

const limits = { matchConditionsMax: 64, auditAnnotationsMax: 20, annotationBytesMax: 5 * 1024 };
const reasons = ["Forbidden", "Invalid", "RequestEntityTooLarge"];
const reserved: ReadonlySet<string> = new Set(
  (
    "true false null in as break const continue else for function if import let loop package " +
    "namespace return var void while"
  ).split(" "),
);

/** Loaded when the first expression is written: most clusters never hold one. */
function compiler(): typeof import("../schema/cel/policy/expressions.ts") {
  return require("../schema/cel/policy/expressions.ts");
}

const withAuthorizer = { hasAuthorizer: true };
type Scope = Parameters<PolicyExpressions["compile"]>[2];

function faults(
  expressions: PolicyExpressions,
  field: string,
  expression: string,
  wanted: readonly string[],
  scope: Scope = withAuthorizer,
): FieldError[] {
  try {
    expressions.compile(expression, wanted, scope);
    return [];
  } catch (error) {
    return [invalid(field, expression, error instanceof Error ? error.message : String(error))];
  }
}

function conditionFaults(
  expressions: PolicyExpressions,
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
    const text = expression?.trim() ?? "";
    if (text === "") errors.push(required(`${field}.expression`));
    else errors.push(...faults(expressions, `${field}.expression`, text, ["bool"]));
    if (!name) errors.push(required(`${field}.name`));
    else {
      errors.push(...invalids(`${field}.name`, name, labelKeyErrors(name)));
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
  const expressions = new (compiler().PolicyExpressions)({ hasParams: false });
  return conditionFaults(expressions, `${at}.matchConditions`, conditions);
}

/** What the expressions of both kinds of policy share. */
interface PolicySpec {
  readonly paramKind?: DeepReadonly<ParamKind> | undefined;
  readonly matchConditions?: readonly DeepReadonly<MatchCondition>[] | undefined;
  readonly variables?: readonly DeepReadonly<Variable>[] | undefined;
  readonly validations?: readonly DeepReadonly<Validation>[] | undefined;
  readonly auditAnnotations?: readonly DeepReadonly<AuditAnnotation>[] | undefined;
  readonly mutations?: readonly DeepReadonly<Mutation>[] | undefined;
}

/** Of all expressions of a policy that is called `name`. */
export function policyExpressionErrors(name: string, spec: PolicySpec): FieldError[] {
  const { variables = [], matchConditions = [] } = spec;
  const { PolicyExpressions: Expressions } = compiler();
  const hasParams = spec.paramKind !== undefined;
  const expressions = new Expressions({ hasParams }, variables);
  return [
    // Conditions are about whether variables are needed at all.
    ...conditionFaults(new Expressions({ hasParams }), "spec.matchConditions", matchConditions),
    ...variableErrors(variables, expressions),
    ...validationErrors(spec.validations ?? [], expressions),
    ...annotationErrors(name, spec.auditAnnotations ?? [], expressions),
    ...mutationErrors(spec.mutations ?? [], expressions),
  ];
}

function variableErrors(
  variables: readonly DeepReadonly<Variable>[],
  expressions: PolicyExpressions,
): FieldError[] {
  return variables.flatMap(({ name, expression }, index) => {
    const at = `spec.variables[${index}]`;
    const errors: FieldError[] = [];
    if (!name?.trim()) errors.push(required(`${at}.name`, "name is not specified"));
    else if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name) || reserved.has(name)) {
      errors.push(invalid(`${at}.name`, name, "must be a valid CEL identifier"));
    }
    if (!expression?.trim()) {
      return [...errors, required(`${at}.expression`, "expression is not specified")];
    }
    return [...errors, ...faults(expressions, `${at}.expression`, expression, [])];
  });
}

function hasLineBreak(text: string): boolean {
  return /[\r\n]/.test(text);
}

function validationErrors(
  validations: readonly DeepReadonly<Validation>[],
  expressions: PolicyExpressions,
): FieldError[] {
  return validations.flatMap(({ expression, message = "", messageExpression = "", reason }, i) => {
    const at = `spec.validations[${i}]`;
    const errors: FieldError[] = [];
    if (!expression?.trim()) {
      errors.push(required(`${at}.expression`, "expression is not specified"));
    } else errors.push(...faults(expressions, `${at}.expression`, expression, ["bool"]));
    const messageAt = `${at}.messageExpression`;
    if (messageExpression.trim() !== "") {
      const scope = { hasAuthorizer: false };
      errors.push(...faults(expressions, messageAt, messageExpression, ["string"], scope));
    } else if (messageExpression !== "") {
      errors.push(invalid(messageAt, messageExpression, "must be non-empty if specified"));
    }
    if (message !== "" && message.trim() === "") {
      errors.push(invalid(`${at}.message`, message, "must be non-empty if specified"));
    } else if (hasLineBreak(message.trim())) {
      errors.push(invalid(`${at}.message`, message, "must not contain line breaks"));
    }
    if (reason !== undefined && !reasons.includes(reason)) {
      errors.push(notSupported(`${at}.reason`, reason, reasons));
    }
    return errors;
  });
}

function annotationErrors(
  policy: string,
  annotations: readonly DeepReadonly<AuditAnnotation>[],
  expressions: PolicyExpressions,
): FieldError[] {
  const errors: FieldError[] = [];
  const keys = new Set<string>();
  if (annotations.length > limits.auditAnnotationsMax) {
    const detail = `must not have more than ${limits.auditAnnotationsMax} auditAnnotations`;
    errors.push(invalid("spec.auditAnnotations", annotations, detail));
  }
  annotations.forEach(({ key = "", valueExpression = "" }, index) => {
    const at = `spec.auditAnnotations[${index}]`;
    const text = valueExpression.trim();
    const field = `${at}.valueExpression`;
    errors.push(...invalids(`${at}.key`, `${policy}/${key}`, labelKeyErrors(`${policy}/${key}`)));
    if (text === "") errors.push(required(field, "valueExpression is not specified"));
    else if (Buffer.byteLength(text) > limits.annotationBytesMax) {
      errors.push(required(field, `must not exceed ${limits.annotationBytesMax} bytes in length`));
    } else errors.push(...faults(expressions, field, text, ["string", "null"]));
    if (keys.has(key)) errors.push(duplicate(`${at}.key`, key));
    keys.add(key);
  });
  return errors;
}

const patchScope = { hasAuthorizer: true, hasPatches: true };

function mutationErrors(
  mutations: readonly DeepReadonly<Mutation>[],
  expressions: PolicyExpressions,
): FieldError[] {
  return mutations.flatMap((mutation, index) => {
    const at = `spec.mutations[${index}]`;
    const { patchType } = mutation;
    if (!patchType) return [required(`${at}.patchType`)];
    if (patchType !== "ApplyConfiguration" && patchType !== "JSONPatch") {
      return oneOf(`${at}.patchType`, patchType, ["ApplyConfiguration", "JSONPatch"]);
    }
    const isPatch = patchType === "JSONPatch";
    const [own, other] = isPatch
      ? (["jsonPatch", "applyConfiguration"] as const)
      : (["applyConfiguration", "jsonPatch"] as const);
    const when = `when patchType is ${patchType}`;
    const errors: FieldError[] = [];
    const expression = mutation[own]?.expression?.trim();
    if (mutation[own] === undefined) {
      errors.push(required(`${at}.${own}`, `must be specified ${when}`));
    } else if (!expression) errors.push(required(`${at}.${own}.expression`));
    else {
      const wanted = [isPatch ? "list(JSONPatch)" : "Object"];
      const field = `${at}.${own}.expression`;
      errors.push(...faults(expressions, field, expression, wanted, patchScope));
    }
    if (mutation[other] !== undefined) {
      errors.push(invalid(`${at}.${other}`, `{${other}}`, `must not be specified ${when}`));
    }
    return errors;
  });
}
