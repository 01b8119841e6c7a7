/** What the nodes of other machines may do beside what Kubernetes lets kubelets do. */
import { createIfAbsent } from "../api/auth/bootstrap-policy.ts";
import type { Client } from "../client/client.ts";
import { clusterRoleBindings, clusterRoles } from "../client/resources.ts";
import type { PolicyRule } from "../gen/rbac-v1.ts";

/** K3s' identity of what runs on every node without being the kubelet. */
export const nodeAgentUser = "system:k3s-controller";
const apiGroup = "rbac.authorization.k8s.io";

/** Services, DNS, policies and the overlay: all that is read, nothing that is written. */
const rules: PolicyRule[] = [
  {
    apiGroups: [""],
    resources: ["nodes", "services", "endpoints", "namespaces", "pods"],
    verbs: ["get", "list", "watch"],
  },
  {
    // What the cluster's DNS is told by; no other ConfigMap.
    apiGroups: [""],
    resources: ["configmaps"],
    resourceNames: ["coredns", "coredns-custom"],
    verbs: ["get", "list", "watch"],
  },
  {
    apiGroups: ["discovery.k8s.io"],
    resources: ["endpointslices"],
    verbs: ["get", "list", "watch"],
  },
  {
    apiGroups: ["networking.k8s.io"],
    resources: ["networkpolicies"],
    verbs: ["get", "list", "watch"],
  },
];

/** Makes what is missing; safe at every start. */
export async function ensureJoinRights(client: Client): Promise<void> {
  await Promise.all([
    createIfAbsent(client, clusterRoles, {
      apiVersion: `${apiGroup}/v1`,
      kind: "ClusterRole",
      metadata: { name: nodeAgentUser },
      rules,
    }),
    createIfAbsent(client, clusterRoleBindings, {
      apiVersion: `${apiGroup}/v1`,
      kind: "ClusterRoleBinding",
      metadata: { name: nodeAgentUser },
      roleRef: { apiGroup, kind: "ClusterRole", name: nodeAgentUser },
      subjects: [{ kind: "User", apiGroup, name: nodeAgentUser }],
    }),
  ]);
}
