/** The objects of K3s' ingress: the class, the Service that users know it by, its rights. */
import { createIfAbsent } from "../api/auth/bootstrap-policy.ts";
import type { Client } from "../client/client.ts";
import {
  clusterRoleBindings,
  clusterRoles,
  ingressClasses,
  serviceAccounts,
  services,
} from "../client/resources.ts";
import type { PolicyRule } from "../gen/rbac-v1.ts";
import { gatewayGroup } from "../schema/gateway-api.ts";
import { ingressControllerName, ingressName, ingressNamespace } from "../schema/served-ingress.ts";
import { ownedBy, removeOwn } from "./addon-objects.ts";
import { removeGatewayClass } from "./gateway-api/ensure.ts";

const addon = "traefik";
const namespace = ingressNamespace;
const name = ingressName;
const roleName = `${name}-${namespace}`;
export const ingressAccount = name;

/** As Traefik's chart labels what it makes; tools look for them. */
const labels = {
  "app.kubernetes.io/instance": `${name}-${namespace}`,
  "app.kubernetes.io/name": name,
};
const annotations = ownedBy(addon);

const read = ["get", "list", "watch"];
const gatewayPlurals = [
  "gatewayclasses",
  "gateways",
  "httproutes",
  "grpcroutes",
  "referencegrants",
];
const rules: PolicyRule[] = [
  {
    apiGroups: [""],
    resources: ["services", "secrets", "nodes", "pods", "namespaces"],
    verbs: read,
  },
  {
    apiGroups: ["discovery.k8s.io"],
    resources: ["endpointslices"],
    verbs: [...read, "create", "update", "patch", "delete"],
  },
  {
    apiGroups: ["networking.k8s.io"],
    resources: ["ingresses", "ingressclasses"],
    verbs: read,
  },
  { apiGroups: ["networking.k8s.io"], resources: ["ingresses/status"], verbs: ["update", "patch"] },
  {
    apiGroups: ["apiextensions.k8s.io"],
    resources: ["customresourcedefinitions"],
    verbs: read,
  },
  { apiGroups: [gatewayGroup], resources: gatewayPlurals, verbs: read },
  {
    apiGroups: [gatewayGroup],
    resources: [
      "gatewayclasses/status",
      "gateways/status",
      "httproutes/status",
      "grpcroutes/status",
    ],
    verbs: ["update", "patch"],
  },
  { apiGroups: [""], resources: ["events"], verbs: ["create", "patch"] },
];

/** Makes what is missing; what stands is the administrator's. */
export async function ensureIngress(client: Client): Promise<void> {
  const rbac = "rbac.authorization.k8s.io";
  await Promise.all([
    createIfAbsent(client, serviceAccounts, {
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: { name, namespace, labels, annotations },
    }),
    createIfAbsent(client, clusterRoles, {
      apiVersion: `${rbac}/v1`,
      kind: "ClusterRole",
      metadata: { name: roleName, labels, annotations },
      rules,
    }),
    createIfAbsent(client, clusterRoleBindings, {
      apiVersion: `${rbac}/v1`,
      kind: "ClusterRoleBinding",
      metadata: { name: roleName, labels, annotations },
      roleRef: { apiGroup: rbac, kind: "ClusterRole", name: roleName },
      subjects: [{ kind: "ServiceAccount", name, namespace }],
    }),
    createIfAbsent(client, ingressClasses, {
      apiVersion: "networking.k8s.io/v1",
      kind: "IngressClass",
      metadata: {
        name,
        labels,
        annotations: {
          ...annotations,
          "ingressclass.kubernetes.io/is-default-class": "true",
        },
      },
      spec: { controller: ingressControllerName },
    }),
    createIfAbsent(client, services, {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name, namespace, labels, annotations },
      spec: {
        // No selector: the ingress of each node writes its own EndpointSlice.
        type: "LoadBalancer",
        ipFamilyPolicy: "PreferDualStack",
        // Each server has its own, which sees who asks; other nodes lead to one of them.
        trafficDistribution: "PreferSameNode",
        ports: [
          { name: "web", port: 80, protocol: "TCP", targetPort: "web" },
          { name: "websecure", port: 443, protocol: "TCP", targetPort: "websecure" },
        ],
      },
    }),
  ]);
}

/** `--disable traefik`: what was made goes; Ingresses stay. */
export async function removeIngress(client: Client): Promise<void> {
  await Promise.all([
    removeOwn(client, addon, services, { namespace, name }),
    removeOwn(client, addon, ingressClasses, { namespace: "", name }),
    removeOwn(client, addon, clusterRoleBindings, { namespace: "", name: roleName }),
    removeOwn(client, addon, clusterRoles, { namespace: "", name: roleName }),
    removeOwn(client, addon, serviceAccounts, { namespace, name }),
    removeGatewayClass(client),
  ]);
}
