/** How each address family is written in nftables; all else of a table is the same for both. */
import type { IpFamily } from "../../lib/ip-range.ts";

export interface NftFamily {
  /** Of a table, and in front of `saddr` and `daddr`. */
  readonly ip: "ip" | "ip6";
  /** The type of an address. */
  readonly address: "ipv4_addr" | "ipv6_addr";
  readonly multicast: string;
}

export const nftFamilies: Readonly<Record<IpFamily, NftFamily>> = {
  IPv4: { ip: "ip", address: "ipv4_addr", multicast: "224.0.0.0/4" },
  IPv6: { ip: "ip6", address: "ipv6_addr", multicast: "ff00::/8" },
};

/** Addresses in names: a colon is a word of nftables' own. */
export function nameOf(address: string): string {
  return address.replaceAll(":", ".");
}
