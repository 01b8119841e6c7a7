/** The objects of K3s' local storage: default class, configuration, rights of the provisioner. */
import {
  configMapName,
  configText,
  isUntouched,
  provisionerName,
} from "../agent/local-path/local-path-config.ts";
import { createIfAbsent } from "../api/auth/bootstrap-policy.ts";
import type { Client } from "../client/client.ts";
import {
  clusterRoleBindings,
  clusterRoles,
  configMaps,
  serviceAccounts,
  storageClasses,
} from "../client/resources.ts";
import type { PolicyRule } from "../gen/rbac-v1.ts";
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
  const data = { "config.json": configText(path) };
  const isNew = await createIfAbsent(client, configMaps, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: configMapName, namespace, annotations: { ...owner } },
    data,
  });
  if (isNew) return;
  const found = await client.get(configMaps, namespace, configMapName);
  const text = found.data?.["config.json"] ?? "";
  if (text === data["config.json"] || !isUntouched(text)) return;
  await client.patch(configMaps, namespace, configMapName, "merge", { data });
}

/** `--disable local-storage`: what was made goes; volumes and their data stay. */
export async function removeLocalStorage(client: Client): Promise<void> {
  await Promise.all([
    removeOwn(client, addon, storageClasses, { namespace: "", name: className }),
    removeOwn(client, addon, configMaps, { namespace, name: configMapName }),
    removeOwn(client, addon, clusterRoleBindings, { namespace: "", name: bindingName }),
    removeOwn(client, addon, clusterRoles, { namespace: "", name: roleName }),
    removeOwn(client, addon, serviceAccounts, { namespace, name: localPathAccount }),
  ]);
}
