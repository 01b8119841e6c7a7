/** The admission chain: every plugin there is, in upstream's order. */
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
import { eventRateLimit } from "./event-rate-limit.ts";
import { imagePolicyWebhook } from "./image-policy.ts";
import { limitRanger } from "./limit-ranger.ts";
import { namespaceLifecycle } from "./namespace-lifecycle.ts";
import { nodeDeclaredFeatures } from "./node-declared-features.ts";
import { nodeRestriction } from "./node-restriction.ts";
import {
  alwaysAdmit,
  alwaysDeny,
  alwaysPullImages,
  denyServiceExternalIps,
  extendedResourceToleration,
  limitPodHardAntiAffinityTopology,
  namespaceAutoProvision,
  namespaceExists,
} from "./optional-plugins.ts";
import { ownerReferences } from "./owner-references.ts";
import { defaultTolerationSeconds, priority, taintNodesByCondition } from "./pod-defaults.ts";
import { podNodeSelector } from "./pod-node-selector.ts";
import { podResizeValidator } from "./pod-resize.ts";
import { podSecurity } from "./pod-security/plugin.ts";
import { podTolerationRestriction } from "./pod-toleration-restriction.ts";
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

/** Every plugin in upstream's order; the second member tells whether it is on by default. */
const ordered: readonly (readonly [AdmissionPlugin, "on" | "off"])[] = [
  [alwaysAdmit, "off"],
  [namespaceAutoProvision, "off"],
  [namespaceLifecycle, "on"],
  [namespaceExists, "off"],
  [limitPodHardAntiAffinityTopology, "off"],
  [limitRanger, "on"],
  [serviceAccount, "on"],
  [nodeRestriction, "on"],
  [taintNodesByCondition, "on"],
  [alwaysPullImages, "off"],
  [imagePolicyWebhook, "off"],
  [podSecurity, "on"],
  [podNodeSelector, "off"],
  [priority, "on"],
  [defaultTolerationSeconds, "on"],
  [podTolerationRestriction, "off"],
  [eventRateLimit, "off"],
  [extendedResourceToleration, "off"],
  [defaultStorageClass, "on"],
  [storageObjectInUseProtection, "on"],
  [ownerReferences, "off"],
  [persistentVolumeClaimResize, "on"],
  [runtimeClass, "on"],
  [certificateApproval, "on"],
  [certificateSigning, "on"],
  [certificateSubjectRestriction, "on"],
  [defaultIngressClass, "on"],
  [denyServiceExternalIps, "off"],
  [podTopologyLabels, "on"],
  [nodeDeclaredFeatures, "on"],
  [podResizeValidator, "on"],
  // Policies come here: they see what the plugins above made of the object.
  [mutatingPolicies, "on"],
  [mutatingWebhooks, "on"],
  [rbacEscalation, "on"],
  [validatingPolicies, "on"],
  [validatingWebhooks, "on"],
  // Last, as what is counted must not be refused afterwards.
  [resourceQuota, "on"],
  [alwaysDeny, "off"],
];

export const admissionPluginNames: ReadonlySet<string> = new Set(ordered.map(([{ name }]) => name));

export function defaultAdmission(): readonly AdmissionPlugin[] {
  return admissionWith([], []);
}

/** The default chain with more and fewer plugins; who is named in both is off. */
export function admissionWith(
  enabled: readonly string[],
  disabled: readonly string[],
): readonly AdmissionPlugin[] {
  return ordered
    .filter(([{ name }, state]) => state === "on" || enabled.includes(name))
    .map(([plugin]) => plugin)
    .filter(({ name }) => !disabled.includes(name));
}
