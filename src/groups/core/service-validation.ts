/** Rules of services. */

import type { FieldError } from "../../api/resource-definition.ts";
import type { Service, ServicePort } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { familyOf, isAddress } from "../../lib/ip-range.ts";
import { labelErrors, labelKeyErrors, portNameErrors, subdomainErrors } from "../../lib/names.ts";
import { semanticEqual } from "../../lib/semantic-equal.ts";
import {
  duplicate,
  forbidden,
  invalid,
  invalids,
  notSupported,
  oneOf,
  portNumber,
  required,
} from "../field-errors.ts";
import { validateLabels } from "../metadata.ts";
import { ipDetail, validateEndpointIp } from "./address-validation.ts";

type ReadService = DeepReadonly<Service>;

function validatePort(
  port: DeepReadonly<ServicePort>,
  at: string,
  needsName: boolean,
  names: ReadonlySet<string>,
): FieldError[] {
  const errors: FieldError[] = [];
  if (needsName && !port.name) errors.push(required(`${at}.name`));
  else if (port.name) errors.push(...invalids(`${at}.name`, port.name, labelErrors(port.name)));
  if (port.name && names.has(port.name)) errors.push(duplicate(`${at}.name`, port.name));
  errors.push(...portNumber(`${at}.port`, port.port));
  errors.push(...oneOf(`${at}.protocol`, port.protocol, ["SCTP", "TCP", "UDP"]));
  if (typeof port.targetPort === "number")
    errors.push(...portNumber(`${at}.targetPort`, port.targetPort));
  else if (typeof port.targetPort === "string")
    errors.push(...invalids(`${at}.targetPort`, port.targetPort, portNameErrors(port.targetPort)));
  if (port.appProtocol !== undefined)
    errors.push(
      ...invalids(`${at}.appProtocol`, port.appProtocol, labelKeyErrors(port.appProtocol)),
    );
  return errors;
}

function validatePorts(service: ReadService): FieldError[] {
  const errors: FieldError[] = [];
  const { ports = [], type, clusterIP } = service.spec;
  if (ports.length === 0 && clusterIP !== "None" && type !== "ExternalName")
    errors.push(required("spec.ports"));
  const names = new Set<string>();
  const claims = new Set<string>();
  const nodePorts = new Set<string>();
  ports.forEach((port, index) => {
    const at = `spec.ports[${index}]`;
    errors.push(...validatePort(port, at, ports.length > 1, names));
    names.add(port.name ?? "");
    const claim = `${port.protocol}/${port.port}`;
    if (claims.has(claim)) errors.push(duplicate(at, { protocol: port.protocol, port: port.port }));
    claims.add(claim);
    if (!port.nodePort) return;
    if (type === "ClusterIP")
      errors.push(forbidden(`${at}.nodePort`, `may not be used when \`type\` is '${type}'`));
    const nodeClaim = `${port.protocol}/${port.nodePort}`;
    if (nodePorts.has(nodeClaim)) errors.push(duplicate(`${at}.nodePort`, port.nodePort));
    nodePorts.add(nodeClaim);
  });
  return errors;
}

function validateExternalName({ spec }: ReadService): FieldError[] {
  const errors: FieldError[] = [];
  const detail = "may not be set for ExternalName services";
  if ((spec.clusterIPs ?? []).length > 0) errors.push(forbidden("spec.clusterIPs", detail));
  if ((spec.ipFamilies ?? []).length > 0) errors.push(forbidden("spec.ipFamilies", detail));
  if (spec.ipFamilyPolicy !== undefined) errors.push(forbidden("spec.ipFamilyPolicy", detail));
  const name = (spec.externalName ?? "").replace(/\.$/, "");
  if (name === "") errors.push(required("spec.externalName"));
  else errors.push(...invalids("spec.externalName", name, subdomainErrors(name)));
  return errors;
}

const families = ["IPv4", "IPv6"];

function validateFamilies({ spec }: ReadService): FieldError[] {
  const errors: FieldError[] = [];
  (spec.ipFamilies ?? []).forEach((family, index, all) => {
    const at = `spec.ipFamilies[${index}]`;
    if (!families.includes(family)) errors.push(notSupported(at, family, families));
    if (all.indexOf(family) < index) errors.push(duplicate(at, family));
  });
  if (spec.ipFamilyPolicy !== undefined)
    errors.push(
      ...oneOf("spec.ipFamilyPolicy", spec.ipFamilyPolicy, [
        "PreferDualStack",
        "RequireDualStack",
        "SingleStack",
      ]),
    );
  return errors;
}

/** Of cluster IPs and families, as far as they need no knowledge of the cluster. */
export function validateClusterIps({ spec }: ReadService): FieldError[] {
  const errors: FieldError[] = [];
  const { clusterIP, clusterIPs = [], type, ipFamilies = [] } = spec;
  const field = "spec.clusterIPs";
  if (clusterIP === "None" && (type === "NodePort" || type === "LoadBalancer"))
    errors.push(invalid(`${field}[0]`, clusterIP, `may not be set to 'None' for ${type} services`));
  if (clusterIP && clusterIPs.length === 0) errors.push(required(field));
  else if (clusterIP && clusterIPs[0] !== clusterIP)
    errors.push(invalid(field, clusterIPs, "first value must match `clusterIP`"));
  else if (!clusterIP && clusterIPs.length > 0)
    errors.push(invalid(field, clusterIPs, "must be empty when `clusterIP` is not specified"));
  errors.push(...validateFamilies({ spec } as ReadService));
  let isWrong = false;
  clusterIPs.forEach((ip, index) => {
    if (index === 0 && ip === "None") {
      if (clusterIPs.length === 1) return;
      isWrong = true;
      errors.push(invalid(field, clusterIPs, "'None' must be the first and only value"));
    } else if (!isAddress(ip)) {
      isWrong = true;
      errors.push(invalid(`${field}[${index}]`, ip, ipDetail));
    }
  });
  if (clusterIPs.length > 2)
    errors.push(invalid(field, clusterIPs, "may only hold up to 2 values"));
  if (isWrong || clusterIP === "None") return errors;
  const used = clusterIPs.map(familyOf);
  if (clusterIPs.length === 2 && used[0] === used[1])
    errors.push(invalid(field, clusterIPs, "may specify no more than one IP for each IP family"));
  clusterIPs.forEach((ip, index) => {
    const family = ipFamilies[index];
    if (family === undefined || family === used[index]) return;
    const detail = `expected an ${family} value as indicated by \`ipFamilies[${index}]\``;
    errors.push(invalid(`${field}[${index}]`, ip, detail));
  });
  return errors;
}

function validateAddresses(service: ReadService): FieldError[] {
  const { externalIPs = [], type } = service.spec;
  const own = type === "ExternalName" ? validateExternalName(service) : validateClusterIps(service);
  const external = externalIPs.flatMap((ip, index) =>
    validateEndpointIp(ip, `spec.externalIPs[${index}]`),
  );
  return [...own, ...external];
}

const cidrDetail = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

function validateLoadBalancer({ spec, metadata }: ReadService): FieldError[] {
  const errors: FieldError[] = [];
  const isBalancer = spec.type === "LoadBalancer";
  const only = "may only be used when `type` is 'LoadBalancer'";
  const annotation = "service.beta.kubernetes.io/load-balancer-source-ranges";
  const annotated = metadata.annotations?.[annotation];
  const given = spec.loadBalancerSourceRanges ?? [];
  const [field, ranges] =
    given.length > 0 || annotated === undefined
      ? ["spec.LoadBalancerSourceRanges", given]
      : [`metadata.annotations[${annotation}]`, annotated.split(",").filter(Boolean)];
  const isSet = given.length > 0 || annotated !== undefined;
  if (isSet && !isBalancer) errors.push(forbidden(field, only));
  ranges.forEach((range, index) => {
    const cidr = range.trim();
    const at = given.length > 0 ? `${field}[${index}]` : field;
    if (!isCidr(cidr)) errors.push(invalid(at, cidr, cidrDetail));
  });
  if (spec.allocateLoadBalancerNodePorts !== undefined && !isBalancer)
    errors.push(forbidden("spec.allocateLoadBalancerNodePorts", only));
  const { loadBalancerClass } = spec;
  if (loadBalancerClass === undefined) return errors;
  const at = "spec.loadBalancerClass";
  if (!isBalancer) return [...errors, forbidden(at, only)];
  return [...errors, ...invalids(at, loadBalancerClass, labelKeyErrors(loadBalancerClass))];
}

function isCidr(text: string): boolean {
  const [address = "", bits = "", ...rest] = text.split("/");
  if (rest.length > 0 || !isAddress(address) || !/^\d{1,3}$/.test(bits)) return false;
  return Number(bits) <= (familyOf(address) === "IPv4" ? 32 : 128);
}

function validateAffinity({ spec }: ReadService): FieldError[] {
  const errors = oneOf("spec.sessionAffinity", spec.sessionAffinity, ["ClientIP", "None"]);
  const field = "spec.sessionAffinityConfig";
  if (spec.sessionAffinity === "None") {
    if (spec.sessionAffinityConfig)
      errors.push(forbidden(field, "must not be set when session affinity is None"));
    return errors;
  }
  if (spec.sessionAffinity !== "ClientIP") return errors;
  const when = "when session affinity type is ClientIP";
  const seconds = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds;
  if (!spec.sessionAffinityConfig) errors.push(required(field, when));
  else if (!spec.sessionAffinityConfig.clientIP) errors.push(required(`${field}.clientIP`, when));
  else if (seconds === undefined) errors.push(required(`${field}.clientIP.timeoutSeconds`, when));
  else if (seconds <= 0 || seconds > 86400)
    errors.push(
      invalid(
        `${field}.clientIP.timeoutSeconds`,
        seconds,
        "must be greater than 0 and less than 86400",
      ),
    );
  return errors;
}

function validateTraffic(service: ReadService): FieldError[] {
  const errors = validateAffinity(service);
  const { spec } = service;
  const isExternal =
    spec.type === "NodePort" ||
    spec.type === "LoadBalancer" ||
    (spec.type === "ClusterIP" && (spec.externalIPs ?? []).length > 0);
  const policy = spec.externalTrafficPolicy;
  const field = "spec.externalTrafficPolicy";
  if (isExternal) errors.push(...oneOf(field, policy, ["Cluster", "Local"]));
  else if (policy)
    errors.push(invalid(field, policy, "may only be set for externally-accessible services"));
  const health = spec.healthCheckNodePort ?? 0;
  if (!needsHealthCheck(service)) {
    if (health !== 0)
      errors.push(
        invalid(
          "spec.healthCheckNodePort",
          health,
          "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
        ),
      );
  } else if (health !== 0) errors.push(...portNumber("spec.healthCheckNodePort", health));
  if (spec.internalTrafficPolicy)
    errors.push(
      ...oneOf("spec.internalTrafficPolicy", spec.internalTrafficPolicy, ["Cluster", "Local"]),
    );
  if (spec.trafficDistribution !== undefined)
    errors.push(
      ...oneOf("spec.trafficDistribution", spec.trafficDistribution, [
        "PreferClose",
        "PreferSameNode",
        "PreferSameZone",
      ]),
    );
  return errors;
}

/** Balancers ask such services on a port of their own which nodes have an endpoint. */
export function needsHealthCheck({ spec }: ReadService): boolean {
  return spec.type === "LoadBalancer" && spec.externalTrafficPolicy === "Local";
}

function validateUpdate(service: ReadService, old: ReadService): FieldError[] {
  const errors: FieldError[] = [];
  const [spec, before] = [service.spec, old.spec];
  if (needsHealthCheck(service) && needsHealthCheck(old)) {
    const [port, kept] = [spec.healthCheckNodePort ?? 0, before.healthCheckNodePort ?? 0];
    if (port !== kept && kept !== 0)
      errors.push(forbidden("spec.healthCheckNodePort", "field is immutable"));
  }
  if (spec.type === "LoadBalancer" && before.type === "LoadBalancer")
    if (!semanticEqual(spec.loadBalancerClass, before.loadBalancerClass))
      errors.push(
        invalid("spec.loadBalancerClass", spec.loadBalancerClass, "may not change once set"),
      );
  if (spec.type === "ExternalName" || before.type === "ExternalName") return errors;
  const ips = spec.clusterIPs ?? [];
  const kept = before.clusterIPs ?? [];
  const [isHeadless, wasHeadless] = [ips[0] === "None", kept[0] === "None"];
  if (isHeadless && wasHeadless) return errors;
  errors.push(...validateSequence("clusterIPs", "clusterIP", ips, kept, spec.ipFamilyPolicy));
  if (isHeadless !== wasHeadless) return errors;
  const [now, was] = [spec.ipFamilies ?? [], before.ipFamilies ?? []];
  errors.push(...validateSequence("ipFamilies", "ipFamily", now, was, spec.ipFamilyPolicy));
  return errors;
}

/** The first stays; a second may come, and go when the policy says so. */
function validateSequence(
  key: "clusterIPs" | "ipFamilies",
  word: string,
  now: readonly string[],
  before: readonly string[],
  policy: string | undefined,
): FieldError[] {
  const errors: FieldError[] = [];
  const field = `spec.${key}`;
  const change = "may not change once set";
  if (now.length === before.length) {
    before.forEach((value, index) => {
      const at = key === "clusterIPs" ? index : 0;
      if (value !== now[index]) errors.push(invalid(`${field}[${at}]`, now, change));
    });
    return errors;
  }
  if (before.length > now.length && now.length === 0)
    errors.push(invalid(`${field}[0]`, now, `primary ${word} can not be unset`));
  if (before.length > 0 && now.length > 0 && now[0] !== before[0])
    errors.push(invalid(`${field}[0]`, now, change));
  if (before.length > now.length && now.length === 1 && policy !== "SingleStack")
    errors.push(
      invalid(
        "spec.ipFamilyPolicy",
        policy ?? null,
        `must be set to 'SingleStack' when releasing the secondary ${word}`,
      ),
    );
  return errors;
}

/** The errors of a service. */
export function validateService(service: ReadService, old: ReadService | undefined): FieldError[] {
  const { spec } = service;
  return [
    ...validatePorts(service),
    ...oneOf("spec.type", spec.type, ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]),
    ...validateAddresses(service),
    ...validateTraffic(service),
    ...validateLoadBalancer(service),
    ...validateLabels(spec.selector, "spec.selector"),
    ...(old === undefined ? [] : validateUpdate(service, old)),
  ];
}
