/**
 * Cluster roles `system:controller:<name>` of the controllers, each bound to the service account
 * of that name in kube-system, verb by verb upstream's controller policy. Reading comes from the
 * server's own LiveSets, so what counts here are the writes and the reads that must be fresh.
 */
import type { PolicyRule } from "../../gen/rbac-v1.ts";
import { named, read, rule } from "./policy-rule.ts";

const change = ["patch", "update"];
const watch = ["list", "watch"];
const extensions = "extensions";
const events = [
  rule(["create", ...change], "", "events"),
  rule(["create", ...change], "events.k8s.io", "events"),
];
/** Pods of a workload: made, adopted, removed. */
const podRule = rule(["create", "delete", "list", "patch", "watch"], "", "pods");
const anyRevision = rule(["create", "delete", ...read, ...change], "apps", "controllerrevisions");
const anySlice = rule(
  ["create", "delete", ...read, "update"],
  "discovery.k8s.io",
  "endpointslices",
);

/** The same rule for the group a kind lives in and the one it once came from. */
function apps(verbs: readonly string[], ...resources: string[]): PolicyRule {
  return { verbs: [...verbs], apiGroups: ["apps", extensions], resources };
}

const kubeletClientSigner = "kubernetes.io/kube-apiserver-client-kubelet";

export const controllerRoles: Readonly<Record<string, readonly PolicyRule[]>> = {
  "attachdetach-controller": [
    rule(watch, "", "persistentvolumeclaims", "persistentvolumes", "pods"),
    rule(read, "", "nodes"),
    rule(change, "", "nodes/status"),
    rule(["create", "delete", ...read], "storage.k8s.io", "volumeattachments"),
    rule(read, "storage.k8s.io", "csidrivers", "csinodes"),
    ...events,
  ],
  "certificate-controller": [
    rule(["delete", ...read], "certificates.k8s.io", "certificatesigningrequests"),
    rule(
      ["update"],
      "certificates.k8s.io",
      "certificatesigningrequests/approval",
      "certificatesigningrequests/status",
    ),
    named(rule(["approve"], "certificates.k8s.io", "signers"), kubeletClientSigner),
    named(
      rule(["sign"], "certificates.k8s.io", "signers"),
      "kubernetes.io/kube-apiserver-client",
      kubeletClientSigner,
      "kubernetes.io/kubelet-serving",
      "kubernetes.io/legacy-unknown",
    ),
    rule(["create"], "authorization.k8s.io", "subjectaccessreviews"),
    ...events,
  ],
  // The sum of roles can be any right: it may write rights that it does not hold.
  "clusterrole-aggregation-controller": [
    rule(["escalate", ...read, ...change], "rbac.authorization.k8s.io", "clusterroles"),
  ],
  "cronjob-controller": [
    rule([...read, "update"], "batch", "cronjobs"),
    rule(["create", "delete", ...read, ...change], "batch", "jobs"),
    rule(["update"], "batch", "cronjobs/finalizers", "cronjobs/status"),
    rule(["delete", ...watch], "", "pods"),
    ...events,
  ],
  "daemon-set-controller": [
    apps(read, "daemonsets"),
    apps(["update"], "daemonsets/finalizers", "daemonsets/status"),
    rule(watch, "", "nodes"),
    podRule,
    rule(["create"], "", "pods/binding"),
    anyRevision,
    ...events,
  ],
  "deployment-controller": [
    apps([...read, "update"], "deployments"),
    apps(["update"], "deployments/finalizers", "deployments/status"),
    apps(["create", "delete", ...read, ...change], "replicasets"),
    rule([...read, "update"], "", "pods"),
    ...events,
  ],
  "device-taint-eviction-controller": [
    rule(["delete", ...read], "", "pods"),
    rule(change, "", "pods/status"),
    rule(read, "resource.k8s.io", "deviceclasses", "resourceclaims", "resourceslices"),
    ...events,
  ],
  "disruption-controller": [
    apps(read, "deployments", "replicasets"),
    rule(read, "", "replicationcontrollers"),
    rule(read, "policy", "poddisruptionbudgets"),
    rule(read, "apps", "statefulsets"),
    rule(["update"], "policy", "poddisruptionbudgets/status"),
    rule(change, "", "pods/status"),
    rule(["get"], "*", "*/scale"),
    ...events,
  ],
  "endpoint-controller": [
    rule(read, "", "pods", "services"),
    rule(["create", "delete", ...read, "update"], "", "endpoints"),
    rule(["create"], "", "endpoints/restricted"),
    ...events,
  ],
  "endpointslice-controller": [
    rule(read, "", "nodes", "pods", "services"),
    rule(["update"], "", "services/finalizers"),
    anySlice,
    ...events,
  ],
  "endpointslicemirroring-controller": [
    rule(read, "", "endpoints", "services"),
    rule(["update"], "", "endpoints/finalizers", "services/finalizers"),
    anySlice,
    ...events,
  ],
  "ephemeral-volume-controller": [
    rule(read, "", "pods"),
    rule(["update"], "", "pods/finalizers"),
    rule(["create", ...read], "", "persistentvolumeclaims"),
    ...events,
  ],
  "expand-controller": [
    rule([...read, ...change], "", "persistentvolumes"),
    rule(change, "", "persistentvolumeclaims/status"),
    rule(read, "", "persistentvolumeclaims"),
    ...events,
  ],
  "generic-garbage-collector": [rule(["delete", ...read, ...change], "*", "*"), ...events],
  "horizontal-pod-autoscaler": [
    rule(read, "autoscaling", "horizontalpodautoscalers"),
    rule(["update"], "autoscaling", "horizontalpodautoscalers/status"),
    rule(["get", "update"], "*", "*/scale"),
    rule(watch, "", "pods"),
    rule(watch, "metrics.k8s.io", "pods"),
    rule(read, "custom.metrics.k8s.io", "*"),
    rule(read, "external.metrics.k8s.io", "*"),
    ...events,
  ],
  "job-controller": [
    rule([...read, ...change], "batch", "jobs"),
    rule(["update"], "batch", "jobs/finalizers", "jobs/status"),
    podRule,
    ...events,
  ],
  "legacy-service-account-token-cleaner": [
    named(rule(["get"], "", "configmaps"), "kube-apiserver-legacy-service-account-token-tracking"),
    rule(["delete", "patch"], "", "secrets"),
  ],
  "namespace-controller": [
    rule(["delete", ...read], "", "namespaces"),
    rule(["update"], "", "namespaces/finalize", "namespaces/status"),
    rule(["delete", "deletecollection", ...read], "*", "*"),
  ],
  "node-controller": [
    rule(["delete", ...read, ...change], "", "nodes"),
    rule(change, "", "nodes/status", "pods/status"),
    rule(["delete", ...read], "", "pods"),
    ...events,
  ],
  "persistent-volume-binder": [
    rule(["create", "delete", ...read, "update"], "", "persistentvolumes"),
    rule([...read, "update"], "", "persistentvolumeclaims"),
    rule(["update"], "", "persistentvolumeclaims/status", "persistentvolumes/status"),
    rule(["create", "delete", ...read], "", "pods"),
    rule(read, "storage.k8s.io", "storageclasses"),
    rule(watch, "", "nodes"),
    rule(["watch"], "", "events"),
    ...events,
  ],
  "pod-garbage-collector": [
    rule(["delete", ...watch], "", "pods"),
    rule(read, "", "nodes"),
    rule(["patch"], "", "pods/status"),
  ],
  "pv-protection-controller": [rule([...read, "update"], "", "persistentvolumes"), ...events],
  "pvc-protection-controller": [
    rule([...read, "update"], "", "persistentvolumeclaims"),
    rule(["update"], "", "persistentvolumeclaims/status"),
    rule(read, "", "pods"),
    ...events,
  ],
  "replicaset-controller": [
    apps([...read, "update"], "replicasets"),
    apps(["update"], "replicasets/finalizers", "replicasets/status"),
    podRule,
    ...events,
  ],
  "replication-controller": [
    rule([...read, "update"], "", "replicationcontrollers"),
    rule(["update"], "", "replicationcontrollers/finalizers", "replicationcontrollers/status"),
    podRule,
    ...events,
  ],
  "resource-claim-controller": [
    rule(read, "", "pods"),
    rule(["update"], "", "pods/finalizers"),
    rule(["create", "delete", ...read], "resource.k8s.io", "resourceclaims"),
    rule(
      change,
      "resource.k8s.io",
      "resourceclaims",
      "resourceclaims/binding",
      "resourceclaims/status",
    ),
    rule(change, "", "pods/status"),
    ...events,
  ],
  "resourcequota-controller": [
    rule(watch, "*", "*"),
    rule(["update"], "", "resourcequotas/status"),
    ...events,
  ],
  "root-ca-cert-publisher": [rule(["create", "update"], "", "configmaps"), ...events],
  "route-controller": [rule(watch, "", "nodes"), rule(["patch"], "", "nodes/status"), ...events],
  "selinux-warning-controller": [
    rule(read, "", "persistentvolumeclaims", "persistentvolumes", "pods"),
    rule(read, "storage.k8s.io", "csidrivers"),
    ...events,
  ],
  "service-account-controller": [rule(["create"], "", "serviceaccounts"), ...events],
  "service-cidrs-controller": [
    rule([...read, ...change], "networking.k8s.io", "servicecidrs"),
    rule(change, "networking.k8s.io", "servicecidrs/finalizers", "servicecidrs/status"),
    rule(read, "networking.k8s.io", "ipaddresses"),
    ...events,
  ],
  "service-controller": [
    rule(read, "", "services"),
    rule(change, "", "services/status"),
    rule(watch, "", "nodes"),
    ...events,
  ],
  "statefulset-controller": [
    rule(["create", "delete", ...read, ...change], "", "pods"),
    rule(["update"], "", "pods/finalizers"),
    rule(read, "apps", "statefulsets"),
    rule(["update"], "apps", "statefulsets/finalizers", "statefulsets/status"),
    anyRevision,
    rule(["create", "delete", ...read, "update"], "", "persistentvolumeclaims"),
    ...events,
  ],
  "ttl-after-finished-controller": [rule(["delete", ...read], "batch", "jobs"), ...events],
  "ttl-controller": [rule([...watch, ...change], "", "nodes"), ...events],
  "validatingadmissionpolicy-status-controller": [
    rule(read, "admissionregistration.k8s.io", "validatingadmissionpolicies"),
    rule(["get", ...change], "admissionregistration.k8s.io", "validatingadmissionpolicies/status"),
    ...events,
  ],
  "volumeattributesclass-protection-controller": [
    rule(read, "", "persistentvolumeclaims", "persistentvolumes"),
    rule([...read, "update"], "storage.k8s.io", "volumeattributesclasses"),
    ...events,
  ],
};
