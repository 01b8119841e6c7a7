/** resource.k8s.io/v1 and flowcontrol.apiserver.k8s.io/v1. */
import type { ResourceDefinition } from "../api/resource-definition.ts";
import {
  deviceClasses,
  flowSchemas,
  priorityLevelConfigurations,
  resourceClaims,
  resourceClaimTemplates,
  resourceSlices,
} from "../client/resources.ts";
import type { FlowSchema, PriorityLevelConfiguration } from "../gen/flowcontrol-v1.ts";
import type {
  DeviceClass,
  ResourceClaim,
  ResourceClaimTemplate,
  ResourceSlice,
} from "../gen/resource-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { oneOf, required } from "./field-errors.ts";
import { validateImmutable } from "./pod-template.ts";
import { column, count, define } from "./row.ts";

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

const deviceClass = define<DeviceClass>(deviceClasses, { generation: true });

const resourceClaim = define<ResourceClaim>(resourceClaims, {
  columns: [column("State", claimState)],
  status: true,
  validate: (object, { old }) =>
    old === undefined ? [] : validateImmutable(object.spec, old.spec, "spec"),
});

const resourceClaimTemplate = define<ResourceClaimTemplate>(resourceClaimTemplates, {
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
  validate: (object) => (object.spec?.driver ? [] : [required("spec.driver")]),
});

export const resource: readonly ResourceDefinition[] = [
  deviceClass,
  resourceClaim,
  resourceClaimTemplate,
  resourceSlice,
];

const flowSchema = define<FlowSchema>(flowSchemas, {
  columns: [
    column("PriorityLevel", (one) => one.spec?.priorityLevelConfiguration?.name ?? ""),
    count("MatchingPrecedence", (one) => one.spec?.matchingPrecedence ?? 1000),
    column("DistinguisherMethod", (one) => one.spec?.distinguisherMethod?.type ?? "<none>"),
    column("MissingPL", (one) => {
      const found = (one.status?.conditions ?? []).find(({ type }) => type === "Dangling");
      return found?.status ?? "?";
    }),
  ],
  age: 3,
  status: true,
  generation: true,
  defaults({ spec }) {
    if (spec) spec.matchingPrecedence ||= 1000;
  },
  validate: (object) =>
    object.spec?.priorityLevelConfiguration?.name
      ? []
      : [required("spec.priorityLevelConfiguration.name", "must reference a priority level")],
});

const priorityLevel = define<PriorityLevelConfiguration>(priorityLevelConfigurations, {
  columns: [
    column("Type", (one) => one.spec?.type ?? ""),
    column("NominalConcurrencyShares", (one) =>
      String(one.spec?.limited?.nominalConcurrencyShares ?? "<none>"),
    ),
    column("Queues", (one) =>
      String(one.spec?.limited?.limitResponse?.queuing?.queues ?? "<none>"),
    ),
    column("HandSize", (one) =>
      String(one.spec?.limited?.limitResponse?.queuing?.handSize ?? "<none>"),
    ),
    column("QueueLengthLimit", (one) =>
      String(one.spec?.limited?.limitResponse?.queuing?.queueLengthLimit ?? "<none>"),
    ),
  ],
  status: true,
  generation: true,
  defaults({ spec }) {
    if (spec?.exempt) {
      spec.exempt.nominalConcurrencyShares ??= 0;
      spec.exempt.lendablePercent ??= 0;
    }
    if (!spec?.limited) return;
    spec.limited.nominalConcurrencyShares ??= 30;
    spec.limited.lendablePercent ??= 0;
    const queuing = spec.limited.limitResponse?.queuing;
    if (!queuing) return;
    queuing.handSize ||= 8;
    queuing.queues ||= 64;
    queuing.queueLengthLimit ||= 50;
  },
  validate: (object) => oneOf("spec.type", object.spec?.type, ["Exempt", "Limited"]),
});

export const flowcontrol: readonly ResourceDefinition[] = [flowSchema, priorityLevel];
