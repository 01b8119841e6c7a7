/** Rules of IP addresses that traffic is sent to. */
import type { FieldError } from "../../api/resource-definition.ts";
import { invalid } from "../field-errors.ts";
import { isAddress } from "./address-allocator.ts";

export const ipDetail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";

/** Addresses that never are an endpoint. */
const specialRanges: readonly (readonly [RegExp, (ip: string) => string])[] = [
  [/^(0\.0\.0\.0|::)$/, (ip) => `may not be unspecified (${ip})`],
  [/^(127\.|::1$)/, () => "may not be in the loopback range (127.0.0.0/8, ::1/128)"],
  [
    /^(169\.254\.|fe[89ab][0-9a-f]:)/i,
    () => "may not be in the link-local range (169.254.0.0/16, fe80::/10)",
  ],
  [
    /^(224\.0\.0\.|ff02:)/i,
    () => "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)",
  ],
];

export function validateEndpointIp(ip: string, field: string): FieldError[] {
  if (!isAddress(ip)) return [invalid(field, ip, ipDetail)];
  const special = specialRanges.find(([form]) => form.test(ip));
  return special === undefined ? [] : [invalid(field, ip, special[1](ip))];
}
