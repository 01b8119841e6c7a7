/** Kinds whose PUT differs from the usual one, as upstream's strategies say. */

/** A PUT of an absent object creates it. */
const createdByUpdate: ReadonlySet<string> = new Set([
  "endpoints",
  "events",
  "limitranges",
  "services",
  "events.events.k8s.io",
  "leases.coordination.k8s.io",
  "runtimeclasses.node.k8s.io",
  "clusterrolebindings.rbac.authorization.k8s.io",
  "clusterroles.rbac.authorization.k8s.io",
  "rolebindings.rbac.authorization.k8s.io",
  "roles.rbac.authorization.k8s.io",
]);

/** A PUT must say which version it changes. */
const updatedByVersion: ReadonlySet<string> = new Set([
  "poddisruptionbudgets.policy",
  "leases.coordination.k8s.io",
  "runtimeclasses.node.k8s.io",
  "csidrivers.storage.k8s.io",
  "csinodes.storage.k8s.io",
  "csistoragecapacities.storage.k8s.io",
  "volumeattachments.storage.k8s.io",
  "customresourcedefinitions.apiextensions.k8s.io",
  "apiservices.apiregistration.k8s.io",
  "mutatingadmissionpolicies.admissionregistration.k8s.io",
  "mutatingadmissionpolicybindings.admissionregistration.k8s.io",
  "mutatingwebhookconfigurations.admissionregistration.k8s.io",
  "validatingadmissionpolicies.admissionregistration.k8s.io",
  "validatingadmissionpolicybindings.admissionregistration.k8s.io",
  "validatingwebhookconfigurations.admissionregistration.k8s.io",
]);

/** The part of a row's strategy that follows from the kind alone. */
export function updateRules(resource: { readonly group: string; readonly plural: string }) {
  const { group, plural } = resource;
  const name = group === "" ? plural : `${plural}.${group}`;
  return {
    createOnUpdate: createdByUpdate.has(name),
    unconditionalUpdate: !updatedByVersion.has(name),
  };
}
