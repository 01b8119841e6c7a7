/** admissionregistration.k8s.io/v1. */
import type { Column, FieldError, ResourceDefinition } from "../api/resource-definition.ts";
import {
  mutatingAdmissionPolicies,
  mutatingAdmissionPolicyBindings,
  mutatingWebhookConfigurations,
  validatingAdmissionPolicies,
  validatingAdmissionPolicyBindings,
  validatingWebhookConfigurations,
} from "../client/resources.ts";
import type {
  MatchResources,
  MutatingAdmissionPolicy,
  MutatingAdmissionPolicyBinding,
  MutatingAdmissionPolicySpec,
  MutatingWebhook,
  MutatingWebhookConfiguration,
  ParamKind,
  ParamRef,
  ValidatingAdmissionPolicy,
  ValidatingAdmissionPolicyBinding,
  ValidatingWebhook,
  ValidatingWebhookConfiguration,
} from "../gen/admissionregistration-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { subdomainErrors } from "../lib/names.ts";
import { policyExpressionErrors, webhookConditionErrors } from "./admission-expressions.ts";
import {
  actionErrors,
  matchErrors,
  paramKindErrors,
  paramRefErrors,
} from "./admission-policy-validation.ts";
import {
  reviewVersionErrors,
  ruleErrors,
  webhookClientErrors,
} from "./admission-rule-validation.ts";
import { duplicate, invalid, invalids, oneOf, required, supported } from "./field-errors.ts";
import { column, count, define } from "./row.ts";
import { validateSelector } from "./selector-validation.ts";

const categories = ["api-extensions"];
type Webhook = MutatingWebhook | ValidatingWebhook;

function webhookDefaults(hook: Webhook): void {
  hook.failurePolicy ??= "Fail";
  hook.matchPolicy ??= "Equivalent";
  hook.namespaceSelector ??= {};
  hook.objectSelector ??= {};
  hook.timeoutSeconds ??= 10;
  for (const rule of hook.rules ?? []) rule.scope ??= "*";
  if (hook.clientConfig?.service) hook.clientConfig.service.port ??= 443;
}

/** A name of three parts at least, so that it is its maker's own. */
function qualifiedNameErrors(name: string, at: string): FieldError[] {
  if (name === "") return [required(at)];
  const wrong = subdomainErrors(name);
  if (wrong.length > 0) return [invalid(at, name, wrong.join(","))];
  if (name.split(".").length >= 3) return [];
  return [invalid(at, name, "should be a domain with at least three segments separated by dots")];
}

function validateWebhooks(hooks: readonly DeepReadonly<Webhook>[] | undefined): FieldError[] {
  const errors: FieldError[] = [];
  const names = new Set<string>();
  (hooks ?? []).forEach((hook, index) => {
    const at = `webhooks[${index}]`;
    errors.push(...qualifiedNameErrors(hook.name ?? "", `${at}.name`));
    (hook.rules ?? []).forEach((rule, place) => {
      errors.push(...ruleErrors(rule, `${at}.rules[${place}]`));
    });
    errors.push(...supported(`${at}.failurePolicy`, hook.failurePolicy, ["Fail", "Ignore"]));
    errors.push(...supported(`${at}.matchPolicy`, hook.matchPolicy, ["Equivalent", "Exact"]));
    const effects = ["None", "NoneOnDryRun"];
    if (hook.sideEffects === undefined)
      errors.push(required(`${at}.sideEffects`, `must specify one of ${effects.join(", ")}`));
    else errors.push(...supported(`${at}.sideEffects`, hook.sideEffects, effects));
    const seconds = hook.timeoutSeconds;
    if (seconds !== undefined && (seconds < 1 || seconds > 30)) {
      const detail = "the timeout value must be between 1 and 30 seconds";
      errors.push(invalid(`${at}.timeoutSeconds`, seconds, detail));
    }
    errors.push(
      ...validateSelector(hook.namespaceSelector, `${at}.namespaceSelector`),
      ...validateSelector(hook.objectSelector, `${at}.objectSelector`),
    );
    if ("reinvocationPolicy" in hook)
      errors.push(
        ...supported(`${at}.reinvocationPolicy`, hook.reinvocationPolicy, ["IfNeeded", "Never"]),
      );
    errors.push(
      ...webhookClientErrors(hook.clientConfig ?? {}, `${at}.clientConfig`),
      ...webhookConditionErrors(at, hook.matchConditions),
    );
    const versions = hook.admissionReviewVersions ?? [];
    errors.push(...reviewVersionErrors(versions, `${at}.admissionReviewVersions`));
    if (names.has(hook.name)) errors.push(duplicate(`${at}.name`, hook.name));
    names.add(hook.name);
  });
  return errors;
}

const mutatingWebhook = define<MutatingWebhookConfiguration>(mutatingWebhookConfigurations, {
  categories,
  columns: [count("Webhooks", (one) => (one.webhooks ?? []).length)],
  generation: true,
  defaults(object) {
    for (const hook of object.webhooks ?? []) {
      webhookDefaults(hook);
      hook.reinvocationPolicy ??= "Never";
    }
  },
  validate: (object) => validateWebhooks(object.webhooks),
});

const validatingWebhook = define<ValidatingWebhookConfiguration>(validatingWebhookConfigurations, {
  categories,
  columns: [count("Webhooks", (one) => (one.webhooks ?? []).length)],
  generation: true,
  defaults(object) {
    for (const hook of object.webhooks ?? []) webhookDefaults(hook);
  },
  validate: (object) => validateWebhooks(object.webhooks),
});

function matchDefaults(match: MatchResources | undefined): void {
  if (match === undefined) return;
  match.matchPolicy ??= "Equivalent";
  match.namespaceSelector ??= {};
  match.objectSelector ??= {};
  for (const rule of [...(match.resourceRules ?? []), ...(match.excludeResourceRules ?? [])])
    rule.scope ??= "*";
}

function paramKindCell(kind: DeepReadonly<ParamKind> | undefined): string {
  return kind?.kind ? `${kind.apiVersion}/${kind.kind}` : "<unset>";
}

/** What both kinds of policy must say. */
function policyErrors(
  spec: DeepReadonly<
    Partial<Pick<MutatingAdmissionPolicySpec, "failurePolicy" | "paramKind" | "matchConstraints">>
  >,
  isMutating: boolean,
): FieldError[] {
  const { failurePolicy, paramKind, matchConstraints } = spec;
  const errors = [
    ...oneOf("spec.failurePolicy", failurePolicy, ["Fail", "Ignore"]),
    ...paramKindErrors(paramKind),
    ...matchErrors(matchConstraints, "spec.matchConstraints", isMutating),
  ];
  if (matchConstraints === undefined) errors.push(required("spec.matchConstraints"));
  else if ((matchConstraints.resourceRules ?? []).length === 0) {
    errors.push(required("spec.matchConstraints.resourceRules"));
  }
  return errors;
}

const validatingPolicy = define<ValidatingAdmissionPolicy>(validatingAdmissionPolicies, {
  categories,
  columns: [
    count("Validations", (one) => (one.spec?.validations ?? []).length),
    column("ParamKind", (one) => paramKindCell(one.spec?.paramKind)),
  ],
  status: true,
  generation: true,
  defaults({ spec }) {
    if (!spec) return;
    spec.failurePolicy ??= "Fail";
    matchDefaults(spec.matchConstraints);
  },
  validate(object) {
    const { validations = [], auditAnnotations = [] } = object.spec ?? {};
    const errors = policyErrors(object.spec ?? {}, false);
    if (validations.length === 0 && auditAnnotations.length === 0) {
      const detail = "validations or auditAnnotations must contain at least one item";
      for (const field of ["validations", "auditAnnotations"]) {
        errors.push(required(`spec.${field}`, detail));
      }
    }
    return [...errors, ...policyExpressionErrors(object.metadata.name ?? "", object.spec ?? {})];
  },
});

const mutatingPolicy = define<MutatingAdmissionPolicy>(mutatingAdmissionPolicies, {
  categories,
  columns: [
    count("Mutations", (one) => (one.spec?.mutations ?? []).length),
    column("ParamKind", (one) => paramKindCell(one.spec?.paramKind)),
  ],
  generation: true,
  defaults({ spec }) {
    if (!spec) return;
    spec.failurePolicy ??= "Fail";
    matchDefaults(spec.matchConstraints);
  },
  validate(object) {
    const { mutations = [], reinvocationPolicy: again } = object.spec ?? {};
    const errors = policyErrors(object.spec ?? {}, true);
    errors.push(...policyExpressionErrors(object.metadata.name ?? "", object.spec ?? {}));
    if (mutations.length === 0) {
      errors.push(required("spec.mutations", "mutations must contain at least one item"));
    }
    if (!again) return [...errors, required("spec.reinvocationPolicy")];
    return [...errors, ...oneOf("spec.reinvocationPolicy", again, ["IfNeeded", "Never"])];
  },
});

type PolicyBinding = ValidatingAdmissionPolicyBinding | MutatingAdmissionPolicyBinding;

function paramRefCell(ref: DeepReadonly<ParamRef> | undefined): string {
  if (ref?.name) return ref.namespace ? `${ref.namespace}/${ref.name}` : ref.name;
  return ref?.selector ? "<selector>" : "<unset>";
}

function bindingColumns<T extends PolicyBinding>(): readonly Column<T>[] {
  return [
    column<T>("PolicyName", (one) => (one as DeepReadonly<PolicyBinding>).spec?.policyName ?? ""),
    column<T>("ParamRef", (one) =>
      paramRefCell((one as DeepReadonly<PolicyBinding>).spec?.paramRef),
    ),
  ];
}

function validateBinding(object: DeepReadonly<PolicyBinding>, isMutating: boolean): FieldError[] {
  const { policyName, paramRef, matchResources } = object.spec ?? {};
  return [
    ...(policyName
      ? invalids("spec.policyName", policyName, subdomainErrors(policyName))
      : [required("spec.policyName")]),
    ...paramRefErrors(paramRef),
    ...matchErrors(matchResources, "spec.matchResources", isMutating),
  ];
}

const validatingBinding = define<ValidatingAdmissionPolicyBinding>(
  validatingAdmissionPolicyBindings,
  {
    categories,
    columns: bindingColumns<ValidatingAdmissionPolicyBinding>(),
    generation: true,
    defaults: (object) => matchDefaults(object.spec?.matchResources),
    validate(object) {
      return [
        ...validateBinding(object, false),
        ...actionErrors(object.spec?.validationActions ?? []),
      ];
    },
  },
);

const mutatingBinding = define<MutatingAdmissionPolicyBinding>(mutatingAdmissionPolicyBindings, {
  categories,
  columns: bindingColumns<MutatingAdmissionPolicyBinding>(),
  generation: true,
  defaults: (object) => matchDefaults(object.spec?.matchResources),
  validate: (object) => validateBinding(object, true),
});

export const admissionregistration: readonly ResourceDefinition[] = [
  mutatingPolicy,
  mutatingBinding,
  mutatingWebhook,
  validatingPolicy,
  validatingBinding,
  validatingWebhook,
];
