/** The admission chain, in upstream's order of plugins that are on by default. */
import type { AdmissionPlugin } from "../admission-plugin.ts";
import { mutatingPolicies } from "../policies/mutating.ts";
import { validatingPolicies } from "../policies/validating.ts";
import { mutatingWebhooks, validatingWebhooks } from "../webhooks/plugins.ts";
import {
  certificateApproval,
  certificateSigning,
  certificateSubjectRestriction,
} from "./certificates.ts";
import { defaultIngressClass } from "./default-ingress-class.ts";
import { limitRanger } from "./limit-ranger.ts";
import { namespaceLifecycle } from "./namespace-lifecycle.ts";
import { nodeRestriction } from "./node-restriction.ts";
import { defaultTolerationSeconds, priority, taintNodesByCondition } from "./pod-defaults.ts";
import { podSecurity } from "./pod-security/plugin.ts";
import { podTopologyLabels } from "./pod-topology-labels.ts";
import { rbacEscalation } from "./rbac-escalation.ts";
import { resourceQuota } from "./resource-quota.ts";
import { runtimeClass } from "./runtime-class.ts";
import { serviceAccount } from "./service-account.ts";
import {
  defaultStorageClass,
  persistentVolumeClaimResize,
  storageObjectInUseProtection,
} from "./storage.ts";

export function defaultAdmission(): readonly AdmissionPlugin[] {
  return [
    namespaceLifecycle,
    limitRanger,
    serviceAccount,
    nodeRestriction,
    taintNodesByCondition,
    podSecurity,
    priority,
    defaultTolerationSeconds,
    defaultStorageClass,
    storageObjectInUseProtection,
    persistentVolumeClaimResize,
    runtimeClass,
    certificateApproval,
    certificateSigning,
    certificateSubjectRestriction,
    defaultIngressClass,
    podTopologyLabels,
    // Policies come here: they see what the plugins above made of the object.
    mutatingPolicies,
    mutatingWebhooks,
    rbacEscalation,
    validatingPolicies,
    validatingWebhooks,
    // Last, as what is counted must not be refused afterwards.
    resourceQuota,
  ];
}
