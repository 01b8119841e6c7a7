/** The addresses by which other machines reach this one, when nobody names them. */
import type { IpFamily } from "../lib/ip-range.ts";
import { networkInterfaces } from "../runtime/machine.ts";

const loopback: Readonly<Record<IpFamily, string>> = { IPv4: "127.0.0.1", IPv6: "::1" };

/** Those that were given, else the first of each family of the cluster that this machine has. */
export function nodeIpsOf(
  given: readonly string[],
  families: readonly IpFamily[],
): readonly string[] {
  if (given.length > 0) return given;
  const found = families.map(ownAddress).filter((ip) => ip !== undefined);
  return found.length > 0 ? found : [loopback[families[0] ?? "IPv4"]];
}

/** The first address that is not loopback and not of a link of ours. */
function ownAddress(wanted: IpFamily): string | undefined {
  for (const [link, addresses] of Object.entries(networkInterfaces())) {
    if (link === "cni0" || link === "k3-dns" || link.startsWith("flannel")) continue;
    const found = addresses?.find(
      // An address that counts on one link only is of no use to who is on another.
      ({ family, internal, address }) =>
        family === wanted && !internal && !/^fe[89ab]/i.test(address),
    );
    if (found !== undefined) return found.address;
  }
  return undefined;
}
