/** Rules of EndpointSlices. */

import type { FieldError } from "../api/resource-definition.ts";
import type { Endpoint, EndpointSlice } from "../gen/discovery-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { isAddress } from "../lib/ip-range.ts";
import { labelErrors, labelKeyErrors, labelValueErrors, subdomainErrors } from "../lib/names.ts";
import { semanticEqual } from "../lib/semantic-equal.ts";
import { ipDetail, validateEndpointIp } from "./core/address-validation.ts";
import { duplicate, invalid, invalids, oneOf, required, tooMany } from "./field-errors.ts";
import { validateLabels } from "./metadata.ts";
import { validateImmutable } from "./pod-template.ts";

const limits = {
  endpointsMax: 1000,
  addressesMax: 100,
  portsMax: 20_000,
  topologyMax: 16,
  hintsMax: 8,
} as const;

function validateAddress(address: string, type: string, field: string, at: string): FieldError[] {
  if (type === "FQDN") {
    const errors = invalids(at, address, subdomainErrors(address.replace(/\.$/, "")));
    const detail = "should be a domain with at least two segments separated by dots";
    if (errors.length === 0 && !address.includes(".")) errors.push(invalid(at, address, detail));
    return errors;
  }
  if (type !== "IPv4" && type !== "IPv6") return [];
  if (!isAddress(address)) return [invalid(at, address, ipDetail)];
  const family = address.includes(":") ? "IPv6" : "IPv4";
  const errors = validateEndpointIp(address, at);
  // Upstream leaves the index out of this one.
  return family === type
    ? errors
    : [invalid(field, address, `must be an ${type} address`), ...errors];
}

function validateHints(hints: DeepReadonly<Endpoint>["hints"], field: string): FieldError[] {
  const errors: FieldError[] = [];
  const rules = { forZones: labelValueErrors, forNodes: subdomainErrors } as const;
  for (const key of ["forZones", "forNodes"] as const) {
    const names = (hints?.[key] ?? []).map(({ name }) => name);
    if (names.length > limits.hintsMax)
      return [...errors, tooMany(`${field}.${key}`, names.length, limits.hintsMax)];
    names.forEach((name, index) => {
      const at = `${field}.${key}[${index}].name`;
      if (names.indexOf(name) < index) errors.push(duplicate(at, name));
      errors.push(...invalids(at, name, rules[key](name)));
    });
  }
  return errors;
}

function validateEndpoint(
  endpoint: DeepReadonly<Endpoint>,
  type: string,
  field: string,
): FieldError[] {
  const errors: FieldError[] = [];
  const { addresses = [], nodeName, hostname, deprecatedTopology = {} } = endpoint;
  const at = `${field}.addresses`;
  if (addresses.length === 0) errors.push(required(at, "must contain at least 1 address"));
  else if (addresses.length > limits.addressesMax)
    errors.push(tooMany(at, addresses.length, limits.addressesMax));
  addresses.forEach((address, index) => {
    errors.push(...validateAddress(address, type, at, `${at}[${index}]`));
  });
  if (nodeName !== undefined)
    errors.push(...invalids(`${field}.nodeName`, nodeName, subdomainErrors(nodeName)));
  const labels = Object.keys(deprecatedTopology).length;
  if (labels > limits.topologyMax)
    errors.push(tooMany(`${field}.deprecatedTopology`, labels, limits.topologyMax));
  errors.push(...validateLabels(deprecatedTopology, `${field}.deprecatedTopology`));
  if (hostname !== undefined)
    errors.push(...invalids(`${field}.hostname`, hostname, labelErrors(hostname)));
  return [...errors, ...validateHints(endpoint.hints, `${field}.hints`)];
}

function validatePorts(given: DeepReadonly<EndpointSlice>["ports"]): FieldError[] {
  const ports = given ?? [];
  if (ports.length > limits.portsMax) return [tooMany("ports", ports.length, limits.portsMax)];
  const names = new Set<string>();
  return ports.flatMap(({ name = "", protocol, appProtocol }, index) => {
    const at = `ports[${index}]`;
    const errors = name === "" ? [] : invalids(`${at}.name`, name, labelErrors(name));
    if (names.has(name)) errors.push(duplicate(`${at}.name`, name));
    names.add(name);
    errors.push(...oneOf(`${at}.protocol`, protocol, ["SCTP", "TCP", "UDP"]));
    if (appProtocol !== undefined)
      errors.push(...invalids(`${at}.appProtocol`, appProtocol, labelKeyErrors(appProtocol)));
    return errors;
  });
}

/** The errors of a slice. */
export function validateEndpointSlice(
  object: DeepReadonly<EndpointSlice>,
  old: DeepReadonly<EndpointSlice> | undefined,
): FieldError[] {
  const { addressType } = object;
  const endpoints = object.endpoints ?? [];
  const errors = oneOf("addressType", addressType, ["FQDN", "IPv4", "IPv6"]);
  errors.push(...validatePorts(object.ports));
  if (endpoints.length > limits.endpointsMax)
    errors.push(tooMany("endpoints", endpoints.length, limits.endpointsMax));
  // Older servers took what is wrong now.
  else if (old === undefined || !semanticEqual(endpoints, old.endpoints ?? []))
    endpoints.forEach((endpoint, index) => {
      errors.push(...validateEndpoint(endpoint, addressType, `endpoints[${index}]`));
    });
  if (old !== undefined)
    errors.push(...validateImmutable(addressType, old.addressType, "addressType"));
  return errors;
}
