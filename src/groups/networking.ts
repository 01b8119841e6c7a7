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
import { formatSelector, labelSelectorOf } from "../lib/selector.ts";
import { isAddress } from "./core/address-allocator.ts";
import { invalid, oneOf, required } from "./field-errors.ts";
import { validateImmutable } from "./pod-template.ts";
import { column, define } from "./row.ts";
import { validateSelector } from "./selector-validation.ts";

const pathTypes = ["Exact", "ImplementationSpecific", "Prefix"];

function validatePaths(ingress: DeepReadonly<Ingress>): FieldError[] {
  const errors: FieldError[] = [];
  (ingress.spec?.rules ?? []).forEach((rule, index) => {
    const at = `spec.rules[${index}]`;
    if (rule.host && isAddress(rule.host))
      errors.push(invalid(`${at}.host`, rule.host, "must be a DNS name, not an IP address"));
    if (rule.http && (rule.http.paths ?? []).length === 0)
      errors.push(required(`${at}.http.paths`));
    (rule.http?.paths ?? []).forEach((path, pathIndex) => {
      const below = `${at}.http.paths[${pathIndex}]`;
      if (!path.pathType) errors.push(required(`${below}.pathType`, "pathType must be specified"));
      else errors.push(...oneOf(`${below}.pathType`, path.pathType, pathTypes));
      const needsSlash = path.pathType === "Exact" || path.pathType === "Prefix";
      if (needsSlash && !(path.path ?? "").startsWith("/"))
        errors.push(invalid(`${below}.path`, path.path ?? "", "must be an absolute path"));
      const { service, resource } = path.backend ?? {};
      if (!service && !resource)
        errors.push(required(`${below}.backend`, "resource or service backend is required"));
      if (service && !service.name) errors.push(required(`${below}.backend.service.name`));
      if (service && !service.port?.name && !service.port?.number)
        errors.push(required(`${below}.backend.service`, "port name or number is required"));
    });
  });
  return errors;
}

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
  validate(object) {
    const { rules = [], defaultBackend } = object.spec ?? {};
    if (rules.length === 0 && defaultBackend === undefined)
      return [invalid("spec", rules, "either `defaultBackend` or `rules` must be specified")];
    return validatePaths(object);
  },
  storagePrefix: "ingress",
});

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
    if (!object.spec?.controller) errors.push(required("spec.controller"));
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
  validate(object) {
    const errors = validateSelector(object.spec?.podSelector, "spec.podSelector");
    for (const type of object.spec?.policyTypes ?? [])
      errors.push(...oneOf("spec.policyTypes", type, ["Egress", "Ingress"]));
    const rules = [
      [
        "ingress",
        (object.spec?.ingress ?? []).map((rule) => ({ ports: rule.ports, peers: rule.from })),
      ],
      [
        "egress",
        (object.spec?.egress ?? []).map((rule) => ({ ports: rule.ports, peers: rule.to })),
      ],
    ] as const;
    for (const [direction, list] of rules)
      list.forEach((rule, index) => {
        const at = `spec.${direction}[${index}]`;
        (rule.ports ?? []).forEach((port, at2) => {
          errors.push(
            ...oneOf(`${at}.ports[${at2}].protocol`, port.protocol, ["SCTP", "TCP", "UDP"]),
          );
        });
        (rule.peers ?? []).forEach((peer, at2) => {
          const below = `${at}.${direction === "ingress" ? "from" : "to"}[${at2}]`;
          if (!peer.podSelector && !peer.namespaceSelector && !peer.ipBlock)
            errors.push(required(below, "must specify a peer"));
          else if (peer.ipBlock && (peer.podSelector || peer.namespaceSelector))
            errors.push({
              type: "FieldValueForbidden",
              field: below,
              detail: "may not specify both ipBlock and another peer",
            });
        });
      });
    return errors;
  },
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
  generation: true,
  validate(object, { old }) {
    const errors: FieldError[] = [];
    const cidrs = object.spec?.cidrs ?? [];
    if (cidrs.length === 0) errors.push(required("spec.cidrs", "at least one CIDR required"));
    if (cidrs.length > 2) errors.push(invalid("spec.cidrs", cidrs, "may only hold up to 2 values"));
    cidrs.forEach((cidr, index) => {
      const [address = "", bits = ""] = cidr.split("/");
      if (!isAddress(address) || !/^\d{1,3}$/.test(bits))
        errors.push(
          invalid(
            `spec.cidrs[${index}]`,
            cidr,
            "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
          ),
        );
    });
    if (old !== undefined)
      errors.push(...validateImmutable(object.spec?.cidrs, old.spec?.cidrs, "spec.cidrs"));
    return errors;
  },
});

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
  generation: true,
  defaults(object) {
    for (const port of object.ports ?? []) {
      port.name ??= "";
      port.protocol ??= "TCP";
    }
  },
  validate(object, { old }) {
    const errors = oneOf("addressType", object.addressType, ["FQDN", "IPv4", "IPv6"]);
    const endpoints = object.endpoints ?? [];
    if (endpoints.length > 1000)
      errors.push({
        type: "FieldValueTooMany",
        field: "endpoints",
        detail: "must have at most 1000 items",
      });
    endpoints.forEach((endpoint, index) => {
      const at = `endpoints[${index}]`;
      if ((endpoint.addresses ?? []).length === 0)
        errors.push(required(`${at}.addresses`, "must contain at least 1 address"));
      (endpoint.addresses ?? []).forEach((address, at2) => {
        if (object.addressType !== "FQDN" && !isAddress(address))
          errors.push(
            invalid(
              `${at}.addresses[${at2}]`,
              address,
              "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            ),
          );
      });
    });
    (object.ports ?? []).forEach((port, index) => {
      errors.push(...oneOf(`ports[${index}].protocol`, port.protocol, ["SCTP", "TCP", "UDP"]));
    });
    if (old !== undefined)
      errors.push(...validateImmutable(object.addressType, old.addressType, "addressType"));
    return errors;
  },
});

export const discovery: readonly ResourceDefinition[] = [endpointSlice];
