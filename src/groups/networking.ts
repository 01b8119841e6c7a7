/** networking.k8s.io/v1 and discovery.k8s.io/v1. */

import type { FieldError, ResourceDefinition } from "../api/resource-definition.ts";
import {
  endpointSlices,
  ingressClasses,
  ingresses,
  ipAddresses,
  networkPolicies,
  serviceCIDRs,
} from "../client/resources.ts";
import type { EndpointSlice } from "../gen/discovery-v1.ts";
import type {
  Ingress,
  IngressClass,
  IPAddress,
  NetworkPolicy,
  ServiceCIDR,
} from "../gen/networking-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { isAddress } from "../lib/ip-range.ts";
import { labelErrors, pathSegmentErrors, subdomainErrors } from "../lib/names.ts";
import { formatSelector, labelSelectorOf } from "../lib/selector.ts";
import { validateEndpointSlice } from "./endpoint-slice-validation.ts";
import { forbidden, invalid, invalids, required, supported, tooLong } from "./field-errors.ts";
import { classAnnotation, validateIngress } from "./ingress-validation.ts";
import { validateDomainPath } from "./metadata.ts";
import { cidrDetail, isCidr, validateNetworkPolicy } from "./network-policy-validation.ts";
import { validateImmutable } from "./pod-template.ts";
import { column, define } from "./row.ts";

const ingress = define<Ingress>(ingresses, {
  shortNames: ["ing"],
  columns: [
    column("Class", (one) => one.spec?.ingressClassName ?? "<none>"),
    column("Hosts", (one) => {
      const rules = one.spec?.rules ?? [];
      const hosts = rules.map((rule) => rule.host ?? "").filter(Boolean);
      if (hosts.length === 0) return "*";
      const more = hosts.length > 3 ? ` + ${rules.length - 3} more...` : "";
      return hosts.slice(0, 3).join(",") + more;
    }),
    column("Address", (one) =>
      (one.status?.loadBalancer?.ingress ?? [])
        .map((point) => point.ip || point.hostname || "")
        .filter(Boolean)
        .sort()
        .join(","),
    ),
    column("Ports", (one) => ((one.spec?.tls ?? []).length > 0 ? "80, 443" : "80")),
  ],
  status: true,
  generation: true,
  validate: (object, { old }) => validateIngress(object, old),
  strategy: {
    warn: ({ metadata, spec }, { old }) =>
      old === undefined &&
      metadata.annotations?.[classAnnotation] !== undefined &&
      spec?.ingressClassName === undefined
        ? [
            `annotation "${classAnnotation}" is deprecated, please use 'spec.ingressClassName' ` +
              "instead",
          ]
        : [],
  },
  storagePrefix: "ingress",
});

type Parameters = NonNullable<NonNullable<DeepReadonly<IngressClass>["spec"]>["parameters"]>;

function validateParameters(parameters: Parameters, field: string): FieldError[] {
  const { apiGroup, kind, name, scope, namespace } = parameters;
  const errors = Object.entries({ kind, name }).flatMap(([key, value]) =>
    value
      ? invalids(`${field}.${key}`, value, pathSegmentErrors(value))
      : [required(`${field}.${key}`)],
  );
  if (apiGroup !== undefined)
    errors.unshift(...invalids(`${field}.apiGroup`, apiGroup, subdomainErrors(apiGroup)));
  if (scope === undefined) return [...errors, required(`${field}.scope`)];
  errors.push(...supported(`${field}.scope`, scope, ["Cluster", "Namespace"]));
  const at = `${field}.namespace`;
  if (scope === "Namespace") {
    if (!namespace) errors.push(required(at, "`parameters.scope` is set to 'Namespace'"));
    else errors.push(...invalids(at, namespace, labelErrors(namespace)));
  } else if (scope === "Cluster" && namespace !== undefined)
    errors.push(forbidden(at, "`parameters.scope` is set to 'Cluster'"));
  return errors;
}

const ingressClass = define<IngressClass>(ingressClasses, {
  columns: [
    column("Controller", (one) => one.spec?.controller ?? ""),
    column("Parameters", (one) => {
      const parameters = one.spec?.parameters;
      if (!parameters) return "<none>";
      const group = parameters.apiGroup ? `.${parameters.apiGroup}` : "";
      return `${parameters.kind}${group}/${parameters.name}`;
    }),
  ],
  generation: true,
  defaults(object) {
    const parameters = object.spec?.parameters;
    if (parameters) parameters.scope ??= "Cluster";
  },
  validate(object, { old }) {
    const errors: FieldError[] = [];
    const { controller = "", parameters } = object.spec ?? {};
    if (controller.length > 250) errors.push(tooLong("spec.controller", 250));
    errors.push(...validateDomainPath(controller, "spec.controller"));
    if (parameters) errors.push(...validateParameters(parameters, "spec.parameters"));
    if (old !== undefined)
      errors.push(
        ...validateImmutable(object.spec?.controller, old.spec?.controller, "spec.controller"),
      );
    return errors;
  },
});

const networkPolicy = define<NetworkPolicy>(networkPolicies, {
  shortNames: ["netpol"],
  columns: [
    column(
      "Pod-Selector",
      (one) => formatSelector(labelSelectorOf(one.spec?.podSelector ?? {})) || "<none>",
    ),
  ],
  generation: true,
  defaults({ spec }) {
    if (!spec) return;
    if ((spec.policyTypes ?? []).length === 0)
      spec.policyTypes = (spec.egress ?? []).length > 0 ? ["Ingress", "Egress"] : ["Ingress"];
    for (const rule of [...(spec.ingress ?? []), ...(spec.egress ?? [])])
      for (const port of rule.ports ?? []) port.protocol ??= "TCP";
  },
  validate: (object) => validateNetworkPolicy(object),
});

const ipAddress = define<IPAddress>(ipAddresses, {
  shortNames: ["ip"],
  columns: [
    column("ParentRef", (one) => {
      const ref = one.spec?.parentRef;
      if (!ref) return "<none>";
      const group = ref.group ? `.${ref.group}` : "";
      const namespace = ref.namespace ? `/${ref.namespace}` : "";
      return `${`${ref.resource}${group}`.toLowerCase()}${namespace}/${ref.name}`;
    }),
  ],
  age: -1,
  fields: {
    "spec.parentRef.group": (one) => one.spec?.parentRef?.group ?? "",
    "spec.parentRef.resource": (one) => one.spec?.parentRef?.resource ?? "",
    "spec.parentRef.namespace": (one) => one.spec?.parentRef?.namespace ?? "",
    "spec.parentRef.name": (one) => one.spec?.parentRef?.name ?? "",
  },
  nameRule: (name) => (isAddress(name) ? [] : ["must be a valid IP address"]),
  generation: true,
  validate(object, { old }) {
    if (!object.spec?.parentRef) return [required("spec.parentRef")];
    if (old === undefined) return [];
    return validateImmutable(object.spec.parentRef, old.spec?.parentRef, "spec.parentRef");
  },
});

const serviceCIDR = define<ServiceCIDR>(serviceCIDRs, {
  columns: [column("CIDRs", (one) => (one.spec?.cidrs ?? []).join(","))],
  status: true,
  validate(object, { old }) {
    const cidrs = object.spec?.cidrs ?? [];
    return old === undefined ? cidrsErrors(cidrs) : changedCidrs(cidrs, old.spec?.cidrs ?? []);
  },
});

function cidrsErrors(cidrs: readonly string[]): FieldError[] {
  const errors: FieldError[] = [];
  if (cidrs.length === 0) errors.push(required("spec.cidrs", "at least one CIDR required"));
  if (cidrs.length > 2) return [invalid("spec.cidrs", cidrs, "may only hold up to 2 values")];
  cidrs.forEach((cidr, index) => {
    if (!isCidr(cidr)) errors.push(invalid(`spec.cidrs[${index}]`, cidr, cidrDetail));
  });
  const families = new Set(cidrs.map((cidr) => cidr.includes(":")));
  if (cidrs.length === 2 && cidrs.every(isCidr) && families.size === 1)
    errors.push(
      invalid(
        "spec.cidrs",
        cidrs,
        "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64",
      ),
    );
  return errors;
}

/** A second range may come to one that stands alone; nothing else changes. */
function changedCidrs(cidrs: readonly string[], old: readonly string[]): FieldError[] {
  const detail = "field is immutable";
  const isSecond = old.length === 1 && cidrs.length === 2;
  if (!isSecond && cidrs.length !== old.length) return [invalid("spec.cidrs", cidrs, detail)];
  const errors = old.flatMap((cidr, index) =>
    cidr === cidrs[index] ? [] : [invalid(`spec.cidrs[${index}]`, cidrs[index], detail)],
  );
  return isSecond ? [...errors, ...cidrsErrors(cidrs)] : errors;
}

export const networking: readonly ResourceDefinition[] = [
  ingressClass,
  ingress,
  ipAddress,
  networkPolicy,
  serviceCIDR,
];

const endpointSlice = define<EndpointSlice>(endpointSlices, {
  columns: [
    column("AddressType", (one) => one.addressType ?? ""),
    column("Ports", (one) => {
      const ports = (one.ports ?? []).map((port) => String(port.port ?? port.name ?? "*"));
      if (ports.length === 0) return "<unset>";
      const more = ports.length > 3 ? ` + ${ports.length - 3} more...` : "";
      return ports.slice(0, 3).join(",") + more;
    }),
    column("Endpoints", (one) => {
      const all = (one.endpoints ?? []).flatMap((endpoint) => endpoint.addresses ?? []);
      if (all.length === 0) return "<unset>";
      const more = all.length > 3 ? ` + ${all.length - 3} more...` : "";
      return all.slice(0, 3).join(",") + more;
    }),
  ],
  generation: "labels",
  defaults(object) {
    for (const port of object.ports ?? []) {
      port.name ??= "";
      port.protocol ??= "TCP";
    }
  },
  validate: (object, { old }) => validateEndpointSlice(object, old),
});

export const discovery: readonly ResourceDefinition[] = [endpointSlice];
