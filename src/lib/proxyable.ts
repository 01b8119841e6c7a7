/** Which addresses a request may be carried to on someone's behalf. */
import ipaddr from "ipaddr.js";

/** Everything but the addresses of machines among others (Go's IsGlobalUnicast). */
const refused: ReadonlySet<string> = new Set([
  "broadcast",
  "linkLocal",
  "loopback",
  "multicast",
  "unspecified",
]);

/**
 * True for an address of one machine that others can reach too: not loopback, not of this link, not
 * of many. IPv4 inside of IPv6 counts as IPv4; names and odd spellings are no addresses.
 */
export function isProxyableAddress(text: string): boolean {
  if (text.includes("%") || !ipaddr.isValid(text)) return false;
  const isPlainIpv4 = text.includes(":") || ipaddr.IPv4.isValidFourPartDecimal(text);
  return isPlainIpv4 && !refused.has(ipaddr.process(text).range());
}
