/** Upstream's reset fields: what a write at a place does not change, whatever it says. */
import { type FieldSet, nothing } from "../schema/field-set.ts";
import type { ResourceDefinition } from "./resource-definition.ts";

const status: FieldSet = { "f:status": nothing };
const spec: FieldSet = { "f:spec": nothing };
const specAndMetadata: FieldSet = { "f:spec": nothing, "f:metadata": nothing };

/** Kinds that do not do as most. By group and plural, then by subresource. */
const exceptions: Readonly<Record<string, Readonly<Record<string, FieldSet>>>> = {
  "/namespaces": { finalize: status },
  "/pods": {
    status: {
      ...spec,
      "f:metadata": { "f:deletionTimestamp": nothing, "f:ownerReferences": nothing },
    },
  },
  "admissionregistration.k8s.io/validatingadmissionpolicies": { status: specAndMetadata },
  "apiregistration.k8s.io/apiservices": { status: specAndMetadata },
  "apps/deployments": { status: { ...spec, "f:metadata": { "f:labels": nothing } } },
  "certificates.k8s.io/certificatesigningrequests": {
    "": { ...spec, ...status },
    status: { ...spec, "f:status": { "f:conditions": nothing } },
    approval: { ...spec, "f:status": { "f:certificate": nothing } },
  },
  "flowcontrol.apiserver.k8s.io/flowschemas": { status: specAndMetadata },
  "flowcontrol.apiserver.k8s.io/prioritylevelconfigurations": { status: specAndMetadata },
  "networking.k8s.io/servicecidrs": { status: specAndMetadata },
  "resource.k8s.io/resourceclaims": { status: specAndMetadata },
  "storage.k8s.io/volumeattachments": { status: specAndMetadata },
};

/** What a status write leaves alone where that is more than the spec. */
export function statusResets(resource: { readonly group: string; readonly plural: string }) {
  return exceptions[`${resource.group}/${resource.plural}`]?.status ?? nothing;
}

export function resetFieldsOf(definition: ResourceDefinition, subresource: string): FieldSet {
  const exception = exceptions[`${definition.group}/${definition.plural}`]?.[subresource];
  if (exception !== undefined) return exception;
  const hasStatus = definition.subresources.status?.type === "status";
  if (subresource === "") return hasStatus ? status : nothing;
  if (subresource !== "status") return nothing;
  return definition.custom === undefined ? spec : specAndMetadata;
}
