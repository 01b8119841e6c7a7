/** The addresses of a pod, in the order in which it tells them. Pure. */
import { familyOf, firstOf } from "../../lib/ip-range.ts";

/**
 * One address of each family, that of the node's first address before the other: the runtime has
 * an order of its own.
 */
export function sortedPodIps(
  ips: readonly string[],
  nodeIps: readonly string[],
): readonly string[] {
  const first = familyOf(nodeIps[0] ?? ips[0] ?? "");
  const found = [firstOf(ips, first), firstOf(ips, first === "IPv4" ? "IPv6" : "IPv4")];
  return found.filter((ip) => ip !== undefined && ip !== "") as readonly string[];
}
