/** The network of a node, one address family at a time. */
import { familyOf, firstOf, type IpFamily } from "../../lib/ip-range.ts";

export interface FamilyNetwork {
  readonly family: IpFamily;
  /** Undefined for a node without an address of this family. */
  readonly nodeIp: string | undefined;
  readonly clusterCidr: string;
  readonly serviceCidr: string;
  /** The address the DNS listens on, inside `serviceCidr`; undefined: on none of this family. */
  readonly dnsIp: string | undefined;
}

export interface ClusterRanges {
  readonly nodeIps: readonly string[];
  readonly clusterCidrs: readonly string[];
  readonly serviceCidrs: readonly string[];
  readonly clusterDns: readonly string[];
}

/** The families that the cluster has, that of the first range first. */
export function familyNetworks(ranges: ClusterRanges): readonly FamilyNetwork[] {
  return ranges.clusterCidrs.flatMap((clusterCidr) => {
    const family = familyOf(clusterCidr);
    const serviceCidr = firstOf(ranges.serviceCidrs, family);
    if (serviceCidr === undefined) return [];
    const nodeIp = firstOf(ranges.nodeIps, family);
    return [
      { family, nodeIp, clusterCidr, serviceCidr, dnsIp: firstOf(ranges.clusterDns, family) },
    ];
  });
}
