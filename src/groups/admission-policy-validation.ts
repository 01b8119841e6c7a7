/** What may be wrong with admission policies and their bindings, besides expressions. */
import type { FieldError } from "../api/resource-definition.ts";
import type {
  MatchResources,
  NamedRuleWithOperations,
  ParamKind,
  ParamRef,
} from "../gen/admissionregistration-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { label1035Errors, pathSegmentErrors, subdomainErrors } from "../lib/names.ts";
import { ruleErrors } from "./admission-rule-validation.ts";
import {
  duplicate,
  forbidden,
  invalid,
  invalids,
  notSupported,
  oneOf,
  required,
} from "./field-errors.ts";
import { validateSelector } from "./selector-validation.ts";

type Rule = DeepReadonly<NamedRuleWithOperations>;

const mutable = ["*", "CONNECT", "CREATE", "UPDATE"];
const actions = ["Audit", "Deny", "Warn"];

/** Of `paramKind`. */
export function paramKindErrors(kind: DeepReadonly<ParamKind> | undefined): FieldError[] {
  if (kind === undefined) return [];
  const { apiVersion = "", kind: name = "" } = kind;
  const errors: FieldError[] = [];
  const field = "spec.paramKind.apiVersion";
  const [first = "", second, more] = apiVersion.split("/");
  const [group, version] = second === undefined ? ["", first] : [first, second];
  if (apiVersion === "") errors.push(required(field));
  else if (more !== undefined) {
    errors.push(invalid(field, apiVersion, `unexpected GroupVersion string: ${apiVersion}`));
  } else {
    const wrong = group === "" ? [] : subdomainErrors(group);
    if (wrong.length > 0) errors.push(invalid(field, group, wrong.join(",")));
    const labels = version === "" ? ["version must be specified"] : label1035Errors(version);
    if (labels.length > 0) {
      errors.push(invalid(field, version === "" ? apiVersion : version, labels.join(",")));
    }
  }
  const wrong = name === "" ? [] : label1035Errors(name.toLowerCase());
  if (name === "") errors.push(required("spec.paramKind.kind"));
  else if (wrong.length > 0) {
    const detail = `may have mixed case, but should otherwise match: ${wrong.join(",")}`;
    errors.push(invalid("spec.paramKind.kind", name, detail));
  }
  return errors;
}

/** Of `paramRef`. */
export function paramRefErrors(ref: DeepReadonly<ParamRef> | undefined): FieldError[] {
  if (ref === undefined) return [];
  const { name, selector, parameterNotFoundAction: action } = ref;
  const at = "spec.paramRef";
  const errors: FieldError[] = [];
  const exclusive = "name and selector are mutually exclusive";
  if (name) {
    errors.push(...invalids(`${at}.name`, name, pathSegmentErrors(name)));
    if (selector !== undefined) errors.push(forbidden(`${at}.name`, exclusive));
  }
  if (selector !== undefined) {
    errors.push(...validateSelector(selector, `${at}.selector`));
    if (name) errors.push(forbidden(`${at}.selector`, exclusive));
  }
  if (!name && selector === undefined) {
    errors.push(required(at, "one of name or selector must be specified"));
  }
  if (!action) errors.push(required(`${at}.parameterNotFoundAction`));
  else errors.push(...oneOf(`${at}.parameterNotFoundAction`, action, ["Deny", "Allow"]));
  return errors;
}

function matchPolicyErrors(policy: string | undefined, field: string): FieldError[] {
  const policies = ["Equivalent", "Exact"];
  if (policy === undefined) return [required(field)];
  return policies.includes(policy) ? [] : [notSupported(field, policy, policies)];
}

/** Of `matchConstraints` and `matchResources`; mutating policies see no other operations. */
export function matchErrors(
  match: DeepReadonly<MatchResources> | undefined,
  at: string,
  isMutating: boolean,
): FieldError[] {
  if (match === undefined) return [];
  const { resourceRules = [], excludeResourceRules = [] } = match;
  const errors: FieldError[] = [
    ...matchPolicyErrors(match.matchPolicy, `${at}.matchPolicy`),
    ...validateSelector(match.namespaceSelector, `${at}.namespaceSelector`),
    ...validateSelector(match.objectSelector, `${at}.objectSelector`),
  ];
  resourceRules.forEach((rule, index) => {
    errors.push(...namedRuleErrors(rule, `${at}.resourceRules[${index}]`));
  });
  excludeResourceRules.forEach((rule, index) => {
    errors.push(...namedRuleErrors(rule, `${at}.excludeResourceRules[${index}]`));
  });
  if (!isMutating) return errors;
  const wrong = resourceRules.flatMap((rule) =>
    (rule.operations ?? []).filter((one) => !mutable.includes(one)),
  );
  const field = `${at}.resourceRules.operations`;
  return [...errors, ...wrong.map((one) => notSupported(field, one, mutable))];
}

function namedRuleErrors(rule: Rule, at: string): FieldError[] {
  const errors: FieldError[] = [];
  const names = new Set<string>();
  (rule.resourceNames ?? []).forEach((name, index) => {
    const field = `${at}.resourceNames[${index}]`;
    errors.push(...invalids(field, name, pathSegmentErrors(name)));
    if (names.has(name)) errors.push(duplicate(field, name));
    names.add(name);
  });
  return [...errors, ...ruleErrors(rule, at)];
}

/** Of `validationActions`. */
export function actionErrors(given: readonly string[]): FieldError[] {
  const at = "spec.validationActions";
  const errors = given.flatMap((action, index) => [
    ...(actions.includes(action) ? [] : [notSupported(`${at}[${index}]`, action, actions)]),
    ...(given.indexOf(action) < index ? [duplicate(`${at}[${index}]`, action)] : []),
  ]);
  if (given.includes("Deny") && given.includes("Warn")) {
    const detail =
      "must not contain both Deny and Warn (repeating the same validation failure " +
      "information in the API response and headers serves no purpose)";
    errors.push(invalid(at, given, detail));
  }
  if (given.length > 0) return errors;
  return [...errors, required(at, "at least one validation action is required")];
}
