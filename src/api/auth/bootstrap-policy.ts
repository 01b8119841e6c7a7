/** The roles and bindings every cluster begins with, after upstream's bootstrap policy. */
import type { Client, Resource } from "../../client/client.ts";
import type { ClusterRole, ClusterRoleBinding, PolicyRule } from "../../gen/rbac-v1.ts";
import { isReason } from "../../lib/api-error.ts";
import type { KubeObject } from "../../schema/object.ts";
import { componentRoles } from "./component-roles.ts";
import { controllerRoles } from "./controller-roles.ts";
import { named, paths, read, readWrite, rule, write } from "./policy-rule.ts";

/** Set to "false" it keeps the server's hands off a bootstrap role or binding. */
export const autoupdateAnnotation = "rbac.authorization.kubernetes.io/autoupdate";
const labels = { "kubernetes.io/bootstrapping": "rbac-defaults" };
const annotations = { [autoupdateAnnotation]: "true" };

/** What marks a role or binding as one that every cluster begins with. */
export function bootstrapMetadata(name: string) {
  return { name, labels: { ...labels }, annotations: { ...annotations } };
}

const workloads = {
  apps: ["daemonsets", "deployments", "replicasets", "statefulsets"],
  scalable: ["deployments/scale", "replicasets/scale", "statefulsets/scale"],
  core: [
    "configmaps",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "replicationcontrollers/scale",
    "serviceaccounts",
    "services",
  ],
  batch: ["cronjobs", "jobs"],
  networking: ["ingresses", "networkpolicies"],
  /** What the group held before apps and networking.k8s.io took over. */
  extensions: [
    "daemonsets",
    "deployments",
    "deployments/scale",
    "ingresses",
    "networkpolicies",
    "replicasets",
    "replicasets/scale",
    "replicationcontrollers/scale",
  ],
};
const statusOf = (resources: readonly string[]): string[] =>
  resources.map((resource) => `${resource}/status`);

const viewRules: readonly PolicyRule[] = [
  rule(read, "", ...workloads.core, "bindings", "endpoints", "events", "limitranges", "namespaces"),
  rule(read, "", "namespaces/status", "pods/log", "pods/status", "resourcequotas"),
  rule(read, "", "replicationcontrollers/status"),
  rule(read, "", "resourcequotas/status", "services/status", "persistentvolumeclaims/status"),
  rule(read, "apps", ...workloads.apps, ...workloads.scalable, "controllerrevisions"),
  rule(read, "apps", ...statusOf(workloads.apps)),
  rule(read, "extensions", ...workloads.extensions, "daemonsets/status", "deployments/status"),
  rule(read, "extensions", "ingresses/status", "replicasets/status"),
  rule(read, "autoscaling", "horizontalpodautoscalers", "horizontalpodautoscalers/status"),
  rule(read, "batch", "cronjobs", "cronjobs/status", "jobs", "jobs/status"),
  rule(read, "discovery.k8s.io", "endpointslices"),
  rule(read, "networking.k8s.io", ...workloads.networking, "ingresses/status"),
  rule(read, "policy", "poddisruptionbudgets", "poddisruptionbudgets/status"),
];
const editRules: readonly PolicyRule[] = [
  rule(read, "", "pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "secrets"),
  rule(read, "", "services/proxy"),
  rule(["impersonate"], "", "serviceaccounts"),
  rule(["create"], "", "pods/eviction", "serviceaccounts/token"),
  rule(write, "", "pods", "pods/attach", "pods/exec", "pods/portforward", "pods/proxy"),
  rule(write, "", ...workloads.core, "secrets", "services/proxy", "events"),
  rule(write, "apps", ...workloads.apps, ...workloads.scalable, "deployments/rollback"),
  rule(write, "extensions", ...workloads.extensions, "deployments/rollback"),
  rule(write, "autoscaling", "horizontalpodautoscalers"),
  rule(write, "batch", ...workloads.batch),
  rule(write, "networking.k8s.io", ...workloads.networking),
  rule(write, "policy", "poddisruptionbudgets"),
  rule(readWrite, "coordination.k8s.io", "leases"),
];
const adminRules: readonly PolicyRule[] = [
  rule(["create"], "authorization.k8s.io", "localsubjectaccessreviews"),
  rule(readWrite, "rbac.authorization.k8s.io", "rolebindings", "roles"),
];

/** Name, rules, and to whom the role is bound cluster-wide. */
interface RoleRow {
  readonly rules: readonly PolicyRule[];
  /** Into which of admin, edit and view the rules flow. */
  readonly flowsInto?: string;
  /** True for roles whose rules are the sum of those that flow into them. */
  readonly isAggregate?: boolean;
  readonly groups?: readonly string[];
  readonly users?: readonly string[];
  /** Service accounts of kube-system. */
  readonly accounts?: readonly string[];
}

const discoveryPaths = ["/api", "/api/*", "/apis", "/apis/*"];
const healthPaths = ["/healthz", "/livez", "/readyz", "/version", "/version/"];

const table: Readonly<Record<string, RoleRow>> = {
  "cluster-admin": {
    rules: [
      { verbs: ["*"], apiGroups: ["*"], resources: ["*"] },
      { verbs: ["*"], nonResourceURLs: ["*"] },
    ],
    groups: ["system:masters"],
  },
  "system:discovery": {
    rules: [paths(...[...discoveryPaths, ...healthPaths, "/openapi", "/openapi/*"].sort())],
    groups: ["system:authenticated"],
  },
  "system:public-info-viewer": {
    rules: [paths(...healthPaths)],
    groups: ["system:authenticated", "system:unauthenticated"],
  },
  "system:monitoring": {
    rules: [
      paths("/healthz", "/healthz/*", "/livez", "/livez/*", "/readyz", "/readyz/*"),
      paths("/metrics", "/metrics/slis", "/flagz", "/statusz"),
    ],
    groups: ["system:monitoring"],
  },
  "system:basic-user": {
    rules: [
      rule(
        ["create"],
        "authorization.k8s.io",
        "selfsubjectaccessreviews",
        "selfsubjectrulesreviews",
      ),
      rule(["create"], "authentication.k8s.io", "selfsubjectreviews"),
    ],
    groups: ["system:authenticated"],
  },
  "system:service-account-issuer-discovery": {
    rules: [
      paths(
        "/.well-known/openid-configuration",
        "/.well-known/openid-configuration/",
        "/openid/v1/jwks",
        "/openid/v1/jwks/",
      ),
    ],
    groups: ["system:serviceaccounts"],
  },
  "system:auth-delegator": {
    rules: [
      rule(["create"], "authentication.k8s.io", "tokenreviews"),
      rule(["create"], "authorization.k8s.io", "subjectaccessreviews"),
    ],
  },
  "system:kube-scheduler": {
    rules: [
      rule(["create", "patch", "update"], "", "events"),
      rule(["create", "patch", "update"], "events.k8s.io", "events"),
      rule(["create"], "coordination.k8s.io", "leases"),
      named(rule(["get", "update"], "coordination.k8s.io", "leases"), "kube-scheduler"),
      rule(read, "", "nodes"),
      rule(["delete", ...read], "", "pods"),
      rule(["create"], "", "bindings", "pods/binding"),
      rule(["patch", "update"], "", "pods/status"),
      rule(read, "", "replicationcontrollers", "services"),
      rule(read, "apps", "replicasets", "statefulsets"),
      rule(read, "policy", "poddisruptionbudgets"),
      rule([...read, "patch", "update"], "", "persistentvolumeclaims", "persistentvolumes"),
      rule(["create"], "authentication.k8s.io", "tokenreviews"),
      rule(["create"], "authorization.k8s.io", "subjectaccessreviews"),
      rule(read, "", "namespaces"),
      rule(
        read,
        "storage.k8s.io",
        "csidrivers",
        "csinodes",
        "csistoragecapacities",
        "volumeattachments",
      ),
      rule(read, "resource.k8s.io", "deviceclasses", "resourceslices"),
      rule(
        [...read, "patch", "update"],
        "resource.k8s.io",
        "resourceclaims",
        "resourceclaims/status",
      ),
      rule(["create", "delete"], "resource.k8s.io", "resourceclaims"),
      rule(["patch", "update"], "resource.k8s.io", "resourceclaims/binding"),
      rule(["update"], "", "pods/finalizers"),
    ],
    users: ["system:kube-scheduler"],
  },
  "system:kube-controller-manager": {
    rules: [
      rule(["create", "patch", "update"], "", "events"),
      rule(["create", "patch", "update"], "events.k8s.io", "events"),
      rule([...read, "create", "update"], "coordination.k8s.io", "leases"),
      rule(["create"], "", "secrets", "serviceaccounts", "serviceaccounts/token"),
      rule(["delete"], "", "secrets"),
      rule(["get"], "", "configmaps", "namespaces", "secrets", "serviceaccounts"),
      rule(["update"], "", "secrets", "serviceaccounts"),
      rule(["create"], "authentication.k8s.io", "tokenreviews"),
      rule(["create"], "authorization.k8s.io", "subjectaccessreviews"),
      { verbs: ["list", "watch"], apiGroups: ["*"], resources: ["*"] },
    ],
    users: ["system:kube-controller-manager"],
  },
  "system:node-proxier": {
    rules: [
      rule(["list", "watch"], "", "services", "endpoints"),
      rule(read, "", "nodes"),
      rule(["create", "patch", "update"], "", "events"),
      rule(["list", "watch"], "discovery.k8s.io", "endpointslices"),
    ],
    users: ["system:kube-proxy"],
  },
  "system:aggregate-to-view": { rules: viewRules, flowsInto: "view" },
  "system:aggregate-to-edit": { rules: editRules, flowsInto: "edit" },
  "system:aggregate-to-admin": { rules: adminRules, flowsInto: "admin" },
  view: { rules: viewRules, isAggregate: true, flowsInto: "edit" },
  edit: { rules: [...editRules, ...viewRules], isAggregate: true, flowsInto: "admin" },
  admin: { rules: [...adminRules, ...editRules, ...viewRules], isAggregate: true },
  ...componentRoles,
  ...Object.fromEntries(
    Object.entries(controllerRoles).map(([name, rules]) => [
      `system:controller:${name}`,
      { rules, accounts: [name] },
    ]),
  ),
};

const aggregatePrefix = "rbac.authorization.k8s.io/aggregate-to-";

/** The cluster roles of the table as objects. */
export function bootstrapRoles(): readonly ClusterRole[] {
  return Object.entries(table).map(([name, { rules, flowsInto, isAggregate }]) => ({
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRole",
    metadata: {
      ...bootstrapMetadata(name),
      labels: { ...labels, ...(flowsInto && { [`${aggregatePrefix}${flowsInto}`]: "true" }) },
    },
    ...(isAggregate
      ? {
          aggregationRule: {
            clusterRoleSelectors: [{ matchLabels: { [`${aggregatePrefix}${name}`]: "true" } }],
          },
        }
      : {}),
    rules: [...rules],
  }));
}

/** The cluster role bindings of the table as objects. */
export function bootstrapBindings(): readonly ClusterRoleBinding[] {
  const apiGroup = "rbac.authorization.k8s.io";
  return Object.entries(table).flatMap(([name, { groups = [], users = [], accounts = [] }]) => {
    if (groups.length + users.length + accounts.length === 0) return [];
    const subjects = [
      ...groups.map((group) => ({ kind: "Group", apiGroup, name: group })),
      ...users.map((user) => ({ kind: "User", apiGroup, name: user })),
      ...accounts.map((account) => ({
        kind: "ServiceAccount",
        name: account,
        namespace: "kube-system",
      })),
    ];
    return [
      {
        apiVersion: `${apiGroup}/v1`,
        kind: "ClusterRoleBinding",
        metadata: bootstrapMetadata(name),
        subjects,
        roleRef: { apiGroup, kind: "ClusterRole", name },
      },
    ];
  });
}

/** Creates `object` unless one of its name exists; true when it was made. */
export async function createIfAbsent<T extends KubeObject>(
  client: Client,
  resource: Resource<T>,
  object: T,
): Promise<boolean> {
  const { namespace = "", name = "" } = object.metadata;
  try {
    // Asked first: a create may be refused for another reason before its name is looked at.
    await client.get(resource, namespace, name);
    return false;
  } catch (error) {
    if (!isReason(error, "NotFound")) throw error;
  }
  try {
    await client.create(resource, object);
    return true;
  } catch (error) {
    if (!isReason(error, "AlreadyExists")) throw error;
    return false;
  }
}
