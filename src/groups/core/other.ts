/** The rest of the core group. */
import type { FieldError, ResourceDefinition } from "../../api/resource-definition.ts";
import {
  endpoints,
  limitRanges,
  podTemplates,
  replicationControllers,
  resourceQuotas,
} from "../../client/resources.ts";
import type {
  Endpoints,
  LimitRange,
  PodTemplate,
  ReplicationController,
  ResourceQuota,
} from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { formatSelector, matchesLabels, selectorOfMap } from "../../lib/selector.ts";
import { invalid, invalids, nonNegative, required } from "../field-errors.ts";
import {
  alwaysRestarted,
  containerColumns,
  templateDefaults,
  validateTemplate,
} from "../pod-template.ts";
import { compareQuantities, quantityErrors } from "../quantities.ts";
import { column, count, createdAtColumn, define, scale, wide } from "../row.ts";
import { validateReplicaStatus } from "../workload-status.ts";
import { validateEndpointIp } from "./address-validation.ts";

function endpointsCell(object: DeepReadonly<Endpoints>): string {
  const subsets = object.subsets ?? [];
  if (subsets.length === 0) return "<none>";
  // Port by port; addresses that are not ready leave the cell empty, as upstream does.
  const all = subsets.flatMap(({ addresses = [], ports = [] }) => {
    if (ports.length === 0) return addresses.map(({ ip }) => ip);
    const hosts = addresses.map(({ ip }) => (ip.includes(":") ? `[${ip}]` : ip));
    return ports.flatMap(({ port }) => hosts.map((host) => `${host}:${port}`));
  });
  const shown = all.slice(0, 3);
  const more = all.length > shown.length ? ` + ${all.length - shown.length} more...` : "";
  return shown.join(",") + more;
}

const endpointsRow = define<Endpoints>(endpoints, {
  shortNames: ["ep"],
  deprecation: "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
  columns: [column("Endpoints", endpointsCell)],
  defaults(object) {
    for (const subset of object.subsets ?? [])
      for (const port of subset.ports ?? []) port.protocol ||= "TCP";
  },
  validate(object) {
    const errors: FieldError[] = [];
    (object.subsets ?? []).forEach((subset, index) => {
      for (const key of ["addresses", "notReadyAddresses"] as const)
        (subset[key] ?? []).forEach((address, at) => {
          errors.push(
            ...validateEndpointIp(address.ip ?? "", `subsets[${index}].${key}[${at}].ip`),
          );
        });
    });
    return errors;
  },
  storagePrefix: "services/endpoints",
});

const limitTypes = ["Container", "Pod", "PersistentVolumeClaim"];

const limitRange = define<LimitRange>(limitRanges, {
  shortNames: ["limits"],
  columns: [createdAtColumn as never],
  age: -1,
  defaults(object) {
    for (const limit of object.spec?.limits ?? []) {
      if (limit.type !== "Container") continue;
      limit.default ??= {};
      limit.defaultRequest ??= {};
      for (const [name, amount] of Object.entries(limit.max ?? {})) limit.default[name] ??= amount;
      for (const [name, amount] of Object.entries(limit.default))
        limit.defaultRequest[name] ??= amount;
      for (const [name, amount] of Object.entries(limit.min ?? {}))
        limit.defaultRequest[name] ??= amount;
      if (Object.keys(limit.default).length === 0) delete limit.default;
      if (Object.keys(limit.defaultRequest).length === 0) delete limit.defaultRequest;
    }
  },
  validate(object) {
    const errors: FieldError[] = [];
    (object.spec?.limits ?? []).forEach((limit, index) => {
      const at = `spec.limits[${index}]`;
      if (!limitTypes.includes(limit.type) && !limit.type.includes("/"))
        errors.push(
          invalid(`${at}.type`, limit.type, "must be a standard limit type or fully qualified"),
        );
      for (const key of ["max", "min", "default", "defaultRequest"] as const)
        for (const [name, amount] of Object.entries(limit[key] ?? {}))
          errors.push(...quantityErrors(`${at}.${key}[${name}]`, amount));
      for (const [name, min] of Object.entries(limit.min ?? {})) {
        const max = limit.max?.[name];
        if (max !== undefined && compareQuantities(min, max) > 0)
          errors.push(
            invalid(`${at}.min[${name}]`, min, `min value ${min} is greater than max value ${max}`),
          );
      }
    });
    return errors;
  },
});

function quotaCell(quota: DeepReadonly<ResourceQuota>, wanted: "request" | "limit"): string {
  const { hard = {}, used = {} } = quota.status ?? {};
  return Object.keys(hard)
    .sort()
    .filter((name) => name.startsWith("limits.") === (wanted === "limit"))
    .map((name) => `${name}: ${used[name] ?? "0"}/${hard[name]}`)
    .join(", ");
}

const resourceQuota = define<ResourceQuota>(resourceQuotas, {
  shortNames: ["quota"],
  columns: [
    column("Request", (one) => quotaCell(one, "request")),
    column("Limit", (one) => quotaCell(one, "limit")),
  ],
  defaults(object) {
    object.spec ??= {};
  },
  status: true,
  validate(object) {
    const errors: FieldError[] = [];
    for (const [name, amount] of Object.entries(object.spec?.hard ?? {})) {
      errors.push(...quantityErrors(`spec.hard[${name}]`, amount));
      if (errors.length === 0 && compareQuantities(amount, "0") < 0)
        errors.push(invalid(`spec.hard[${name}]`, amount, "must be greater than or equal to 0"));
    }
    return errors;
  },
});

const podTemplate = define<PodTemplate>(podTemplates, {
  columns: [
    column("Containers", (one) =>
      (one.template?.spec?.containers ?? []).map((container) => container.name).join(","),
    ),
    column("Images", (one) =>
      (one.template?.spec?.containers ?? []).map((container) => container.image ?? "").join(","),
    ),
    column("Pod Labels", (one) => {
      const labels = Object.entries(one.template?.metadata?.labels ?? {});
      return (
        labels
          .map(([key, value]) => `${key}=${value}`)
          .sort()
          .join(",") || "<none>"
      );
    }),
  ],
  age: -1,
  generation: true,
  defaults: (object) => templateDefaults(object.template),
  validate: (object) =>
    validateTemplate(
      object.template,
      { restartPolicies: ["Always", "OnFailure", "Never"], allowsDeadline: true },
      "template",
    ),
});

const replicationController = define<ReplicationController>(replicationControllers, {
  shortNames: ["rc"],
  categories: ["all"],
  columns: [
    count("Desired", (one) => one.spec?.replicas ?? 1),
    count("Current", (one) => one.status?.replicas ?? 0),
    count("Ready", (one) => one.status?.readyReplicas ?? 0),
    ...containerColumns<ReplicationController>((one) => one.spec?.template),
    wide("Selector", (one) => formatSelector(selectorOfMap(one.spec?.selector)) || "<none>"),
  ],
  fields: { "status.replicas": (one) => String(one.status?.replicas ?? 0) },
  defaults(object) {
    const labels = object.spec?.template?.metadata?.labels;
    if (labels) {
      if (Object.keys(object.spec?.selector ?? {}).length === 0)
        object.spec.selector = { ...labels };
      if (Object.keys(object.metadata.labels ?? {}).length === 0)
        object.metadata.labels = { ...labels };
    }
    object.spec.replicas ??= 1;
    templateDefaults(object.spec.template);
  },
  status: true,
  generation: true,
  prepare(object, { verb }) {
    if (verb === "create") object.status = { replicas: 0 };
  },
  validate(object) {
    const { selector, template, replicas, minReadySeconds } = object.spec ?? {};
    const errors = [
      ...nonNegative("spec.replicas", replicas),
      ...nonNegative("spec.minReadySeconds", minReadySeconds),
    ];
    if (Object.keys(selector ?? {}).length === 0) errors.push(required("spec.selector"));
    else if (template && !matchesLabels(selectorOfMap(selector), template.metadata?.labels))
      errors.push(
        ...invalids("spec.template.metadata.labels", template.metadata?.labels ?? {}, [
          "`selector` does not match template `labels`",
        ]),
      );
    return [...errors, ...validateTemplate(template, alwaysRestarted)];
  },
  validateStatus: ({ status }) =>
    validateReplicaStatus(status, undefined, [
      "fullyLabeledReplicas",
      "readyReplicas",
      "availableReplicas",
    ]),
  subresources: { scale },
  storagePrefix: "controllers",
});

export const otherCore: readonly ResourceDefinition[] = [
  endpointsRow,
  limitRange,
  podTemplate,
  replicationController,
  resourceQuota,
];
