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

const operations = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const mutable = ["CREATE", "UPDATE"];
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
  else errors.push(...oneOf(`${at}.parameterNotFoundAction`, action, ["Allow", "Deny"]));
  return errors;
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
    ...oneOf(`${at}.matchPolicy`, match.matchPolicy, ["Equivalent", "Exact"]),
    ...validateSelector(match.namespaceSelector, `${at}.namespaceSelector`),
    ...validateSelector(match.objectSelector, `${at}.objectSelector`),
  ];
  resourceRules.forEach((rule, index) => {
    errors.push(...ruleErrors(rule, `${at}.resourceRules[${index}]`));
  });
  excludeResourceRules.forEach((rule, index) => {
    errors.push(...ruleErrors(rule, `${at}.excludeResourceRules[${index}]`));
  });
  if (!isMutating) return errors;
  const wrong = resourceRules.flatMap((rule) =>
    (rule.operations ?? []).filter((one) => !mutable.includes(one)),
  );
  const field = `${at}.resourceRules.operations`;
  return [...errors, ...wrong.map((one) => notSupported(field, one, mutable))];
}

function ruleErrors(rule: Rule, at: string): FieldError[] {
  const errors: FieldError[] = [];
  const names = new Set<string>();
  (rule.resourceNames ?? []).forEach((name, index) => {
    const field = `${at}.resourceNames[${index}]`;
    errors.push(...invalids(field, name, pathSegmentErrors(name)));
    if (names.has(name)) errors.push(duplicate(field, name));
    names.add(name);
  });
  const listed = (field: string, values: readonly string[], others: string): void => {
    if (values.length === 0) errors.push(required(`${at}.${field}`));
    if (values.length > 1 && values.includes("*")) {
      const detail = `if '*' is present, must not specify other ${others}`;
      errors.push(invalid(`${at}.${field}`, values, detail));
    }
  };
  listed("operations", rule.operations ?? [], "operations");
  (rule.operations ?? []).forEach((one, index) => {
    if (operations.includes(one)) return;
    errors.push(notSupported(`${at}.operations[${index}]`, one, operations));
  });
  listed("apiGroups", rule.apiGroups ?? [], "API groups");
  listed("apiVersions", rule.apiVersions ?? [], "API versions");
  (rule.apiVersions ?? []).forEach((version, index) => {
    if (version === "") errors.push(required(`${at}.apiVersions[${index}]`));
  });
  errors.push(...resourcesErrors(rule.resources ?? [], `${at}.resources`));
  return [...errors, ...oneOf(`${at}.scope`, rule.scope, ["*", "Cluster", "Namespaced"])];
}

/** `pods/*` says all that `pods/log` says. */
function resourcesErrors(resources: readonly string[], at: string): FieldError[] {
  if (resources.length === 0) return [required(at)];
  const errors: FieldError[] = [];
  const wide = new Set<string>();
  resources.forEach((text, index) => {
    if (text === "") errors.push(required(`${at}[${index}]`));
    const [resource = "", ...rest] = text.split("/");
    if (rest.length === 0) return;
    const part = rest.join("/");
    for (const covering of [`${resource}/*`, `*/${part}`]) {
      if (!wide.has(covering)) continue;
      const detail = `if '${covering}' is present, must not specify ${text}`;
      errors.push(invalid(`${at}[${index}]`, text, detail));
    }
    if (part === "*" || resource === "*") wide.add(text);
  });
  if (resources.length > 1 && resources.includes("*/*")) {
    const detail = "if '*/*' is present, must not specify other resources";
    errors.push(invalid(at, resources, detail));
  }
  const isPlain = resources.some((one) => one !== "*" && !one.includes("/"));
  if (resources.includes("*") && isPlain) {
    const detail = "if '*' is present, must not specify other resources without subresources";
    errors.push(invalid(at, resources, detail));
  }
  return errors;
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
