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
  EndpointSubset,
  Endpoints,
  LimitRange,
  PodTemplate,
  ReplicationController,
  ResourceQuota,
} from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { isAddress } from "../../lib/ip-range.ts";
import { labelErrors, labelKeyErrors, subdomainErrors } from "../../lib/names.ts";
import { formatSelector, matchesLabels, selectorOfMap } from "../../lib/selector.ts";
import { semanticEqual } from "../../lib/semantic-equal.ts";
import { invalid, invalids, nonNegative, oneOf, portNumber, required } from "../field-errors.ts";
import {
  alwaysRestarted,
  containerColumns,
  templateDefaults,
  validateTemplate,
} from "../pod-template.ts";
import { column, count, createdAtColumn, define, scale, wide } from "../row.ts";
import { validateReplicaStatus } from "../workload-status.ts";
import { validateEndpointIp } from "./address-validation.ts";
import { validateLimitRange, validateQuota, validateQuotaStatus } from "./quota-validation.ts";

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

function validateSubset(subset: DeepReadonly<EndpointSubset>, field: string): FieldError[] {
  const errors: FieldError[] = [];
  const { addresses = [], notReadyAddresses = [], ports = [] } = subset;
  if (addresses.length + notReadyAddresses.length === 0)
    errors.push(required(field, "must specify `addresses` or `notReadyAddresses`"));
  for (const key of ["addresses", "notReadyAddresses"] as const)
    (subset[key] ?? []).forEach(({ ip, hostname, nodeName }, index) => {
      const at = `${field}.${key}[${index}]`;
      // Two checks look at the address, each in its own words.
      const isKnown = isAddress(ip ?? "");
      if (!isKnown) errors.push(...validateEndpointIp(ip ?? "", `${at}.ip`));
      if (hostname) errors.push(...invalids(`${at}.hostname`, hostname, labelErrors(hostname)));
      if (nodeName !== undefined)
        errors.push(...invalids(`${at}.nodeName`, nodeName, subdomainErrors(nodeName)));
      if (isKnown) errors.push(...validateEndpointIp(ip, `${at}.ip`));
      else errors.push(invalid(`${at}.ip`, ip ?? "", "must be a valid IP address"));
    });
  ports.forEach(({ name, port, protocol, appProtocol }, index) => {
    const at = `${field}.ports[${index}]`;
    if (name) errors.push(...invalids(`${at}.name`, name, labelErrors(name)));
    else if (ports.length > 1) errors.push(required(`${at}.name`));
    errors.push(...portNumber(`${at}.port`, port));
    errors.push(...oneOf(`${at}.protocol`, protocol, ["SCTP", "TCP", "UDP"]));
    if (appProtocol !== undefined)
      errors.push(...invalids(`${at}.appProtocol`, appProtocol, labelKeyErrors(appProtocol)));
  });
  return errors;
}

const endpointsRow = define<Endpoints>(endpoints, {
  shortNames: ["ep"],
  deprecation: "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
  columns: [column("Endpoints", endpointsCell)],
  defaults(object) {
    for (const subset of object.subsets ?? [])
      for (const port of subset.ports ?? []) port.protocol ||= "TCP";
  },
  validate(object, { old }) {
    // Older servers took what is wrong now.
    if (old !== undefined && semanticEqual(object.subsets, old.subsets)) return [];
    return (object.subsets ?? []).flatMap((subset, index) =>
      validateSubset(subset, `subsets[${index}]`),
    );
  },
  storagePrefix: "services/endpoints",
});

const limitRange = define<LimitRange>(limitRanges, {
  shortNames: ["limits"],
  prepare(object, { verb, runtime }) {
    if (verb === "create" && !object.metadata.name) object.metadata.name = runtime.random.uuid();
  },
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
  validate: validateLimitRange,
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
  validate: (object, { old }) => validateQuota(object, old),
  validateStatus: validateQuotaStatus,
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
      { restartPolicies: ["Always", "OnFailure", "Never"] },
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
        ...invalids("spec.template.metadata.labels", template.metadata?.labels, [
          "`selector` does not match template `labels`",
        ]),
      );
    return [...errors, ...validateTemplate(template, alwaysRestarted("ReplicationController"))];
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
