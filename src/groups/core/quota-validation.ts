/** Rules of ResourceQuotas and LimitRanges. */
import type { FieldError } from "../../api/resource-definition.ts";
import type { LimitRange, LimitRangeItem, ResourceQuota } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { labelKeyErrors } from "../../lib/names.ts";
import { quantityMilliValue, tryParseQuantity } from "../../lib/quantity.ts";
import { duplicate, forbidden, invalid, invalids, required } from "../field-errors.ts";
import { compareQuantities, quantityErrors } from "../quantities.ts";
import { amountErrors, isQuotaResource, nameErrors, podCompute } from "./resource-names.ts";
import { isOvercommitAllowed } from "./resource-requirements.ts";

type Quantities = Readonly<Record<string, string>>;

function validateAmounts(amounts: Quantities | undefined, field: string): FieldError[] {
  return Object.entries(amounts ?? {}).flatMap(([name, amount]) => {
    const at = `${field}[${name}]`;
    return [...nameErrors(at, name, "quota"), ...amountErrors(at, name, amount)];
  });
}

/** Which resources a scope can be applied to. */
const scopes: Readonly<Record<string, (name: string) => boolean>> = {
  BestEffort: (name) => name === "pods",
  CrossNamespacePodAffinity: (name) => name === "pods" || podCompute.has(name),
  NotBestEffort: (name) => name === "pods" || podCompute.has(name),
  NotTerminating: (name) => name === "pods" || podCompute.has(name),
  PriorityClass: (name) => name === "pods" || podCompute.has(name),
  Terminating: (name) => name === "pods" || podCompute.has(name),
  VolumeAttributesClass: (name) => name === "persistentvolumeclaims" || name === "requests.storage",
};

type Spec = DeepReadonly<NonNullable<ResourceQuota["spec"]>>;

function misapplied({ hard }: Spec, scope: string): readonly string[] {
  const applies = scopes[scope];
  if (applies === undefined) return [];
  return Object.keys(hard ?? {}).filter((name) => isQuotaResource(name) && !applies(name));
}

function conflicts(spec: Spec, used: readonly string[], field: string): FieldError[] {
  const pairs = [
    ["BestEffort", "NotBestEffort"],
    ["NotTerminating", "Terminating"],
  ];
  return pairs
    .filter((pair) => pair.every((scope) => used.includes(scope)))
    .map(() => invalid(field, spec.scopes, "conflicting scopes"));
}

function validateScopes(spec: Spec): FieldError[] {
  const field = "spec.scopes";
  const used = spec.scopes ?? [];
  const errors = used.flatMap((scope) => [
    ...(scope in scopes ? [] : [invalid(field, used, "unsupported scope")]),
    ...misapplied(spec, scope).map(() =>
      invalid(field, used, "unsupported scope applied to resource"),
    ),
  ]);
  return [...errors, ...conflicts(spec, used, field)];
}

const existsOnly =
  "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, " +
  "ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, " +
  "ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
const valued = ["PriorityClass", "VolumeAttributesClass"];

function validateScopeSelector(spec: Spec): FieldError[] {
  const field = "spec.scopeSelector.matchExpressions";
  const expressions = spec.scopeSelector?.matchExpressions ?? [];
  const errors: FieldError[] = [];
  for (const { scopeName, operator, values = [] } of expressions) {
    if (!(scopeName in scopes))
      errors.push(invalid(`${field}.scopeName`, scopeName, "unsupported scope"));
    for (const _name of misapplied(spec, scopeName))
      errors.push(invalid(field, spec.scopeSelector, "unsupported scope applied to resource"));
    if (scopeName in scopes && !valued.includes(scopeName) && operator !== "Exists")
      errors.push(invalid(`${field}.operator`, operator, existsOnly));
    if (operator === "In" || operator === "NotIn") {
      if (values.length === 0)
        errors.push(
          required(
            `${field}.values`,
            "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
          ),
        );
    } else if (operator !== "Exists" && operator !== "DoesNotExist")
      errors.push(invalid(`${field}.operator`, operator, "not a valid selector operator"));
    else if (values.length > 0)
      errors.push(
        invalid(
          `${field}.values`,
          values,
          "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector",
        ),
      );
  }
  const used = expressions.map(({ scopeName }) => scopeName);
  return [...errors, ...conflicts(spec, used, field)];
}

/** The errors of a quota. */
export function validateQuota(
  { spec = {} }: DeepReadonly<ResourceQuota>,
  old: DeepReadonly<ResourceQuota> | undefined,
): FieldError[] {
  const errors = [
    ...validateAmounts(spec.hard, "spec.hard"),
    ...validateScopes(spec),
    ...validateScopeSelector(spec),
  ];
  if (old === undefined) return errors;
  const [before, now] = [new Set(old.spec?.scopes), new Set(spec.scopes)];
  if (before.symmetricDifference(now).size > 0)
    errors.push(invalid("spec.scopes", spec.scopes, "field is immutable"));
  return errors;
}

/** The errors of a quota's status. */
export function validateQuotaStatus({ status }: DeepReadonly<ResourceQuota>): FieldError[] {
  return [
    ...validateAmounts(status?.hard, "status.hard"),
    ...validateAmounts(status?.used, "status.used"),
  ];
}

const limitTypes = ["Container", "PersistentVolumeClaim", "Pod"];
const bounds = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] as const;
type Bound = (typeof bounds)[number];
type Item = DeepReadonly<LimitRangeItem>;

/** `low` must not be above `high`; the error stands at, and shows, what `shown` names. */
const order: readonly (readonly [low: Bound, high: Bound, at: Bound, shown: Bound])[] = [
  ["min", "max", "min", "min"],
  ["min", "defaultRequest", "defaultRequest", "defaultRequest"],
  ["defaultRequest", "max", "defaultRequest", "defaultRequest"],
  ["defaultRequest", "default", "defaultRequest", "defaultRequest"],
  ["min", "default", "default", "min"],
  ["default", "max", "default", "max"],
];

const words = {
  max: "max",
  min: "min",
  default: "default",
  defaultRequest: "default request",
  maxLimitRequestRatio: "ratio",
} as const;

function compareBounds(low: Bound, high: Bound, from: string, to: string): string {
  const limit = low === "defaultRequest" && high === "default" ? "default limit" : words[high];
  return `${words[low]} value ${from} is greater than ${limit} value ${to}`;
}

function validateBounds(limit: Item, name: string, field: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const [low, high, at, shown] of order) {
    const [from, to] = [limit[low]?.[name], limit[high]?.[name]];
    if (from === undefined || to === undefined || compareQuantities(from, to) <= 0) continue;
    const detail = compareBounds(low, high, from, to);
    errors.push(invalid(`${field}.${at}[${name}]`, limit[shown]?.[name], detail));
  }
  const { maxLimitRequestRatio, min, max, default: standard, defaultRequest } = limit;
  const ratio = maxLimitRequestRatio?.[name];
  if (ratio !== undefined && tryParseQuantity(ratio) !== undefined) {
    const at = `${field}.maxLimitRequestRatio[${name}]`;
    if (compareQuantities(ratio, "1") < 0)
      errors.push(invalid(at, ratio, `ratio ${ratio} is less than 1`));
    const [least, most] = [min?.[name], max?.[name]];
    const highest = least && most ? milli(most) / milli(least) : Number.POSITIVE_INFINITY;
    if (milli(ratio) / 1000 > highest)
      errors.push(
        invalid(at, ratio, `ratio ${ratio} is greater than max/min = ${highest.toFixed(6)}`),
      );
  }
  const [given, asked] = [standard?.[name], defaultRequest?.[name]];
  if (given && asked && !isOvercommitAllowed(name) && compareQuantities(given, asked) !== 0)
    errors.push(
      invalid(
        `${field}.defaultRequest[${name}]`,
        asked,
        `default value ${given} must equal to defaultRequest value ${asked} in ${name}`,
      ),
    );
  return errors;
}

function milli(amount: string): number {
  return tryParseQuantity(amount) === undefined ? Number.NaN : quantityMilliValue(amount);
}

function validateLimit(limit: Item, field: string): FieldError[] {
  const errors = invalids(`${field}.type`, limit.type, labelKeyErrors(limit.type));
  if (errors.length === 0 && !limitTypes.includes(limit.type) && !limit.type.includes("/"))
    errors.push(
      invalid(`${field}.type`, limit.type, "must be a standard limit type or fully qualified"),
    );
  const use = limit.type === "Pod" || limit.type === "Container" ? "container" : undefined;
  const names = new Set<string>();
  for (const bound of bounds) {
    const entries = Object.entries(limit[bound] ?? {});
    if (limit.type === "Pod" && bound.startsWith("default")) {
      if (entries.length > 0)
        errors.push(forbidden(`${field}.${bound}`, "may not be specified when `type` is 'Pod'"));
      continue;
    }
    for (const [name, amount] of entries) {
      names.add(name);
      errors.push(...nameErrors(`${field}.${bound}[${name}]`, name, use));
      errors.push(...quantityErrors(`${field}.${bound}[${name}]`, amount));
    }
  }
  if (limit.type === "PersistentVolumeClaim" && !limit.min?.storage && !limit.max?.storage)
    errors.push(
      required(
        `${field}.limits`,
        "either minimum or maximum storage value is required, but neither was provided",
      ),
    );
  return [...errors, ...[...names].flatMap((name) => validateBounds(limit, name, field))];
}

/** The errors of a limit range. */
export function validateLimitRange({ spec }: DeepReadonly<LimitRange>): FieldError[] {
  const seen = new Set<string>();
  return (spec?.limits ?? []).flatMap((limit, index) => {
    const field = `spec.limits[${index}]`;
    const errors = validateLimit(limit, field);
    if (seen.has(limit.type)) errors.push(duplicate(`${field}.type`, limit.type));
    seen.add(limit.type);
    return errors;
  });
}
