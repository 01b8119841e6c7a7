/** Rules of services. */
import type { FieldError } from "../../api/resource-definition.ts";
import type { Service, ServicePort } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { labelErrors, portNameErrors, subdomainErrors } from "../../lib/names.ts";
import { semanticEqual } from "../../lib/semantic-equal.ts";
import {
  duplicate,
  forbidden,
  invalid,
  invalids,
  oneOf,
  portNumber,
  required,
} from "../field-errors.ts";
import { validateLabels } from "../metadata.ts";
import { isAddress } from "./address-allocator.ts";

type ReadService = DeepReadonly<Service>;

const ipDetail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";

function validatePort(
  port: DeepReadonly<ServicePort>,
  at: string,
  needsName: boolean,
): FieldError[] {
  const errors: FieldError[] = [];
  if (needsName && !port.name) errors.push(required(`${at}.name`));
  else if (port.name) errors.push(...invalids(`${at}.name`, port.name, labelErrors(port.name)));
  errors.push(...portNumber(`${at}.port`, port.port));
  errors.push(...oneOf(`${at}.protocol`, port.protocol, ["TCP", "UDP", "SCTP"]));
  if (typeof port.targetPort === "number")
    errors.push(...portNumber(`${at}.targetPort`, port.targetPort));
  else if (typeof port.targetPort === "string")
    errors.push(...invalids(`${at}.targetPort`, port.targetPort, portNameErrors(port.targetPort)));
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
    errors.push(...validatePort(port, at, ports.length > 1));
    if (port.name && names.has(port.name)) errors.push(duplicate(`${at}.name`, port.name));
    names.add(port.name ?? "");
    const claim = `${port.protocol}/${port.port}`;
    if (claims.has(claim)) errors.push(duplicate(at, { protocol: port.protocol, port: port.port }));
    claims.add(claim);
    if (!port.nodePort) return;
    if (type === "ClusterIP" || type === "ExternalName")
      errors.push(forbidden(`${at}.nodePort`, `may not be used when \`type\` is '${type}'`));
    const nodeClaim = `${port.protocol}/${port.nodePort}`;
    if (nodePorts.has(nodeClaim)) errors.push(duplicate(`${at}.nodePort`, port.nodePort));
    nodePorts.add(nodeClaim);
  });
  return errors;
}

function validateAddresses(service: ReadService): FieldError[] {
  const errors: FieldError[] = [];
  const { clusterIP, clusterIPs = [], type, externalIPs = [] } = service.spec;
  if (type === "ExternalName") {
    if (clusterIP)
      errors.push(forbidden("spec.clusterIPs[0]", "may not be set when `type` is 'ExternalName'"));
    const name = (service.spec.externalName ?? "").replace(/\.$/, "");
    if (name === "") errors.push(required("spec.externalName"));
    else
      errors.push(
        ...invalids("spec.externalName", service.spec.externalName, subdomainErrors(name)),
      );
  }
  if (clusterIP === "None" && (type === "NodePort" || type === "LoadBalancer"))
    errors.push(
      invalid("spec.clusterIPs[0]", clusterIP, `may not be set to 'None' for ${type} services`),
    );
  if (clusterIP && clusterIPs.length > 0 && clusterIPs[0] !== clusterIP)
    errors.push(invalid("spec.clusterIPs", clusterIPs, "first value must match `clusterIP`"));
  clusterIPs.forEach((ip, index) => {
    if (ip === "None" ? index > 0 : ip !== "" && !isAddress(ip))
      errors.push(invalid(`spec.clusterIPs[${index}]`, ip, ipDetail));
  });
  externalIPs.forEach((ip, index) => {
    if (!isAddress(ip)) errors.push(invalid(`spec.externalIPs[${index}]`, ip, ipDetail));
    else if (/^(127\.|0\.0\.0\.0$|::1?$|169\.254\.|224\.)/.test(ip))
      errors.push(
        invalid(`spec.externalIPs[${index}]`, ip, "may not be in a special-purpose range"),
      );
  });
  return errors;
}

function validateTraffic(service: ReadService): FieldError[] {
  const errors: FieldError[] = [];
  const { spec } = service;
  errors.push(...oneOf("spec.sessionAffinity", spec.sessionAffinity, ["ClientIP", "None"]));
  const seconds = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds;
  if (spec.sessionAffinity === "None" && spec.sessionAffinityConfig)
    errors.push(
      forbidden("spec.sessionAffinityConfig", "must not be set when session affinity is None"),
    );
  else if (seconds !== undefined && (seconds < 1 || seconds > 86400))
    errors.push(
      invalid(
        "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
        seconds,
        "must be between 1 and 86400 seconds, inclusive",
      ),
    );
  if (spec.externalTrafficPolicy)
    errors.push(
      ...oneOf("spec.externalTrafficPolicy", spec.externalTrafficPolicy, ["Cluster", "Local"]),
    );
  if (spec.internalTrafficPolicy)
    errors.push(
      ...oneOf("spec.internalTrafficPolicy", spec.internalTrafficPolicy, ["Cluster", "Local"]),
    );
  if (spec.type !== "LoadBalancer" && spec.loadBalancerClass)
    errors.push(
      forbidden("spec.loadBalancerClass", "may only be used when `type` is 'LoadBalancer'"),
    );
  return errors;
}

function validateUpdate(service: ReadService, old: ReadService): FieldError[] {
  const errors: FieldError[] = [];
  const wasExternal = old.spec.type === "ExternalName";
  const isExternal = service.spec.type === "ExternalName";
  const before = old.spec.clusterIPs?.[0] ?? old.spec.clusterIP ?? "";
  const now = service.spec.clusterIPs?.[0] ?? service.spec.clusterIP ?? "";
  if (!wasExternal && !isExternal && before !== "" && now !== before)
    errors.push(invalid("spec.clusterIPs[0]", service.spec.clusterIPs, "may not change once set"));
  const firstFamily = old.spec.ipFamilies?.[0];
  if (!wasExternal && !isExternal && firstFamily && service.spec.ipFamilies?.[0] !== firstFamily)
    errors.push(invalid("spec.ipFamilies[0]", service.spec.ipFamilies, "may not change once set"));
  if (
    old.spec.type === "LoadBalancer" &&
    service.spec.type === "LoadBalancer" &&
    !semanticEqual(old.spec.loadBalancerClass, service.spec.loadBalancerClass)
  )
    errors.push(
      invalid("spec.loadBalancerClass", service.spec.loadBalancerClass, "may not change once set"),
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
    ...validateLabels(spec.selector, "spec.selector"),
    ...(old === undefined ? [] : validateUpdate(service, old)),
  ];
}
