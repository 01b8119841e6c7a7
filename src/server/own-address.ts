/** The address by which other machines reach this one, when nobody names it. */
import { networkInterfaces } from "../runtime/machine.ts";

/** The first IPv4 address that is not loopback and not of a link of ours; else loopback. */
export function ownAddress(): string {
  for (const [link, addresses] of Object.entries(networkInterfaces())) {
    if (link === "cni0" || link === "k3-dns" || link.startsWith("flannel")) continue;
    const found = addresses?.find(({ family, internal }) => family === "IPv4" && !internal);
    if (found !== undefined) return found.address;
  }
  return "127.0.0.1";
}
