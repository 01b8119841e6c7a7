/** rbac.authorization.k8s.io/v1. */
import type { Column, FieldError, ResourceDefinition } from "../api/resource-definition.ts";
import { clusterRoleBindings, clusterRoles, roleBindings, roles } from "../client/resources.ts";
import type {
  ClusterRole,
  ClusterRoleBinding,
  PolicyRule,
  Role,
  RoleBinding,
  Subject,
} from "../gen/rbac-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { pathSegmentErrors, subdomainErrors } from "../lib/names.ts";
import { semanticEqual } from "../lib/semantic-equal.ts";
import { invalid, invalids, notSupported, required } from "./field-errors.ts";
import { column, createdAtColumn, define, wide } from "./row.ts";
import { validateSelector } from "./selector-validation.ts";

const rbacGroup = "rbac.authorization.k8s.io";

function validateRule(
  rule: DeepReadonly<PolicyRule>,
  at: string,
  namespaced: boolean,
): FieldError[] {
  const errors: FieldError[] = [];
  if ((rule.verbs ?? []).length === 0)
    errors.push(required(`${at}.verbs`, "verbs must contain at least one value"));
  if ((rule.nonResourceURLs ?? []).length > 0) {
    if (namespaced)
      errors.push(
        invalid(
          `${at}.nonResourceURLs`,
          rule.nonResourceURLs,
          "namespaced rules cannot apply to non-resource URLs",
        ),
      );
    if (
      (rule.apiGroups ?? []).length +
        (rule.resources ?? []).length +
        (rule.resourceNames ?? []).length >
      0
    )
      errors.push(
        invalid(
          `${at}.nonResourceURLs`,
          rule.nonResourceURLs,
          "rules cannot apply to both regular resources and non-resource URLs",
        ),
      );
    return errors;
  }
  if ((rule.apiGroups ?? []).length === 0)
    errors.push(required(`${at}.apiGroups`, "resource rules must supply at least one api group"));
  if ((rule.resources ?? []).length === 0)
    errors.push(required(`${at}.resources`, "resource rules must supply at least one resource"));
  return errors;
}

function validateRules(
  rules: readonly DeepReadonly<PolicyRule>[] | undefined,
  namespaced: boolean,
): FieldError[] {
  return (rules ?? []).flatMap((rule, index) => validateRule(rule, `rules[${index}]`, namespaced));
}

const role = define<Role>(roles, {
  nameRule: pathSegmentErrors,
  columns: [createdAtColumn as never],
  age: -1,
  validate: (object) => validateRules(object.rules, true),
});

const clusterRole = define<ClusterRole>(clusterRoles, {
  nameRule: pathSegmentErrors,
  columns: [createdAtColumn as never],
  age: -1,
  validate(object) {
    const errors = validateRules(object.rules, false);
    const selectors = object.aggregationRule?.clusterRoleSelectors;
    if (object.aggregationRule && (selectors ?? []).length === 0)
      errors.push(
        required(
          "aggregationRule.clusterRoleSelectors",
          "at least one clusterRoleSelector required if aggregationRule is non-nil",
        ),
      );
    (selectors ?? []).forEach((selector, index) => {
      const at = `aggregationRule.clusterRoleSelectors[${index}]`;
      const problems = validateSelector(selector, at);
      errors.push(...problems);
      if (problems.length > 0) errors.push(invalid(at, null, "invalid label selector."));
    });
    return errors;
  },
});

function validateSubject(
  subject: DeepReadonly<Subject>,
  at: string,
  namespaced: boolean,
): FieldError[] {
  const errors: FieldError[] = [];
  if (!subject.name) errors.push(required(`${at}.name`));
  switch (subject.kind) {
    case "ServiceAccount":
      if (subject.name)
        errors.push(...invalids(`${at}.name`, subject.name, subdomainErrors(subject.name)));
      if (subject.apiGroup) errors.push(notSupported(`${at}.apiGroup`, subject.apiGroup, [""]));
      if (!namespaced && !subject.namespace) errors.push(required(`${at}.namespace`));
      break;
    case "User":
    case "Group":
      if (subject.apiGroup !== rbacGroup)
        errors.push(notSupported(`${at}.apiGroup`, subject.apiGroup, [rbacGroup]));
      break;
    default:
      errors.push(notSupported(`${at}.kind`, subject.kind, ["ServiceAccount", "User", "Group"]));
  }
  return errors;
}

type AnyBinding = DeepReadonly<RoleBinding | ClusterRoleBinding>;

function validateBinding(binding: AnyBinding, old: AnyBinding | undefined): FieldError[] {
  const errors: FieldError[] = [];
  const namespaced = binding.kind === "RoleBinding";
  const { roleRef } = binding;
  const kinds = namespaced ? ["Role", "ClusterRole"] : ["ClusterRole"];
  if (roleRef?.apiGroup !== rbacGroup)
    errors.push(notSupported("roleRef.apiGroup", roleRef?.apiGroup, [rbacGroup]));
  if (!kinds.includes(roleRef?.kind ?? ""))
    errors.push(notSupported("roleRef.kind", roleRef?.kind, kinds));
  if (!roleRef?.name) errors.push(required("roleRef.name"));
  else errors.push(...invalids("roleRef.name", roleRef.name, pathSegmentErrors(roleRef.name)));
  (binding.subjects ?? []).forEach((subject, index) => {
    errors.push(...validateSubject(subject, `subjects[${index}]`, namespaced));
  });
  if (old !== undefined && !semanticEqual(roleRef, old.roleRef))
    errors.push(invalid("roleRef", roleRef, "cannot change roleRef"));
  return errors;
}

function bindingDefaults(binding: RoleBinding | ClusterRoleBinding): void {
  if (binding.roleRef) binding.roleRef.apiGroup ||= rbacGroup;
  for (const subject of binding.subjects ?? []) {
    if (subject.apiGroup) continue;
    if (subject.kind === "User" || subject.kind === "Group") subject.apiGroup = rbacGroup;
  }
}

function subjectsCell(binding: AnyBinding, kind: string): string {
  return (binding.subjects ?? [])
    .filter((subject) => subject.kind === kind)
    .map((subject) =>
      kind === "ServiceAccount" ? `${subject.namespace ?? ""}/${subject.name}` : subject.name,
    )
    .join(", ");
}

function bindingColumns<T extends RoleBinding | ClusterRoleBinding>(): readonly Column<T>[] {
  const as = (binding: DeepReadonly<T>): AnyBinding => binding as AnyBinding;
  return [
    column("Role", (one) => `${as(one).roleRef?.kind}/${as(one).roleRef?.name}`),
    wide("Users", (one) => subjectsCell(as(one), "User")),
    wide("Groups", (one) => subjectsCell(as(one), "Group")),
    wide("ServiceAccounts", (one) => subjectsCell(as(one), "ServiceAccount")),
  ];
}

const roleBinding = define<RoleBinding>(roleBindings, {
  nameRule: pathSegmentErrors,
  columns: bindingColumns<RoleBinding>(),
  defaults: bindingDefaults,
  validate: (object, { old }) => validateBinding({ ...object, kind: "RoleBinding" }, old),
});

const clusterRoleBinding = define<ClusterRoleBinding>(clusterRoleBindings, {
  nameRule: pathSegmentErrors,
  columns: bindingColumns<ClusterRoleBinding>(),
  defaults: bindingDefaults,
  validate: (object, { old }) => validateBinding({ ...object, kind: "ClusterRoleBinding" }, old),
});

export const rbac: readonly ResourceDefinition[] = [
  clusterRoleBinding,
  clusterRole,
  roleBinding,
  role,
];
