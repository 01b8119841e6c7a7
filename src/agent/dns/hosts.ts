/** Names and addresses in the format of /etc/hosts, as CoreDNS's hosts plugin reads them. */
import { canonicalAddress } from "./address.ts";

export interface Hosts {
  /** Addresses of both families under a name in lower case, without its final dot. */
  addressesOf(name: string): readonly string[];
  namesOf(address: string): readonly string[];
}

export const noHosts: Hosts = { addressesOf: () => [], namesOf: () => [] };

/** Lines that hold no address are left out, as everywhere else that reads such a file. */
export function parseHosts(text: string): Hosts {
  const addresses = new Map<string, string[]>();
  const names = new Map<string, string[]>();
  for (const line of text.split("\n")) {
    const [first = "", ...rest] = line.replace(/#.*/, "").trim().split(/\s+/);
    const address = canonicalAddress(first);
    if (address === undefined) continue;
    for (const one of rest) {
      const name = one.toLowerCase().replace(/\.$/, "");
      push(addresses, name, address);
      push(names, address, name);
    }
  }
  return {
    addressesOf: (name) => addresses.get(name) ?? [],
    namesOf: (address) => names.get(address) ?? [],
  };
}

function push(map: Map<string, string[]>, key: string, value: string): void {
  const held = map.get(key);
  if (held === undefined) map.set(key, [value]);
  else if (!held.includes(value)) held.push(value);
}
