/** ValidatingAdmissionPolicy: refuses, warns or notes by expressions (KEP-3488). */
import {
  validatingAdmissionPolicies,
  validatingAdmissionPolicyBindings,
} from "../../client/resources.ts";
import type {
  ValidatingAdmissionPolicy,
  ValidatingAdmissionPolicyBinding,
  Validation,
} from "../../gen/admissionregistration-v1.ts";
import { ApiError } from "../../lib/api-error.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { KubeObject } from "../../schema/object.ts";
import { everyOf } from "../admission/look-up.ts";
import type { CheckError } from "../admission-metrics.ts";
import type { AdmissionContext, AdmissionPlugin } from "../admission-plugin.ts";
import { refused } from "../errors.ts";
import { type Shown, shown } from "../webhooks/shown.ts";
import { noteFailure, PolicyNotes } from "./audit.ts";
import { type Evaluation, evaluations } from "./evaluations.ts";
import { isPolicy, matchResources } from "./match.ts";
import { ConfigurationError } from "./params.ts";

type Policy = DeepReadonly<ValidatingAdmissionPolicy>;
type Binding = DeepReadonly<ValidatingAdmissionPolicyBinding>;
type Seen = DeepReadonly<KubeObject>;

interface Refusal {
  readonly policy: string;
  readonly binding: string;
  readonly message: string;
  readonly reason: string;
}

const limits = { messageBytesMax: 5 * 1024 } as const;

const codes: Readonly<Record<string, number>> = {
  Unauthorized: 401,
  Forbidden: 403,
  RequestEntityTooLarge: 413,
  Invalid: 422,
};

export const validatingPolicies: AdmissionPlugin = {
  name: "ValidatingAdmissionPolicy",
  async validate(object, context) {
    const bindings = await everyOf(context.live, validatingAdmissionPolicyBindings);
    if (bindings.length === 0 || isPolicy(context.definition)) return;
    const policies = await everyOf(context.live, validatingAdmissionPolicies);
    const refusals: Refusal[] = [];
    for (const policy of policies) {
      const own = bindings.filter(({ spec }) => spec.policyName === policy.metadata.name);
      if (own.length === 0) continue;
      const found = await judge(policy, own, object, context);
      refusals.push(...found.filter(({ isDenied }) => isDenied).map(({ refusal }) => refusal));
    }
    const [first] = refusals;
    if (first !== undefined) throw denied(first, context);
  },
};

function denied({ policy, binding, message, reason }: Refusal, context: AdmissionContext) {
  const { definition, name } = context;
  const by = `ValidatingAdmissionPolicy '${policy}' with binding '${binding}'`;
  const why = `${by} denied request: ${message}`;
  const { message: text, details } = refused(definition, name, why);
  return new ApiError(reason as ApiError["reason"], text, {
    code: codes[reason] ?? 422,
    details: { ...details, causes: [{ reason: "", message: why }] },
  });
}

interface Found {
  readonly isDenied: boolean;
  readonly refusal: Refusal;
}

/** Every failed validation of one policy under its bindings; warnings are sent on the way. */
async function judge(
  policy: Policy,
  bindings: readonly Binding[],
  object: Seen,
  context: AdmissionContext,
): Promise<readonly Found[]> {
  const { spec } = policy;
  const failsClosed = spec.failurePolicy !== "Ignore";
  const found: Found[] = [];
  const notes = new PolicyNotes();
  const definition = await matchResources(spec.matchConstraints, object, context);
  if (definition === undefined) return found;
  for (const binding of bindings) {
    if ((await matchResources(binding.spec.matchResources, object, context)) === undefined)
      continue;
    const names = { policy: policy.metadata.name ?? "", binding: binding.metadata.name ?? "" };
    const request = await shown(object, context, definition);
    const failures = await evaluate(policy, binding, request, { context, notes, names }).catch(
      (error: unknown) => (failsClosed ? [broken(error)] : []),
    );
    for (const failure of failures) {
      const refusal = { ...names, ...failure };
      const actions = failure.isSure ? ["Deny"] : (binding.spec.validationActions ?? []);
      count(context, names, actions, failure);
      if (failure.isSure) {
        found.push({ isDenied: true, refusal });
        continue;
      }
      if (actions.includes("Warn")) context.warn(warning(refusal));
      if (actions.includes("Audit")) noteFailure(binding, failure, context);
      found.push({ isDenied: actions.includes("Deny"), refusal });
    }
  }
  notes.publish(policy.metadata.name ?? "", context);
  return found;
}

function warning({ policy, binding, message }: Refusal): string {
  const by = `ValidatingAdmissionPolicy '${policy}' with binding '${binding}'`;
  return `Validation failed for ${by}: ${message}`;
}

interface Names {
  readonly policy: string;
  readonly binding: string;
}

const actionNames = { Deny: "deny", Audit: "audit", Warn: "warn" } as const;

/** What came of a check, once for each action. */
function count(
  { metrics }: AdmissionContext,
  names: Names,
  actions: readonly string[],
  { error = "no_error", seconds = 0 }: Pick<Failure, "error" | "seconds">,
): void {
  for (const action of Object.keys(actionNames) as (keyof typeof actionNames)[])
    if (actions.includes(action))
      metrics?.checked({ ...names, action: actionNames[action], error }, seconds);
}

interface Failure extends Pick<Refusal, "message" | "reason"> {
  readonly error?: CheckError;
  readonly seconds?: number;
  readonly expressionIndex: number;
  /** Refused whatever the actions: nothing was evaluated, or the record lacks something. */
  readonly isSure?: boolean;
}

/** What could not be evaluated. */
function broken(error: unknown): Failure {
  const message = error instanceof Error ? error.message : String(error);
  const isSure = error instanceof ConfigurationError;
  const isSpent = error instanceof Error && error.name === "OutOfBudget";
  const kind = isSpent ? "out_of_budget" : "invalid_error";
  return { message, reason: "Invalid", expressionIndex: 0, isSure, error: kind };
}

interface EvaluationParts {
  readonly context: AdmissionContext;
  readonly notes: PolicyNotes;
  readonly names: Names;
}

async function evaluate(
  { spec }: Policy,
  binding: Binding,
  request: Shown,
  { context, notes, names }: EvaluationParts,
): Promise<readonly Failure[]> {
  const { clock } = context.runtime;
  const failsClosed = spec.failurePolicy !== "Ignore";
  const failures: Failure[] = [];
  for await (const evaluation of evaluations(spec, binding.spec.paramRef, request, context)) {
    for (const [expressionIndex, validation] of (spec.validations ?? []).entries()) {
      const begunMs = clock.monotonicMs();
      const failure = await validate(validation, evaluation);
      if (failure === undefined) continue;
      const seconds = (clock.monotonicMs() - begunMs) / 1000;
      const { error } = failure;
      if (failsClosed || error === "no_error")
        failures.push({ ...failure, expressionIndex, seconds });
      else context.metrics?.checked({ ...names, action: "allow", error }, seconds);
    }
    try {
      await notes.take(spec.auditAnnotations ?? [], evaluation);
    } catch (error) {
      if (failsClosed) failures.push({ ...broken(error), isSure: true });
    }
  }
  return failures;
}

/**
 * Undefined for what is valid.
 *
 * @throws OutOfBudget once the expressions have cost too much together.
 */
async function validate(
  validation: DeepReadonly<Validation>,
  { bindings, budget, expressions }: Evaluation,
): Promise<(Pick<Failure, "message" | "reason"> & { readonly error: CheckError }) | undefined> {
  const cel = await import("../../schema/cel/policy/budget.ts");
  const { expression, message } = validation;
  const compile = () => expressions.compile(expression, ["bool"], { hasAuthorizer: true });
  try {
    if ((await cel.evaluate(expression, compile, bindings, budget)) === true) return undefined;
  } catch (error) {
    if (!(error instanceof cel.EvaluationError)) throw error;
    const { message: why } = error;
    const isUncompiled = why.startsWith("compilation error");
    return {
      message: why,
      reason: "Invalid",
      error: isUncompiled ? "compile_error" : "invalid_error",
    };
  }
  const made = await madeMessage(validation.messageExpression, {
    bindings,
    budget,
    expressions,
  });
  return {
    message: made ?? (message?.trim() || `failed expression: ${expression.trim()}`),
    reason: validation.reason || "Invalid",
    error: "no_error",
  };
}

/** Undefined when there is no expression, or it makes nothing that fits on a line. */
async function madeMessage(
  expression: string | undefined,
  { bindings, budget, expressions }: Evaluation,
): Promise<string | undefined> {
  if (!expression) return undefined;
  const cel = await import("../../schema/cel/policy/budget.ts");
  const compile = () => expressions.compile(expression, ["string"], { hasAuthorizer: false });
  try {
    const text = String(await cel.evaluate(expression, compile, bindings, budget)).trim();
    const isFitting = Buffer.byteLength(text) <= limits.messageBytesMax && !text.includes("\n");
    return isFitting && text !== "" ? text : undefined;
  } catch (error) {
    if (error instanceof cel.EvaluationError) return undefined;
    if (!(error instanceof cel.OutOfBudget)) throw error;
    throw new Error(`failed messageExpression: ${error.message}`);
  }
}
