/** Cluster roles of Kubernetes' components that others bind to or expect to find. */
import type { PolicyRule } from "../../gen/rbac-v1.ts";
import { read, rule } from "./policy-rule.ts";

interface ComponentRole {
  readonly rules: readonly PolicyRule[];
  readonly groups?: readonly string[];
  readonly users?: readonly string[];
}

const events = rule(["create", "patch", "update"], "", "events");
const eventsV1 = rule(["create", "patch", "update"], "events.k8s.io", "events");
const certificates = "certificates.k8s.io";

/** Approving or signing for one signer. */
function signer(verb: "approve" | "sign", name: string): PolicyRule {
  return {
    verbs: [verb],
    apiGroups: [certificates],
    resources: ["signers"],
    resourceNames: [name],
  };
}

export const componentRoles: Readonly<Record<string, ComponentRole>> = {
  "system:node": {
    rules: [
      rule(["create"], "authentication.k8s.io", "tokenreviews"),
      rule(["create"], "authorization.k8s.io", "localsubjectaccessreviews", "subjectaccessreviews"),
      rule(read, "", "services"),
      rule(["create", ...read], "", "nodes"),
      rule(["patch", "update"], "", "nodes/status", "pods/status"),
      rule(["patch", "update"], "", "nodes"),
      rule(["create", "delete", ...read], "", "pods"),
      rule(["create"], "", "pods/eviction", "serviceaccounts/token"),
      rule(read, "", "configmaps", "secrets"),
      rule(["get"], "", "persistentvolumeclaims", "persistentvolumes"),
      rule(["get", "patch", "update"], "", "persistentvolumeclaims/status"),
      rule(["create", ...read], certificates, "certificatesigningrequests"),
      rule(["create", "delete", "get", "patch", "update"], "coordination.k8s.io", "leases"),
      rule(["create", "delete", "get", "patch", "update"], "storage.k8s.io", "csinodes"),
      rule(["get"], "storage.k8s.io", "volumeattachments"),
      rule(read, "storage.k8s.io", "csidrivers"),
      rule(read, "node.k8s.io", "runtimeclasses"),
      events,
      eventsV1,
    ],
  },
  "system:node-bootstrapper": {
    rules: [rule(["create", ...read], certificates, "certificatesigningrequests")],
  },
  "system:node-problem-detector": {
    rules: [rule(["get"], "", "nodes"), rule(["patch"], "", "nodes/status"), events, eventsV1],
  },
  "system:kubelet-api-admin": {
    rules: [
      rule(read, "", "nodes"),
      rule(["proxy"], "", "nodes"),
      rule(
        ["*"],
        "",
        "nodes/configz",
        "nodes/healthz",
        "nodes/log",
        "nodes/metrics",
        "nodes/pods",
        "nodes/proxy",
        "nodes/stats",
      ),
    ],
    // The certificate by which the API server calls kubelets.
    users: ["system:apiserver", "kube-apiserver"],
  },
  "system:kube-dns": {
    rules: [rule(["list", "watch"], "", "endpoints", "services")],
  },
  "system:kube-aggregator": {
    rules: [rule(read, "", "endpoints", "services")],
  },
  "system:persistent-volume-provisioner": {
    rules: [
      rule(["create", "delete", ...read], "", "persistentvolumes"),
      rule([...read, "update"], "", "persistentvolumeclaims"),
      rule(read, "storage.k8s.io", "storageclasses"),
      rule(["watch"], "", "events"),
      events,
    ],
  },
  "system:volume-scheduler": {
    rules: [
      rule([...read, "patch", "update"], "", "persistentvolumes", "persistentvolumeclaims"),
      rule(read, "storage.k8s.io", "storageclasses"),
    ],
    users: ["system:kube-scheduler"],
  },
  "system:heapster": {
    rules: [
      rule(read, "", "events", "namespaces", "nodes", "pods"),
      rule(read, "extensions", "deployments"),
    ],
  },
  "system:certificates.k8s.io:certificatesigningrequests:nodeclient": {
    rules: [rule(["create"], certificates, "certificatesigningrequests/nodeclient")],
  },
  "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient": {
    rules: [rule(["create"], certificates, "certificatesigningrequests/selfnodeclient")],
  },
  "system:certificates.k8s.io:kube-apiserver-client-approver": {
    rules: [signer("approve", "kubernetes.io/kube-apiserver-client")],
  },
  "system:certificates.k8s.io:kube-apiserver-client-kubelet-approver": {
    rules: [signer("approve", "kubernetes.io/kube-apiserver-client-kubelet")],
  },
  "system:certificates.k8s.io:kubelet-serving-approver": {
    rules: [signer("approve", "kubernetes.io/kubelet-serving")],
  },
  "system:certificates.k8s.io:legacy-unknown-approver": {
    rules: [signer("approve", "kubernetes.io/legacy-unknown")],
  },
};
