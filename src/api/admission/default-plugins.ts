/** The admission chain, in upstream's order of plugins that are on by default. */
import type { AdmissionPlugin } from "../admission-plugin.ts";
import { mutatingWebhooks, validatingWebhooks } from "../webhooks/plugins.ts";
import {
  certificateApproval,
  certificateSigning,
  certificateSubjectRestriction,
} from "./certificates.ts";
import { namespaceLifecycle } from "./namespace-lifecycle.ts";
import { nodeRestriction } from "./node-restriction.ts";
import { defaultTolerationSeconds, priority, taintNodesByCondition } from "./pod-defaults.ts";
import { rbacEscalation } from "./rbac-escalation.ts";
import { serviceAccount } from "./service-account.ts";
import {
  defaultStorageClass,
  persistentVolumeClaimResize,
  storageObjectInUseProtection,
} from "./storage.ts";

export function defaultAdmission(): readonly AdmissionPlugin[] {
  return [
    namespaceLifecycle,
    serviceAccount,
    nodeRestriction,
    taintNodesByCondition,
    priority,
    defaultTolerationSeconds,
    defaultStorageClass,
    storageObjectInUseProtection,
    persistentVolumeClaimResize,
    certificateApproval,
    certificateSigning,
    certificateSubjectRestriction,
    rbacEscalation,
    mutatingWebhooks,
    validatingWebhooks,
  ];
}
