/** Rules of HorizontalPodAutoscalers. */
import type { FieldError } from "../api/resource-definition.ts";
import type {
  HorizontalPodAutoscaler,
  HPAScalingRules,
  MetricSpec,
  MetricTarget,
} from "../gen/autoscaling-v2.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { labelErrors, pathSegmentErrors } from "../lib/names.ts";
import { forbidden, invalid, invalids, notSupported, required } from "./field-errors.ts";
import { compareQuantities } from "./quantities.ts";

const limits = { stabilizationSecondsMax: 3600, periodSecondsMax: 1800 } as const;
const positive = "must be greater than zero";

interface Reference {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly name?: string;
}

/** What is wrong with the version of a reference. */
function versionProblem({ apiVersion = "" }: Reference, needsGroup: boolean): string | undefined {
  const parts = apiVersion.split("/");
  if (parts.length > 2) return `unexpected GroupVersion string: ${apiVersion}`;
  return needsGroup && parts.length < 2 ? "apiVersion must specify API group" : undefined;
}

function validateReference(
  ref: Reference = {},
  field: string,
  old?: Reference,
  needsGroup = false,
): FieldError[] {
  const errors = (["kind", "name"] as const).flatMap((key) => {
    const value = ref[key];
    if (!value) return [required(`${field}.${key}`)];
    return invalids(`${field}.${key}`, value, pathSegmentErrors(value));
  });
  const problem = versionProblem(ref, needsGroup);
  // What an older server took may stay.
  const isOld = old !== undefined && versionProblem(old, needsGroup) !== undefined;
  if (problem !== undefined && !isOld)
    errors.push(invalid(`${field}.apiVersion`, ref.apiVersion ?? "", problem));
  return errors;
}

interface Bounds {
  readonly minReplicas?: number;
  readonly maxReplicas?: number;
  readonly scaleTargetRef?: Reference;
}

/** What v1 and v2 have in common. */
export function validateBounds(spec: Bounds, old: Bounds | undefined): FieldError[] {
  const errors: FieldError[] = [];
  const { minReplicas, maxReplicas = 0, scaleTargetRef } = spec;
  const least = "must be greater than or equal to 1";
  if (minReplicas !== undefined && minReplicas < 1)
    errors.push(invalid("spec.minReplicas", minReplicas, least));
  if (maxReplicas === 0)
    errors.push(required("spec.maxReplicas", "must be set and greater than 0"));
  else if (maxReplicas < 0) errors.push(invalid("spec.maxReplicas", maxReplicas, least));
  if (minReplicas !== undefined && maxReplicas < minReplicas)
    errors.push(
      invalid("spec.maxReplicas", maxReplicas, "must be greater than or equal to `minReplicas`"),
    );
  const before = old?.scaleTargetRef;
  // The only thing of the core group that can be scaled.
  const needsGroup = scaleTargetRef?.kind !== "ReplicationController";
  const field = "spec.scaleTargetRef";
  return [...errors, ...validateReference(scaleTargetRef, field, before, needsGroup)];
}

const sourceTypes: Readonly<Record<string, keyof MetricSpec>> = {
  ContainerResource: "containerResource",
  External: "external",
  Object: "object",
  Pods: "pods",
  Resource: "resource",
};

type ReadMetric = DeepReadonly<MetricSpec>;

function validateMetric(metric: ReadMetric, field: string): FieldError[] {
  const errors: FieldError[] = [];
  const known = Object.keys(sourceTypes);
  const expected = sourceTypes[metric.type];
  if (!metric.type) errors.push(required(`${field}.type`, "must specify a metric source type"));
  if (expected === undefined) errors.push(notSupported(`${field}.type`, metric.type, known));
  errors.push(...validateSource(metric, field));
  if (expected !== undefined && metric[expected] === undefined)
    errors.push(
      required(`${field}.${expected}`, "must populate information for the given metric source"),
    );
  const given = Object.values(sourceTypes).filter((key) => metric[key] !== undefined);
  // A single source that is not the expected one is only told as the absence of that.
  for (const key of given.length === 1 ? [] : given)
    if (key !== expected)
      errors.push(forbidden(`${field}.${key}`, "must populate the given metric source only"));
  return errors;
}

function validateSource(metric: ReadMetric, field: string): FieldError[] {
  const { object, external, pods, resource, containerResource } = metric;
  if (object)
    return [
      ...validateReference(object.describedObject, `${field}.object.describedObject`),
      ...validateIdentifier(object.metric, `${field}.object.metric`),
      ...validateTarget(object.target, `${field}.object.target`),
      ...needs(
        object.target,
        ["value", "averageValue"],
        `${field}.object.target.averageValue`,
        "must set either a target value or averageValue",
      ),
    ];
  if (external)
    return [
      ...validateIdentifier(external.metric, `${field}.external.metric`),
      ...validateTarget(external.target, `${field}.external.target`),
      ...needs(
        external.target,
        ["value", "averageValue"],
        `${field}.external.target.averageValue`,
        "must set either a target value for metric or a per-pod target",
      ),
      ...excludes(
        external.target,
        ["value", "averageValue"],
        `${field}.external.target.value`,
        "may not set both a target value for metric and a per-pod target",
      ),
    ];
  if (pods)
    return [
      ...validateIdentifier(pods.metric, `${field}.pods.metric`),
      ...validateTarget(pods.target, `${field}.pods.target`),
      ...needs(
        pods.target,
        ["averageValue"],
        `${field}.pods.target.averageValue`,
        "must specify a positive target averageValue",
      ),
    ];
  if (resource) return validateResourceSource(resource, undefined, `${field}.resource`);
  if (!containerResource) return [];
  const { container = "" } = containerResource;
  return validateResourceSource(containerResource, container, `${field}.containerResource`);
}

function validateResourceSource(
  source: { readonly name?: string; readonly target?: DeepReadonly<MetricTarget> },
  container: string | undefined,
  field: string,
): FieldError[] {
  const errors = source.name ? [] : [required(`${field}.name`, "must specify a resource name")];
  if (container === "") errors.push(required(`${field}.container`, "must specify a container"));
  else if (container !== undefined)
    errors.push(...invalids(`${field}.container`, container, labelErrors(container)));
  const both = ["averageUtilization", "averageValue"] as const;
  return [
    ...errors,
    ...validateTarget(source.target, `${field}.target`),
    ...needs(
      source.target,
      both,
      `${field}.target.averageUtilization`,
      "must set either a target raw value or a target utilization",
    ),
    ...excludes(
      source.target,
      both,
      `${field}.target.averageValue`,
      "may not set both a target raw value and a target utilization",
    ),
  ];
}

type Target = DeepReadonly<MetricTarget> | undefined;
type Amount = "value" | "averageValue" | "averageUtilization";

function needs(target: Target, keys: readonly Amount[], field: string, detail: string) {
  return keys.some((key) => target?.[key] !== undefined) ? [] : [required(field, detail)];
}

function excludes(target: Target, keys: readonly Amount[], field: string, detail: string) {
  return keys.every((key) => target?.[key] !== undefined) ? [forbidden(field, detail)] : [];
}

function validateIdentifier(
  metric: { readonly name?: string } | undefined,
  field: string,
): FieldError[] {
  const { name = "" } = metric ?? {};
  if (name === "") return [required(`${field}.name`, "must specify a metric name")];
  return invalids(`${field}.name`, name, pathSegmentErrors(name));
}

function validateTarget(target: Target, field: string): FieldError[] {
  const errors: FieldError[] = [];
  const types = ["AverageValue", "Utilization", "Value"];
  const { type = "", value, averageValue, averageUtilization } = target ?? {};
  if (type === "") errors.push(required(`${field}.type`, "must specify a metric target type"));
  if (!types.includes(type))
    errors.push(
      invalid(`${field}.type`, type, "must be either Utilization, Value, or AverageValue"),
    );
  if (value !== undefined && compareQuantities(value, "0") <= 0)
    errors.push(invalid(`${field}.value`, value, "must be positive"));
  if (averageValue !== undefined && compareQuantities(averageValue, "0") <= 0)
    errors.push(invalid(`${field}.averageValue`, averageValue, "must be positive"));
  if (averageUtilization !== undefined && averageUtilization < 1)
    errors.push(
      invalid(`${field}.averageUtilization`, averageUtilization, "must be greater than 0"),
    );
  return errors;
}

function validateRules(
  rules: DeepReadonly<HPAScalingRules> | undefined,
  field: string,
): FieldError[] {
  if (!rules) return [];
  const errors: FieldError[] = [];
  const { stabilizationWindowSeconds: window = 0, selectPolicy, policies = [], tolerance } = rules;
  const at = `${field}.stabilizationWindowSeconds`;
  if (window < 0) errors.push(invalid(at, window, "must be greater than or equal to zero"));
  if (window > limits.stabilizationSecondsMax)
    errors.push(
      invalid(at, window, `must be less than or equal to ${limits.stabilizationSecondsMax}`),
    );
  const selections = ["Disabled", "Max", "Min"];
  if (selectPolicy !== undefined && !selections.includes(selectPolicy))
    errors.push(notSupported(`${field}.selectPolicy`, selectPolicy, selections));
  if (policies.length === 0)
    errors.push(required(`${field}.policies`, "must specify at least one Policy"));
  policies.forEach(({ type, value, periodSeconds }, index) => {
    const place = `${field}.policies[${index}]`;
    if (type !== "Pods" && type !== "Percent")
      errors.push(notSupported(`${place}.type`, type, ["Percent", "Pods"]));
    if (value <= 0) errors.push(invalid(`${place}.value`, value, positive));
    const period = `${place}.periodSeconds`;
    if (periodSeconds <= 0) errors.push(invalid(period, periodSeconds, positive));
    if (periodSeconds > limits.periodSecondsMax)
      errors.push(
        invalid(period, periodSeconds, `must be less than or equal to ${limits.periodSecondsMax}`),
      );
  });
  if (tolerance !== undefined && compareQuantities(tolerance, "0") < 0)
    errors.push(invalid(`${field}.tolerance`, tolerance, "must be greater than or equal to 0"));
  return errors;
}

/** The errors of an autoscaler. */
export function validateAutoscaler(
  { spec }: DeepReadonly<HorizontalPodAutoscaler>,
  old: DeepReadonly<HorizontalPodAutoscaler> | undefined,
): FieldError[] {
  return [
    ...validateBounds(spec ?? {}, old?.spec),
    ...(spec?.metrics ?? []).flatMap((metric, index) =>
      validateMetric(metric, `spec.metrics[${index}]`),
    ),
    ...validateRules(spec?.behavior?.scaleUp, "spec.behavior.scaleUp"),
    ...validateRules(spec?.behavior?.scaleDown, "spec.behavior.scaleDown"),
  ];
}
