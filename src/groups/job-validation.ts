/** Rules of the specs of jobs, and of what may change in them. */
import type { FieldError } from "../api/resource-definition.ts";
import type { Job, JobSpec, PodFailurePolicyRule } from "../gen/batch-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { labelErrors, labelKeyErrors } from "../lib/names.ts";
import { semanticEqual } from "../lib/semantic-equal.ts";
import {
  duplicate,
  invalid,
  invalids,
  nonNegative,
  notSupported,
  oneOf,
  required,
  tooLong,
  tooMany,
} from "./field-errors.ts";
import { validateDomainPath } from "./metadata.ts";
import { validateImmutable, validateTemplate } from "./pod-template.ts";

type ReadJob = DeepReadonly<Job>;
type ReadSpec = DeepReadonly<JobSpec>;

const limits = {
  indexedParallelismMax: 100_000,
  failedIndexesMax: 100_000,
  highCompletions: 100_000,
  highParallelismMax: 10_000,
  highFailedIndexesMax: 10_000,
  rulesMax: 20,
  exitCodesMax: 255,
  patternsMax: 20,
  managedByMax: 63,
} as const;

const counts = [
  "parallelism",
  "completions",
  "activeDeadlineSeconds",
  "backoffLimit",
  "ttlSecondsAfterFinished",
  "backoffLimitPerIndex",
  "maxFailedIndexes",
] as const;

/** The errors of `spec` of a job, or of `spec.jobTemplate.spec`. */
export function validateJobSpec(spec: ReadSpec, field: string): FieldError[] {
  const errors = [
    ...counts.flatMap((key) => nonNegative(`${field}.${key}`, spec[key])),
    ...validateManager(spec.managedBy, `${field}.managedBy`),
    ...validateIndexes(spec, field),
    ...validateFailurePolicy(spec, `${field}.podFailurePolicy`),
    ...validateSuccessPolicy(spec, `${field}.successPolicy`),
  ];
  const replacement = spec.podReplacementPolicy;
  if (replacement !== undefined)
    errors.push(
      ...oneOf(
        `${field}.podReplacementPolicy`,
        replacement,
        spec.podFailurePolicy ? ["Failed"] : ["Failed", "TerminatingOrFailed"],
      ),
    );
  errors.push(...validateTemplate(spec.template, anyRestart, `${field}.template`));
  return [...errors, ...validateRestartPolicy(spec, `${field}.template.spec.restartPolicy`)];
}

/** The kind's own rule about restarts comes with words of its own. */
const anyRestart = { restartPolicies: "any" } as const;

function validateRestartPolicy(spec: ReadSpec, field: string): FieldError[] {
  const policy = spec.template?.spec?.restartPolicy ?? "";
  if (policy === "" || policy === "Always")
    return [required(field, 'valid values: "OnFailure", "Never"')];
  if (policy !== "OnFailure" && policy !== "Never")
    return [notSupported(field, policy, ["OnFailure", "Never"])];
  if (spec.podFailurePolicy && policy !== "Never") {
    const detail = 'only "Never" is supported when podFailurePolicy is specified';
    return [invalid(field, policy, detail)];
  }
  return [];
}

function validateIndexes(spec: ReadSpec, field: string): FieldError[] {
  const errors: FieldError[] = [];
  const { completionMode, completions, parallelism, maxFailedIndexes, backoffLimitPerIndex } = spec;
  if (maxFailedIndexes !== undefined && backoffLimitPerIndex === undefined)
    errors.push(required(`${field}.backoffLimitPerIndex`, "when maxFailedIndexes is specified"));
  if (completionMode !== undefined)
    errors.push(...oneOf(`${field}.completionMode`, completionMode, ["NonIndexed", "Indexed"]));
  if (completionMode !== "Indexed") {
    for (const key of ["backoffLimitPerIndex", "maxFailedIndexes"] as const)
      if (spec[key] !== undefined)
        errors.push(invalid(`${field}.${key}`, spec[key], "requires indexed completion mode"));
    return errors;
  }
  if (completions === undefined)
    return [...errors, required(`${field}.completions`, "when completion mode is Indexed")];
  const atMost = (key: "parallelism" | "maxFailedIndexes", max: number, when = ""): void => {
    const value = spec[key];
    if (value === undefined || value <= max) return;
    errors.push(invalid(`${field}.${key}`, value, `must be less than or equal to ${max}${when}`));
  };
  atMost("parallelism", limits.indexedParallelismMax, " when completion mode is Indexed");
  if (maxFailedIndexes !== undefined && maxFailedIndexes > completions)
    errors.push(
      invalid(
        `${field}.maxFailedIndexes`,
        maxFailedIndexes,
        "must be less than or equal to completions",
      ),
    );
  atMost("maxFailedIndexes", limits.failedIndexesMax);
  if (completions <= limits.highCompletions || backoffLimitPerIndex === undefined) return errors;
  const above = `above ${limits.highCompletions}`;
  if (maxFailedIndexes === undefined)
    errors.push(
      required(`${field}.maxFailedIndexes`, `must be specified when completions is ${above}`),
    );
  const when = ` when completions are ${above} and used with backoff limit per index`;
  if (parallelism !== undefined) atMost("parallelism", limits.highParallelismMax, when);
  atMost("maxFailedIndexes", limits.highFailedIndexesMax, when);
  return errors;
}

/** Who looks after the job instead of the cluster's own controller. */
function validateManager(managedBy: string | undefined, field: string): FieldError[] {
  if (managedBy === undefined) return [];
  const errors = validateDomainPath(managedBy, field);
  if (Buffer.byteLength(managedBy) > limits.managedByMax)
    errors.push(tooLong(field, limits.managedByMax));
  return errors;
}

const actions = ["Count", "FailIndex", "FailJob", "Ignore"];

function validateFailurePolicy(spec: ReadSpec, field: string): FieldError[] {
  const rules = spec.podFailurePolicy?.rules ?? [];
  const errors: FieldError[] = [];
  if (rules.length > limits.rulesMax)
    errors.push(tooMany(`${field}.rules`, rules.length, limits.rulesMax));
  rules.forEach((rule, index) => {
    errors.push(...validateRule(rule, spec, `${field}.rules[${index}]`));
  });
  return errors;
}

function quotedValues(values: readonly string[]): string {
  return `valid values: [${values.map((value) => JSON.stringify(value)).join(" ")}]`;
}

function validateRule(
  rule: DeepReadonly<PodFailurePolicyRule>,
  spec: ReadSpec,
  at: string,
): FieldError[] {
  const errors: FieldError[] = [];
  const { action, onExitCodes, onPodConditions = [] } = rule;
  if (!action) errors.push(required(`${at}.action`, quotedValues(actions)));
  else if (!actions.includes(action)) errors.push(notSupported(`${at}.action`, action, actions));
  else if (action === "FailIndex" && spec.backoffLimitPerIndex === undefined)
    errors.push(invalid(`${at}.action`, action, "requires the backoffLimitPerIndex to be set"));
  if (onExitCodes) errors.push(...validateExitCodes(onExitCodes, spec, `${at}.onExitCodes`));
  if (onPodConditions.length > limits.patternsMax)
    errors.push(tooMany(`${at}.onPodConditions`, onPodConditions.length, limits.patternsMax));
  const statuses = ["False", "True", "Unknown"];
  onPodConditions.forEach(({ type, status }, index) => {
    const place = `${at}.onPodConditions[${index}]`;
    errors.push(...invalids(`${place}.type`, type, labelKeyErrors(type)));
    if (!status) errors.push(required(`${place}.status`, quotedValues(statuses)));
    else if (!statuses.includes(status))
      errors.push(notSupported(`${place}.status`, status, statuses));
  });
  const both = onExitCodes !== undefined && onPodConditions.length > 0;
  const none = onExitCodes === undefined && onPodConditions.length === 0;
  const detail = both
    ? "specifying both OnExitCodes and OnPodConditions is not supported"
    : "specifying one of OnExitCodes and OnPodConditions is required";
  if (both || none) errors.push({ type: "FieldValueInvalid", field: at, detail });
  return errors;
}

type ExitCodes = NonNullable<DeepReadonly<PodFailurePolicyRule>["onExitCodes"]>;

function validateExitCodes(codes: ExitCodes, spec: ReadSpec, at: string): FieldError[] {
  const errors: FieldError[] = [];
  const { operator, containerName, values = [] } = codes;
  const operators = ["In", "NotIn"];
  if (!operator) errors.push(required(`${at}.operator`, quotedValues(operators)));
  else if (!operators.includes(operator))
    errors.push(notSupported(`${at}.operator`, operator, operators));
  const { containers = [], initContainers = [] } = spec.template?.spec ?? {};
  const names = [...containers, ...initContainers].map(({ name }) => name);
  if (containerName !== undefined && !names.includes(containerName))
    errors.push(
      invalid(
        `${at}.containerName`,
        containerName,
        "must be one of the container or initContainer names in the pod template",
      ),
    );
  const place = `${at}.values`;
  if (values.length === 0) errors.push(invalid(place, values, "at least one value is required"));
  else if (values.length > limits.exitCodesMax)
    errors.push(tooMany(place, values.length, limits.exitCodesMax));
  values.forEach((value, index) => {
    if (operator === "In" && value === 0)
      errors.push(invalid(`${place}[${index}]`, value, "must not be 0 for the In operator"));
    if (values.indexOf(value) < index) errors.push(duplicate(`${place}[${index}]`, value));
  });
  const isOrdered = values.every(
    (value, index) => index === 0 || (values[index - 1] ?? 0) <= value,
  );
  if (!isOrdered) errors.push(invalid(place, values, "must be ordered"));
  return errors;
}

function validateSuccessPolicy(spec: ReadSpec, field: string): FieldError[] {
  const { successPolicy, completions = 0 } = spec;
  if (!successPolicy) return [];
  if (spec.completionMode !== "Indexed")
    return [invalid(field, successPolicy, "requires indexed completion mode")];
  const errors: FieldError[] = [];
  const rules = successPolicy.rules ?? [];
  if (rules.length === 0)
    errors.push(
      required(
        `${field}.rules`,
        "at least one rules must be specified when the successPolicy is specified",
      ),
    );
  if (rules.length > limits.rulesMax)
    errors.push(tooMany(`${field}.rules`, rules.length, limits.rulesMax));
  rules.forEach(({ succeededCount, succeededIndexes }, index) => {
    const at = `${field}.rules[${index}]`;
    if (succeededCount === undefined && succeededIndexes === undefined)
      errors.push(
        required(at, "at least one of succeededCount or succeededIndexes must be specified"),
      );
    if (succeededCount === undefined) return;
    errors.push(...nonNegative(`${at}.succeededCount`, succeededCount));
    if (succeededCount > completions)
      errors.push(
        invalid(
          `${at}.succeededCount`,
          succeededCount,
          `must be less than or equal to ${completions} (the number of specified completions)`,
        ),
      );
  });
  return errors;
}

/** Pods of indexed jobs are called by their index, and that must be a name. */
export function validateJobName(job: ReadJob): FieldError[] {
  const { completionMode, completions = 0 } = job.spec;
  const { name = "" } = job.metadata;
  if (completionMode !== "Indexed" || completions <= 0) return [];
  const last = `${name}-${completions - 1}`;
  if (labelErrors(last).length === 0) return [];
  const detail = `will not able to create pod with invalid DNS label: ${last}`;
  return [invalid("metadata.name", name, detail)];
}

/** A selector that the server made must be the one it makes. */
export function validateGeneratedSelector(job: ReadJob): FieldError[] {
  if (job.spec.manualSelector) return [];
  const { uid = "" } = job.metadata;
  const labels = job.spec.template.metadata?.labels ?? {};
  const { name = "" } = job.metadata;
  const wanted = { "controller-uid": uid, "job-name": name };
  const errors = Object.entries(wanted).flatMap(([key, value]) => {
    const field = "spec.template.metadata.labels";
    if (labels[key] === undefined) return [required(`${field}[${key}]`, `must be '${value}'`)];
    return labels[key] === value
      ? []
      : [invalid(`${field}[${key}]`, labels[key], `must be '${value}'`)];
  });
  const matched = job.spec.selector?.matchLabels?.["batch.kubernetes.io/controller-uid"];
  if (matched !== undefined && matched !== uid)
    errors.push(invalid("spec.selector", job.spec.selector, "`selector` not auto-generated"));
  return errors;
}

const frozen = [
  "completionMode",
  "podFailurePolicy",
  "backoffLimitPerIndex",
  "managedBy",
  "successPolicy",
] as const;

/** The errors of a change of a job. */
export function validateJobUpdate(job: ReadJob, old: ReadJob): FieldError[] {
  const errors: FieldError[] = [];
  const { spec } = job;
  const isElastic =
    spec.completionMode === "Indexed" &&
    spec.completions === spec.parallelism &&
    old.spec.completions === old.spec.parallelism;
  if (!isElastic)
    errors.push(...validateImmutable(spec.completions, old.spec.completions, "spec.completions"));
  errors.push(...validateImmutable(spec.selector, old.spec.selector, "spec.selector"));
  const isMoved = mayMove(old) && semanticEqual(fixedParts(job), fixedParts(old));
  if (!isMoved)
    errors.push(...validateImmutable(spec.template, old.spec.template, "spec.template"));
  for (const key of frozen)
    errors.push(...validateImmutable(spec[key], old.spec[key], `spec.${key}`));
  return errors;
}

/** Where the pods go may still change as long as the job is suspended and has none. */
function mayMove({ spec, status }: ReadJob): boolean {
  return spec.suspend === true && !status?.startTime && (status?.active ?? 0) === 0;
}

function fixedParts({ spec }: ReadJob): unknown {
  const {
    affinity,
    nodeSelector: _n,
    tolerations: _t,
    schedulingGates: _g,
    ...rest
  } = spec.template.spec ?? { containers: [] };
  const { nodeAffinity: _a, ...otherAffinity } = affinity ?? {};
  const withoutResources = (containers: readonly object[] | undefined): unknown =>
    (containers ?? []).map((container) => ({ ...container, resources: {} }));
  return {
    ...rest,
    containers: withoutResources(rest.containers),
    initContainers: withoutResources(rest.initContainers),
    affinity: otherAffinity,
  };
}
