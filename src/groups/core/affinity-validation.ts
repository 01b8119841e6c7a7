/** Rules of node affinity, pod affinity and topology spread. */
import type { FieldError } from "../../api/resource-definition.ts";
import type {
  Affinity,
  NodeSelector,
  NodeSelectorRequirement,
  NodeSelectorTerm,
  PodAffinity,
  PodAffinityTerm,
  TopologySpreadConstraint,
} from "../../gen/core-v1.ts";
import type { LabelSelector } from "../../gen/meta-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { labelErrors, labelKeyErrors, labelValueErrors, subdomainErrors } from "../../lib/names.ts";
import {
  duplicate,
  forbidden,
  invalid,
  invalids,
  notSupported,
  required,
} from "../field-errors.ts";
import { validateSelector } from "../selector-validation.ts";

type Requirement = DeepReadonly<NodeSelectorRequirement>;

function validateRequirement(one: Requirement, field: string, checksValues: boolean): FieldError[] {
  const errors: FieldError[] = [];
  const values = one.values ?? [];
  switch (one.operator) {
    case "In":
    case "NotIn":
      if (values.length === 0)
        errors.push(
          required(`${field}.values`, "must be specified when `operator` is 'In' or 'NotIn'"),
        );
      break;
    case "Exists":
    case "DoesNotExist":
      if (values.length > 0)
        errors.push(
          forbidden(
            `${field}.values`,
            "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
          ),
        );
      break;
    case "Gt":
    case "Lt":
      if (values.length !== 1)
        errors.push(
          required(
            `${field}.values`,
            "must be specified single value when `operator` is 'Lt' or 'Gt'",
          ),
        );
      break;
    default:
      errors.push(invalid(`${field}.operator`, one.operator, "not a valid selector operator"));
  }
  errors.push(...invalids(`${field}.key`, one.key, labelKeyErrors(one.key)));
  if (checksValues)
    values.forEach((value, index) => {
      errors.push(...invalids(`${field}.values[${index}]`, value, labelValueErrors(value)));
    });
  return errors;
}

function validateFieldRequirement(one: Requirement, field: string): FieldError[] {
  const errors: FieldError[] = [];
  const values = one.values ?? [];
  if (one.operator !== "In" && one.operator !== "NotIn")
    errors.push(invalid(`${field}.operator`, one.operator, "not a valid selector operator"));
  else if (values.length !== 1)
    errors.push(
      required(
        `${field}.values`,
        "must be only one value when `operator` is 'In' or 'NotIn' for node field selector",
      ),
    );
  if (one.key !== "metadata.name")
    return [...errors, invalid(`${field}.key`, one.key, "not a valid field selector key")];
  values.forEach((value, index) => {
    errors.push(...invalids(`${field}.values[${index}]`, value, subdomainErrors(value)));
  });
  return errors;
}

function validateTerm(
  term: DeepReadonly<NodeSelectorTerm>,
  field: string,
  checksValues: boolean,
): FieldError[] {
  return [
    ...(term.matchExpressions ?? []).flatMap((one, index) =>
      validateRequirement(one, `${field}.matchExpressions[${index}]`, checksValues),
    ),
    ...(term.matchFields ?? []).flatMap((one, index) =>
      validateFieldRequirement(one, `${field}.matchFields[${index}]`),
    ),
  ];
}

/** The errors of a NodeSelector, of pods and of persistent volumes. */
export function validateNodeSelector(
  selector: DeepReadonly<NodeSelector>,
  field: string,
): FieldError[] {
  const at = `${field}.nodeSelectorTerms`;
  const terms = selector.nodeSelectorTerms ?? [];
  if (terms.length === 0) return [required(at, "must have at least one node selector term")];
  return terms.flatMap((term, index) => validateTerm(term, `${at}[${index}]`, true));
}

function validateWeight(weight: number | undefined, field: string): FieldError[] {
  if (weight !== undefined && weight > 0 && weight <= 100) return [];
  return [invalid(`${field}.weight`, weight ?? 0, "must be in the range 1-100")];
}

function validateKeys(
  keys: readonly string[],
  selector: DeepReadonly<LabelSelector> | undefined,
  field: string,
): FieldError[] {
  if (keys.length === 0) return [];
  if (selector === undefined)
    return [forbidden(field, "must not be specified when labelSelector is not set")];
  return keys.flatMap((key, index) => invalids(`${field}[${index}]`, key, labelKeyErrors(key)));
}

function validatePodTerm(term: DeepReadonly<PodAffinityTerm>, field: string): FieldError[] {
  const { labelSelector, namespaceSelector, namespaces = [], topologyKey = "" } = term;
  const { matchLabelKeys = [], mismatchLabelKeys = [] } = term;
  const errors = [
    ...validateSelector(labelSelector, `${field}.labelSelector`),
    ...validateSelector(namespaceSelector, `${field}.namespaceSelector`),
    ...namespaces.flatMap((name) => invalids(`${field}.namespace`, name, labelErrors(name))),
    ...validateKeys(matchLabelKeys, labelSelector, `${field}.matchLabelKeys`),
    ...validateKeys(mismatchLabelKeys, labelSelector, `${field}.mismatchLabelKeys`),
  ];
  matchLabelKeys.forEach((key, index) => {
    if (!mismatchLabelKeys.includes(key)) return;
    const detail = "exists in both matchLabelKeys and mismatchLabelKeys";
    errors.push(invalid(`${field}.matchLabelKeys[${index}]`, key, detail));
  });
  if (topologyKey === "") errors.push(required(`${field}.topologyKey`, "can not be empty"));
  errors.push(...invalids(`${field}.topologyKey`, topologyKey, labelKeyErrors(topologyKey)));
  return errors;
}

const requiredKey = "requiredDuringSchedulingIgnoredDuringExecution";
const preferredKey = "preferredDuringSchedulingIgnoredDuringExecution";

function validatePodAffinity(
  affinity: DeepReadonly<PodAffinity> | undefined,
  field: string,
): FieldError[] {
  return [
    ...(affinity?.[requiredKey] ?? []).flatMap((term, index) =>
      validatePodTerm(term, `${field}.${requiredKey}[${index}]`),
    ),
    ...(affinity?.[preferredKey] ?? []).flatMap((one, index) => {
      const at = `${field}.${preferredKey}[${index}]`;
      return [
        ...validateWeight(one.weight, at),
        ...validatePodTerm(one.podAffinityTerm, `${at}.podAffinityTerm`),
      ];
    }),
  ];
}

/** The errors of `spec.affinity`. */
export function validateAffinity(
  affinity: DeepReadonly<Affinity> | undefined,
  field: string,
): FieldError[] {
  const { nodeAffinity, podAffinity, podAntiAffinity } = affinity ?? {};
  const errors: FieldError[] = [];
  const must = nodeAffinity?.[requiredKey];
  if (must) errors.push(...validateNodeSelector(must, `${field}.nodeAffinity.${requiredKey}`));
  (nodeAffinity?.[preferredKey] ?? []).forEach((one, index) => {
    const at = `${field}.nodeAffinity.${preferredKey}[${index}]`;
    errors.push(...validateWeight(one.weight, at));
    errors.push(...validateTerm(one.preference, `${at}.preference`, false));
  });
  errors.push(
    ...validatePodAffinity(podAffinity, `${field}.podAffinity`),
    ...validatePodAffinity(podAntiAffinity, `${field}.podAntiAffinity`),
  );
  return errors;
}

const actions = ["DoNotSchedule", "ScheduleAnyway"];

/** The errors of `spec.topologySpreadConstraints`. */
export function validateSpread(
  constraints: readonly DeepReadonly<TopologySpreadConstraint>[],
  field: string,
): FieldError[] {
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  constraints.forEach((constraint, index) => {
    const at = `${field}[${index}]`;
    const { maxSkew = 0, topologyKey, whenUnsatisfiable, minDomains } = constraint;
    if (maxSkew <= 0) errors.push(invalid(`${at}.maxSkew`, maxSkew, "must be greater than zero"));
    if (!topologyKey) errors.push(required(`${at}.topologyKey`, "can not be empty"));
    if (!actions.includes(whenUnsatisfiable))
      errors.push(notSupported(`${at}.whenUnsatisfiable`, whenUnsatisfiable, actions));
    const pair = `{${topologyKey}, ${whenUnsatisfiable}}`;
    if (seen.has(pair)) errors.push(duplicate(`${at}.{topologyKey, whenUnsatisfiable}`, pair));
    seen.add(pair);
    if (minDomains !== undefined) {
      if (minDomains <= 0)
        errors.push(invalid(`${at}.minDomains`, minDomains, "must be greater than zero"));
      if (whenUnsatisfiable !== "DoNotSchedule")
        errors.push(
          invalid(
            `${at}.minDomains`,
            minDomains,
            "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not " +
              `${whenUnsatisfiable}`,
          ),
        );
    }
    for (const key of ["nodeAffinityPolicy", "nodeTaintsPolicy"] as const) {
      const policy = constraint[key];
      if (policy !== undefined && policy !== "Honor" && policy !== "Ignore")
        errors.push(notSupported(`${at}.${key}`, policy, ["Honor", "Ignore"]));
    }
    const { labelSelector, matchLabelKeys = [] } = constraint;
    errors.push(...validateKeys(matchLabelKeys, labelSelector, `${at}.matchLabelKeys`));
    errors.push(...validateSelector(labelSelector, `${at}.labelSelector`));
  });
  return errors;
}
