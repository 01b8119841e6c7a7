/**
 * Cluster roles `system:controller:<name>` of the controllers, each bound to the service account
 * of that name in kube-system (upstream's controller policy).
 */
import type { PolicyRule } from "../../gen/rbac-v1.ts";
import { read, rule } from "./policy-rule.ts";

const change = ["patch", "update"];
const events = [
  rule(["create", ...change], "", "events"),
  rule(["create", ...change], "events.k8s.io", "events"),
];
const watch = ["list", "watch"];
const everyPod = ["create", "delete", "patch", "list", "watch"];

function endpointSliceRules(source: string): readonly PolicyRule[] {
  return [
    rule(read, "", "services", "pods", "nodes", source),
    rule(["update"], "", "services/finalizers", "endpoints/finalizers"),
    rule(["create", "delete", ...read, "update"], "discovery.k8s.io", "endpointslices"),
    rule(["create"], "discovery.k8s.io", "endpointslices/restricted"),
    ...events,
  ];
}

export const controllerRoles: Readonly<Record<string, readonly PolicyRule[]>> = {
  "attachdetach-controller": [
    rule(watch, "", "persistentvolumes", "persistentvolumeclaims", "pods"),
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
    rule(["approve", "sign"], "certificates.k8s.io", "signers"),
    rule(["create"], "authorization.k8s.io", "subjectaccessreviews"),
    ...events,
  ],
  // The sum of roles can be any right: it has to hold them all.
  "clusterrole-aggregation-controller": [
    rule([...read, "escalate", ...change], "rbac.authorization.k8s.io", "clusterroles"),
  ],
  "cronjob-controller": [
    rule([...read, "update"], "batch", "cronjobs"),
    rule(["create", "delete", ...read, ...change], "batch", "jobs"),
    rule(["update"], "batch", "cronjobs/finalizers", "cronjobs/status"),
    rule(["delete", "list"], "", "pods"),
    ...events,
  ],
  "daemon-set-controller": [
    rule(read, "apps", "daemonsets"),
    rule(["update"], "apps", "daemonsets/finalizers", "daemonsets/status"),
    rule(watch, "", "nodes"),
    rule(everyPod, "", "pods"),
    rule(["create"], "", "pods/binding"),
    rule(["create", "delete", ...read, ...change], "apps", "controllerrevisions"),
    ...events,
  ],
  "deployment-controller": [
    rule([...read, "update"], "apps", "deployments"),
    rule(["update"], "apps", "deployments/finalizers", "deployments/status"),
    rule(["create", "delete", ...read, ...change], "apps", "replicasets"),
    rule([...read, "update"], "", "pods"),
    ...events,
  ],
  "disruption-controller": [
    rule(read, "apps", "deployments", "replicasets", "statefulsets"),
    rule(read, "", "replicationcontrollers"),
    rule(read, "policy", "poddisruptionbudgets"),
    rule(["update"], "policy", "poddisruptionbudgets/status"),
    rule(read, "", "pods"),
    rule(change, "", "pods/status"),
    rule(["get"], "*", "*/scale"),
    ...events,
  ],
  "endpoint-controller": [
    rule(read, "", "pods", "services"),
    rule(["create", "delete", ...read, "update"], "", "endpoints"),
    rule(["update"], "", "endpoints/finalizers"),
    rule(["create"], "", "endpoints/restricted"),
    ...events,
  ],
  "endpointslice-controller": endpointSliceRules("endpoints"),
  "endpointslicemirroring-controller": endpointSliceRules("endpoints"),
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
    rule(read, "storage.k8s.io", "storageclasses"),
    ...events,
  ],
  "generic-garbage-collector": [rule(["delete", ...read, ...change], "*", "*"), ...events],
  "horizontal-pod-autoscaler": [
    rule(read, "autoscaling", "horizontalpodautoscalers"),
    rule(["update"], "autoscaling", "horizontalpodautoscalers/status"),
    rule(["get", "update"], "*", "*/scale"),
    rule(["list"], "", "pods"),
    rule(["list"], "metrics.k8s.io", "pods"),
    rule(["get", "list"], "custom.metrics.k8s.io", "*"),
    rule(["get", "list"], "external.metrics.k8s.io", "*"),
    ...events,
  ],
  "job-controller": [
    rule([...read, ...change], "batch", "jobs"),
    rule(["update"], "batch", "jobs/finalizers", "jobs/status"),
    rule(everyPod, "", "pods"),
    ...events,
  ],
  "legacy-service-account-token-cleaner": [
    rule(read, "", "configmaps", "pods", "serviceaccounts"),
    rule(["delete", ...read, "patch"], "", "secrets"),
  ],
  "namespace-controller": [
    rule(["delete", ...read], "", "namespaces"),
    rule(["update"], "", "namespaces/finalize", "namespaces/status"),
    rule(["delete", "deletecollection", "get", "list"], "*", "*"),
  ],
  "node-controller": [
    rule(["delete", ...read, ...change], "", "nodes"),
    rule(change, "", "nodes/status", "pods/status"),
    rule(["delete", "list", "get", "watch"], "", "pods"),
    rule(read, "coordination.k8s.io", "leases"),
    rule(read, "networking.k8s.io", "servicecidrs"),
    ...events,
  ],
  "persistent-volume-binder": [
    rule(["create", "delete", ...read, "update"], "", "persistentvolumes"),
    rule([...read, "update"], "", "persistentvolumeclaims"),
    rule(["update"], "", "persistentvolumeclaims/status", "persistentvolumes/status"),
    rule(["create", "delete", ...read], "", "pods"),
    rule(read, "storage.k8s.io", "storageclasses"),
    rule(read, "", "nodes", "secrets"),
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
    rule(read, "", "pods"),
    rule(change, "", "persistentvolumeclaims/status"),
    ...events,
  ],
  "replicaset-controller": [
    rule([...read, "update"], "apps", "replicasets"),
    rule(["update"], "apps", "replicasets/finalizers", "replicasets/status"),
    rule(everyPod, "", "pods"),
    ...events,
  ],
  "replication-controller": [
    rule([...read, "update"], "", "replicationcontrollers"),
    rule(["update"], "", "replicationcontrollers/finalizers", "replicationcontrollers/status"),
    rule(everyPod, "", "pods"),
    ...events,
  ],
  "resource-claim-controller": [
    rule(read, "", "pods"),
    rule(["update"], "", "pods/finalizers"),
    rule(["patch"], "", "pods/status"),
    rule(["create", "delete", ...read], "resource.k8s.io", "resourceclaims"),
    rule(change, "resource.k8s.io", "resourceclaims/status"),
    rule(read, "resource.k8s.io", "resourceclaimtemplates"),
    ...events,
  ],
  "resourcequota-controller": [
    rule(watch, "*", "*"),
    rule(["update"], "", "resourcequotas/status"),
    ...events,
  ],
  "root-ca-cert-publisher": [rule(["create", ...read, "update"], "", "configmaps"), ...events],
  "route-controller": [rule(watch, "", "nodes"), rule(["patch"], "", "nodes/status"), ...events],
  "selinux-warning-controller": [
    rule(watch, "", "persistentvolumeclaims", "persistentvolumes", "pods"),
    rule(read, "storage.k8s.io", "csidrivers"),
    ...events,
  ],
  "service-account-controller": [rule(["create", ...read], "", "serviceaccounts"), ...events],
  "service-cidrs-controller": [
    rule([...read, ...change], "networking.k8s.io", "servicecidrs"),
    rule(["update"], "networking.k8s.io", "servicecidrs/finalizers"),
    rule(change, "networking.k8s.io", "servicecidrs/status"),
    rule(read, "networking.k8s.io", "ipaddresses"),
    ...events,
  ],
  "service-controller": [
    rule(read, "", "services"),
    rule(change, "", "services/status"),
    rule(watch, "", "nodes"),
    rule(["patch"], "", "services"),
    ...events,
  ],
  "statefulset-controller": [
    rule(watch, "", "pods"),
    rule(read, "apps", "statefulsets"),
    rule(["update"], "apps", "statefulsets/finalizers", "statefulsets/status"),
    rule(["create", "delete", "get", ...change], "", "pods"),
    rule(["create", "delete", ...read, ...change], "apps", "controllerrevisions"),
    rule(["create", "delete", ...read, "update"], "", "persistentvolumeclaims"),
    ...events,
  ],
  "storage-version-migrator-controller": [
    rule(["list", "patch"], "*", "*"),
    rule(read, "storagemigration.k8s.io", "storageversionmigrations"),
    rule(["update"], "storagemigration.k8s.io", "storageversionmigrations/status"),
  ],
  "ttl-after-finished-controller": [rule(["delete", ...read], "batch", "jobs"), ...events],
  "ttl-controller": [rule([...watch, "patch", "update"], "", "nodes"), ...events],
  "validatingadmissionpolicy-status-controller": [
    rule(read, "admissionregistration.k8s.io", "validatingadmissionpolicies"),
    rule(["get", ...change], "admissionregistration.k8s.io", "validatingadmissionpolicies/status"),
    ...events,
  ],
  "volumeattributesclass-protection-controller": [
    rule([...read, "update"], "storage.k8s.io", "volumeattributesclasses"),
    rule(read, "", "persistentvolumeclaims", "persistentvolumes"),
    ...events,
  ],
};
