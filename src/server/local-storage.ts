/** The objects of K3s' local storage: default class, configuration, rights of the provisioner. */

import { scriptRunner } from "../agent/local-path/helper-runner.ts";
import {
  configMapName,
  configText,
  isUntouched,
  provisionerName,
  shippedEntries,
} from "../agent/local-path/local-path-config.ts";
import { createLocalPathProvisioner } from "../agent/local-path/provisioner.ts";
import { createIfAbsent } from "../api/auth/bootstrap-policy.ts";
import type { Client } from "../client/client.ts";
import {
  clusterRoleBindings,
  clusterRoles,
  configMaps,
  roleBindings,
  roles,
  serviceAccounts,
  storageClasses,
} from "../client/resources.ts";
import { type ActingContext, contextAs } from "../controllers/acting-as.ts";
import type { PolicyRule } from "../gen/rbac-v1.ts";
import type { Controller } from "../live/controller.ts";
import { ownedBy, removeOwn } from "./addon-objects.ts";
import { nodeAgentUser } from "./join-rights.ts";

const namespace = "kube-system";
const className = "local-path";
const roleName = "local-path-provisioner-role";
const bindingName = "local-path-provisioner-bind";
export const localPathAccount = "local-path-provisioner-service-account";

const addon = "local-storage";
const owner = ownedBy(addon);

const read = ["get", "list", "watch"];
const rules: PolicyRule[] = [
  { apiGroups: [""], resources: ["nodes", "persistentvolumeclaims", "configmaps"], verbs: read },
  {
    apiGroups: [""],
    resources: ["persistentvolumes"],
    verbs: [...read, "create", "delete", "patch", "update"],
  },
  { apiGroups: [""], resources: ["events"], verbs: ["create", "patch"] },
  { apiGroups: ["storage.k8s.io"], resources: ["storageclasses"], verbs: read },
];

/** Pods that run the cluster's own scripts: servers alone make them, nodes may not. */
const helperRules: PolicyRule[] = [
  { apiGroups: [""], resources: ["pods"], verbs: ["get", "create", "delete"] },
];

/** What sees to volumes where the cluster has scripts of its own. */
export function createScriptProvisioner(of: ActingContext): Controller {
  const context = contextAs(of, localPathAccount, provisionerName);
  const means = scriptRunner(context, { namespace, serviceAccountName: localPathAccount });
  return createLocalPathProvisioner({ context, means });
}

/** Makes what is missing; a configuration that nobody has touched follows the default path. */
export async function ensureLocalStorage(client: Client, path: string): Promise<void> {
  const rbac = "rbac.authorization.k8s.io";
  await Promise.all([
    createIfAbsent(client, serviceAccounts, {
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: { name: localPathAccount, namespace, annotations: { ...owner } },
    }),
    createIfAbsent(client, clusterRoles, {
      apiVersion: `${rbac}/v1`,
      kind: "ClusterRole",
      metadata: { name: roleName, annotations: { ...owner } },
      rules,
    }),
    createIfAbsent(client, clusterRoleBindings, {
      apiVersion: `${rbac}/v1`,
      kind: "ClusterRoleBinding",
      metadata: { name: bindingName, annotations: { ...owner } },
      roleRef: { apiGroup: rbac, kind: "ClusterRole", name: roleName },
      subjects: [
        { kind: "ServiceAccount", name: localPathAccount, namespace },
        // Each node provides its own volumes.
        { kind: "User", apiGroup: rbac, name: nodeAgentUser },
      ],
    }),
    createIfAbsent(client, roles, {
      apiVersion: `${rbac}/v1`,
      kind: "Role",
      metadata: { name: roleName, namespace, annotations: { ...owner } },
      rules: helperRules,
    }),
    createIfAbsent(client, roleBindings, {
      apiVersion: `${rbac}/v1`,
      kind: "RoleBinding",
      metadata: { name: bindingName, namespace, annotations: { ...owner } },
      roleRef: { apiGroup: rbac, kind: "Role", name: roleName },
      subjects: [{ kind: "ServiceAccount", name: localPathAccount, namespace }],
    }),
    createIfAbsent(client, storageClasses, {
      apiVersion: "storage.k8s.io/v1",
      kind: "StorageClass",
      metadata: {
        name: className,
        annotations: {
          ...owner,
          defaultVolumeType: "local",
          "storageclass.kubernetes.io/is-default-class": "true",
        },
      },
      provisioner: provisionerName,
      volumeBindingMode: "WaitForFirstConsumer",
      reclaimPolicy: "Delete",
    }),
    ensureConfig(client, path),
  ]);
}

async function ensureConfig(client: Client, path: string): Promise<void> {
  const data = { ...shippedEntries, "config.json": configText(path) };
  const isNew = await createIfAbsent(client, configMaps, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: configMapName, namespace, annotations: { ...owner } },
    data,
  });
  if (isNew) return;
  const { data: found = {} } = await client.get(configMaps, namespace, configMapName);
  const text = found["config.json"] ?? "";
  const config = isUntouched(text) ? data["config.json"] : text;
  const wanted = { ...data, ...found, "config.json": config };
  if (Bun.deepEquals(wanted, found)) return;
  await client.patch(configMaps, namespace, configMapName, "merge", { data: wanted });
}

/** `--disable local-storage`: what was made goes; volumes and their data stay. */
export async function removeLocalStorage(client: Client): Promise<void> {
  await Promise.all([
    removeOwn(client, addon, storageClasses, { namespace: "", name: className }),
    removeOwn(client, addon, configMaps, { namespace, name: configMapName }),
    removeOwn(client, addon, roleBindings, { namespace, name: bindingName }),
    removeOwn(client, addon, roles, { namespace, name: roleName }),
    removeOwn(client, addon, clusterRoleBindings, { namespace: "", name: bindingName }),
    removeOwn(client, addon, clusterRoles, { namespace: "", name: roleName }),
    removeOwn(client, addon, serviceAccounts, { namespace, name: localPathAccount }),
  ]);
}
