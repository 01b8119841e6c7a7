/** Rules of NetworkPolicies. */

import type { FieldError } from "../api/resource-definition.ts";
import type { NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort } from "../gen/networking-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { isAddress, isInRange, parseRange } from "../lib/ip-range.ts";
import { portNameErrors } from "../lib/names.ts";
import {
  forbidden,
  invalid,
  invalids,
  notSupported,
  portNumber,
  required,
} from "./field-errors.ts";
import { validateSelector } from "./selector-validation.ts";

const protocols = ["TCP", "UDP", "SCTP"];
const policyTypes = ["Ingress", "Egress"];
export const cidrDetail = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

/** `address/bits` with bits that the family has. */
export function isCidr(text: string): boolean {
  const [address = "", bits = "", ...rest] = text.split("/");
  if (rest.length > 0 || !isAddress(address) || !/^\d{1,3}$/.test(bits)) return false;
  return Number(bits) <= (address.includes(":") ? 128 : 32);
}

function validatePort(port: DeepReadonly<NetworkPolicyPort>, field: string): FieldError[] {
  const errors: FieldError[] = [];
  const { protocol, endPort } = port;
  if (protocol !== undefined && !protocols.includes(protocol))
    errors.push(notSupported(`${field}.protocol`, protocol, protocols));
  const at = `${field}.endPort`;
  if (port.port === undefined) {
    if (endPort !== undefined)
      errors.push(invalid(at, endPort, "may not be specified when `port` is not specified"));
    return errors;
  }
  if (typeof port.port === "string") {
    if (endPort !== undefined)
      errors.push(invalid(at, endPort, "may not be specified when `port` is non-numeric"));
    return [...errors, ...invalids(`${field}.port`, port.port, portNameErrors(port.port))];
  }
  errors.push(...portNumber(`${field}.port`, port.port));
  if (endPort === undefined) return errors;
  if (endPort < port.port)
    errors.push(invalid(at, port.port, "must be greater than or equal to `port`"));
  return [...errors, ...portNumber(at, endPort)];
}

function validatePeer(peer: DeepReadonly<NetworkPolicyPeer>, field: string): FieldError[] {
  const { podSelector, namespaceSelector, ipBlock } = peer;
  const errors = [
    ...validateSelector(podSelector, `${field}.podSelector`),
    ...validateSelector(namespaceSelector, `${field}.namespaceSelector`),
    ...(ipBlock ? validateBlock(ipBlock, `${field}.ipBlock`) : []),
  ];
  if (!podSelector && !namespaceSelector && !ipBlock)
    errors.push(required(field, "must specify a peer"));
  else if (ipBlock && (podSelector || namespaceSelector))
    errors.push(forbidden(field, "may not specify both ipBlock and another peer"));
  return errors;
}

type Block = NonNullable<DeepReadonly<NetworkPolicyPeer>["ipBlock"]>;

function validateBlock({ cidr, except = [] }: Block, field: string): FieldError[] {
  if (!cidr) return [required(`${field}.cidr`)];
  if (!isCidr(cidr)) return [invalid(`${field}.cidr`, cidr, cidrDetail)];
  const whole = parseRange(cidr);
  const bitsOf = (text: string): number => Number(text.split("/")[1]);
  return except.flatMap((one, index) => {
    const at = `${field}.except[${index}]`;
    if (!isCidr(one)) return [invalid(at, one, cidrDetail)];
    const [address = ""] = one.split("/");
    const isSmaller = bitsOf(one) > bitsOf(cidr);
    if (isSmaller && isInRange(address, whole)) return [];
    return [invalid(at, one, "must be a strict subset of `cidr`")];
  });
}

/** The errors of a NetworkPolicy. */
export function validateNetworkPolicy({ spec }: DeepReadonly<NetworkPolicy>): FieldError[] {
  const errors = validateSelector(spec?.podSelector, "spec.podSelector");
  const validateRule = (
    at: string,
    ports: readonly DeepReadonly<NetworkPolicyPort>[],
    word: string,
    peers: readonly DeepReadonly<NetworkPolicyPeer>[],
  ): void => {
    ports.forEach((port, index) => {
      errors.push(...validatePort(port, `${at}.ports[${index}]`));
    });
    peers.forEach((peer, index) => {
      errors.push(...validatePeer(peer, `${at}.${word}[${index}]`));
    });
  };
  (spec?.ingress ?? []).forEach(({ ports = [], from = [] }, index) => {
    validateRule(`spec.ingress[${index}]`, ports, "from", from);
  });
  (spec?.egress ?? []).forEach(({ ports = [], to = [] }, index) => {
    validateRule(`spec.egress[${index}]`, ports, "to", to);
  });
  const types = spec?.policyTypes ?? [];
  if (types.length > policyTypes.length)
    errors.push(invalid("spec.policyTypes", types, "may not specify more than two policyTypes"));
  else
    types.forEach((type, index) => {
      if (!policyTypes.includes(type))
        errors.push(notSupported(`spec.policyTypes[${index}]`, type, policyTypes));
    });
  return errors;
}
