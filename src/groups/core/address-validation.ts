/** Rules of IP addresses that traffic is sent to. */

import ipaddr from "ipaddr.js";
import type { FieldError } from "../../api/resource-definition.ts";
import { familyOf, isAddress } from "../../lib/ip-range.ts";
import { invalid } from "../field-errors.ts";

export const ipDetail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";

/** Addresses that never are an endpoint, however they are spelled. */
const specialRanges: Readonly<Record<string, (ip: string) => string>> = {
  unspecified: (ip) => `may not be unspecified (${ip})`,
  loopback: () => "may not be in the loopback range (127.0.0.0/8, ::1/128)",
  linkLocal: () => "may not be in the link-local range (169.254.0.0/16, fe80::/10)",
};
const linkLocalMulticast = [ipaddr.parseCIDR("224.0.0.0/24"), ipaddr.parseCIDR("ff02::/16")];
const multicastDetail = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)";

export function validateEndpointIp(ip: string, field: string): FieldError[] {
  if (!isAddress(ip)) return [invalid(field, ip, ipDetail)];
  // IPv4 inside of IPv6 leads where the IPv4 address leads.
  const address = ipaddr.process(ip);
  const special = specialRanges[address.range()];
  if (special !== undefined) return [invalid(field, ip, special(ip))];
  const isMulticast = linkLocalMulticast.some(
    (range) => range[0].kind() === address.kind() && address.match(range),
  );
  return isMulticast ? [invalid(field, ip, multicastDetail)] : [];
}

const cidrDetail = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

/** One range, or one of each family. */
export function validateCidrPair(cidrs: readonly string[], field: string): FieldError[] {
  const errors = cidrs.flatMap((cidr, index) => {
    const isRange = isAddress(cidr.split("/")[0] ?? "") && ipaddr.isValidCIDR(cidr);
    return isRange ? [] : [invalid(`${field}[${index}]`, cidr, cidrDetail)];
  });
  return [...errors, ...ofOneFamily(cidrs, field, cidrs, "CIDR")];
}

/** One address, or one of each family, as status tells them. */
export function validateIpPair(
  list: readonly { readonly ip?: string }[],
  field: string,
): FieldError[] {
  const ips = list.map(({ ip = "" }) => ip);
  const errors = ips.flatMap((ip, index) =>
    isIp(ip) ? [] : [invalid(`${field}[${index}]`, ip, ipDetail)],
  );
  return [...errors, ...ofOneFamily(ips, field, list, "IP")];
}

/** Any spelling that Go takes for an address. */
function isIp(text: string): boolean {
  return isAddress(text) || (ipaddr.IPv6.isValid(text) && !text.includes("%"));
}

function ofOneFamily(
  texts: readonly string[],
  field: string,
  value: unknown,
  what: "CIDR" | "IP",
): FieldError[] {
  if (new Set(texts.map(familyOf)).size === texts.length) return [];
  return [invalid(field, value, `may specify no more than one ${what} for each IP family`)];
}
