/** resource.k8s.io/v1. */
import type { ResourceDefinition } from "../api/resource-definition.ts";
import {
  deviceClasses,
  resourceClaims,
  resourceClaimTemplates,
  resourceSlices,
} from "../client/resources.ts";
import type {
  DeviceClass,
  ResourceClaim,
  ResourceClaimTemplate,
  ResourceSlice,
} from "../gen/resource-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { validateImmutable } from "./pod-template.ts";
import { validateSlice } from "./resource-validation.ts";
import { column, define } from "./row.ts";

function claimState(claim: DeepReadonly<ResourceClaim>): string {
  const states: string[] = [];
  if (claim.metadata.deletionTimestamp) states.push("deleted");
  if (claim.status?.allocation === undefined) {
    if (claim.metadata.deletionTimestamp === undefined) states.push("pending");
  } else {
    states.push("allocated");
    if ((claim.status.reservedFor ?? []).length > 0) states.push("reserved");
  }
  return states.join(",");
}

function requestDefaults(spec: ResourceClaim["spec"]): void {
  for (const { exactly, firstAvailable = [] } of spec?.devices?.requests ?? []) {
    for (const request of exactly === undefined ? firstAvailable : [exactly, ...firstAvailable]) {
      request.allocationMode ||= "ExactCount";
      if (request.allocationMode === "ExactCount") request.count ||= 1;
    }
  }
}

const deviceClass = define<DeviceClass>(deviceClasses, { generation: true });

const resourceClaim = define<ResourceClaim>(resourceClaims, {
  columns: [column("State", claimState)],
  defaults: ({ spec }) => requestDefaults(spec),
  status: true,
  validate: (object, { old }) =>
    old === undefined ? [] : validateImmutable(object.spec, old.spec, "spec"),
});

const resourceClaimTemplate = define<ResourceClaimTemplate>(resourceClaimTemplates, {
  defaults: ({ spec }) => requestDefaults(spec?.spec),
  validate: (object, { old }) =>
    old === undefined ? [] : validateImmutable(object.spec, old.spec, "spec"),
});

const resourceSlice = define<ResourceSlice>(resourceSlices, {
  columns: [
    column("Node", (one) => one.spec?.nodeName ?? ""),
    column("Driver", (one) => one.spec?.driver ?? ""),
    column("Pool", (one) => one.spec?.pool?.name ?? ""),
  ],
  fields: {
    "spec.nodeName": (one) => one.spec?.nodeName ?? "",
    "spec.driver": (one) => one.spec?.driver ?? "",
  },
  generation: true,
  validate: ({ spec }, { old }) => validateSlice(spec, old?.spec),
});

export const resource: readonly ResourceDefinition[] = [
  deviceClass,
  resourceClaim,
  resourceClaimTemplate,
  resourceSlice,
];
