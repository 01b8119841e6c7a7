/** resource.k8s.io/v1. */
import { timestamp } from "../api/object-meta.ts";
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
import { permitAdminAccess, permitStatus } from "./resource/access.ts";
import { validateClaimSpec, validateClaimTemplate } from "./resource/claim.ts";
import { dropDeallocatedDevices, validateClaimStatus } from "./resource/claim-status.ts";
import { validateDeviceClass } from "./resource/device-class.ts";
import { validateSlice } from "./resource/slice.ts";
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

/** Fields whose feature gates are off are only kept where they are in use. */
function dropDisabledFields(
  slice: ResourceSlice,
  old: DeepReadonly<ResourceSlice> | undefined,
): void {
  const before = old?.spec.devices ?? [];
  const lists = ["ints", "bools", "strings", "versions"] as const;
  const areListsUsed = before.some(({ attributes = {} }) =>
    Object.values(attributes).some((one) => lists.some((key) => one[key] !== undefined)),
  );
  const areMappingsUsed = before.some(
    (one) => Object.keys(one.nodeAllocatableResourceMappings ?? {}).length > 0,
  );
  for (const device of slice.spec?.devices ?? []) {
    if (!areMappingsUsed) delete device.nodeAllocatableResourceMappings;
    if (areListsUsed) continue;
    for (const attribute of Object.values(device.attributes ?? {}))
      for (const key of lists) delete attribute[key];
  }
}

function driverWarning(driver: string | undefined): readonly string[] {
  if (driver === undefined || driver === driver.toLowerCase()) return [];
  const rule = "driver names should be lowercase";
  return [`spec.driver: ${rule}; ${JSON.stringify(driver)} contains uppercase characters`];
}

const deviceClass = define<DeviceClass>(deviceClasses, {
  generation: true,
  validate: ({ spec }, { old }) => validateDeviceClass(spec, old?.spec),
});

const resourceClaim = define<ResourceClaim>(resourceClaims, {
  columns: [column("State", claimState)],
  defaults: ({ spec }) => requestDefaults(spec),
  status: true,
  prepare: (object, { old, subresource }) => {
    if (old !== undefined && subresource === "status") dropDeallocatedDevices(object, old);
  },
  validate: (object, { old }) =>
    old === undefined
      ? validateClaimSpec(object.spec, "spec")
      : validateImmutable(object.spec, old.spec, "spec"),
  validateStatus: (object, { old }) => validateClaimStatus(object, old),
  strategy: {
    permit: async (object, context) => {
      if (context.subresource === "status") return permitStatus(object, context);
      // The spec cannot change.
      if (context.old !== undefined) return [];
      const { namespace = "" } = object.metadata;
      return permitAdminAccess(object.spec, namespace, context);
    },
  },
});

const resourceClaimTemplate = define<ResourceClaimTemplate>(resourceClaimTemplates, {
  defaults: ({ spec }) => requestDefaults(spec?.spec),
  // Unlike that of claims, the spec is judged again when it must not change.
  validate: (object, { old }) => [
    ...validateClaimTemplate(object.spec),
    ...(old === undefined ? [] : validateImmutable(object.spec, old.spec, "spec")),
  ],
  strategy: {
    permit: async (object, context) => {
      if (context.old !== undefined) return [];
      const { namespace = "" } = object.metadata;
      return permitAdminAccess(object.spec?.spec, namespace, context);
    },
  },
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
  prepare: (object, { now, old }) => {
    dropDisabledFields(object, old);
    for (const taint of (object.spec?.devices ?? []).flatMap((device) => device.taints ?? []))
      taint.timeAdded ||= timestamp(now);
  },
  validate: ({ spec }, { old }) => validateSlice(spec, old?.spec),
  strategy: { warn: ({ spec }) => driverWarning(spec?.driver) },
});

export const resource: readonly ResourceDefinition[] = [
  deviceClass,
  resourceClaim,
  resourceClaimTemplate,
  resourceSlice,
];
