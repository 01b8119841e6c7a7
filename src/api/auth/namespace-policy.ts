/** Roles and bindings inside of kube-system and kube-public that components rely on. */
import type { PolicyRule, Role, RoleBinding } from "../../gen/rbac-v1.ts";
import { bootstrapMetadata } from "./bootstrap-policy.ts";
import { named, read, rule } from "./policy-rule.ts";

const apiGroup = "rbac.authorization.k8s.io";
const system = "kube-system";
const readerRole = "extension-apiserver-authentication-reader";
/** Where extension API servers find the authorities of clients and of the aggregating proxy. */
export const extensionConfigMap = "extension-apiserver-authentication";

interface Row {
  readonly namespace: string;
  readonly name: string;
  readonly rules: readonly PolicyRule[];
  readonly users?: readonly string[];
  /** Service accounts of kube-system. */
  readonly accounts?: readonly string[];
  /** When it is not called like the role. */
  readonly bindingName?: string;
}

const events: readonly PolicyRule[] = ["", "events.k8s.io"].map((group) =>
  rule(["create", "patch", "update"], group, "events"),
);

/** The leases of components used to be ConfigMaps; the roles stay as upstream has them. */
function leaderLocking(component: string): Row {
  return {
    namespace: system,
    name: `system::leader-locking-${component}`,
    rules: [
      rule(["watch"], "", "configmaps"),
      named(rule(["get", "update"], "", "configmaps"), component),
    ],
    users: [`system:${component}`],
    accounts: [component],
  };
}

const signer = "system:controller:bootstrap-signer";
const table: readonly Row[] = [
  {
    namespace: system,
    name: readerRole,
    rules: [named(rule(read, "", "configmaps"), extensionConfigMap)],
    users: ["system:kube-controller-manager", "system:kube-scheduler"],
    bindingName: `system::${readerRole}`,
  },
  leaderLocking("kube-controller-manager"),
  leaderLocking("kube-scheduler"),
  {
    namespace: system,
    name: signer,
    rules: [rule(read, "", "secrets")],
    accounts: ["bootstrap-signer"],
  },
  {
    namespace: system,
    name: "system:controller:cloud-provider",
    rules: [rule(["create", ...read], "", "configmaps")],
    accounts: ["cloud-provider"],
  },
  {
    namespace: system,
    name: "system:controller:token-cleaner",
    rules: [rule(["delete", ...read], "", "secrets"), ...events],
    accounts: ["token-cleaner"],
  },
  {
    namespace: "kube-public",
    name: signer,
    rules: [
      rule(read, "", "configmaps"),
      named(rule(["update"], "", "configmaps"), "cluster-info"),
      ...events,
    ],
    accounts: ["bootstrap-signer"],
  },
];

export function namespacedRoles(): readonly Role[] {
  return table.map(({ namespace, name, rules }) => ({
    apiVersion: `${apiGroup}/v1`,
    kind: "Role",
    metadata: { ...bootstrapMetadata(name), namespace },
    rules: [...rules],
  }));
}

export function namespacedBindings(): readonly RoleBinding[] {
  return table.map(({ namespace, name, users = [], accounts = [], bindingName = name }) => ({
    apiVersion: `${apiGroup}/v1`,
    kind: "RoleBinding",
    metadata: { ...bootstrapMetadata(bindingName), namespace },
    subjects: [
      ...users.map((user) => ({ kind: "User", apiGroup, name: user })),
      ...accounts.map((account) => ({
        kind: "ServiceAccount",
        name: account,
        namespace: system,
      })),
    ],
    roleRef: { apiGroup, kind: "Role", name },
  }));
}
