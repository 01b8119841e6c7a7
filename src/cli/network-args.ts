/** The address ranges of a cluster, decoded: one of a family, or one of each. */
import ipaddr from "ipaddr.js";
import { addressAt, familyOf, type IpFamily, parseRange } from "../lib/ip-range.ts";
import type { ControllerManagerArguments, NetworkRanges } from "../server/options.ts";
import { bad, type FlagValues, UsageError } from "./flags.ts";
import { address } from "./node-options.ts";

/** K3s' own ranges; those of IPv6 for a node that has no other addresses. */
const defaults: Readonly<
  Record<"cluster-cidr" | "service-cidr", Readonly<Record<IpFamily, string>>>
> = {
  "cluster-cidr": { IPv4: "10.42.0.0/16", IPv6: "fd00:42::/56" },
  "service-cidr": { IPv4: "10.43.0.0/16", IPv6: "fd00:43::/112" },
};

/** Lengths of prefixes that leave room for nodes or services, but not more than can be counted. */
const prefixes = {
  IPv4: { least: 8, most: 24 },
  IPv6: { least: 16, most: 120 },
} as const;
/** kube-apiserver's own limit: the allocator counts to a million. */
const serviceBitsMax = 20;
/** kube-controller-manager's own limit. */
const nodeBitsMax = 16;

export function networkRangesOf(
  flags: FlagValues,
  nodeIps: readonly string[],
  controllerManager: ControllerManagerArguments,
): NetworkRanges {
  const serviceCidrs = serviceRangesOf(flags, "service-cidr", nodeIps[0]);
  const clusterCidrs = rangesOf(flags, "cluster-cidr", defaultOf("cluster-cidr", nodeIps[0]));
  for (const service of serviceCidrs)
    for (const cluster of clusterCidrs)
      if (overlap(service, cluster))
        throw new UsageError(
          `Cannot use --service-cidr=${service}: it overlaps with --cluster-cidr=${cluster}`,
        );
  const families = clusterCidrs.map(familyOf);
  if (families.toSorted().join() !== serviceCidrs.map(familyOf).toSorted().join())
    throw new UsageError(
      `Cannot use --cluster-cidr=${clusterCidrs} with --service-cidr=${serviceCidrs}: ` +
        "they must share the same IP version (IPv4, IPv6 or dual-stack)",
    );
  checkNodeIps(nodeIps, families);
  const nodeCidrMaskSizes = maskSizesOf(controllerManager, families);
  for (const cidr of clusterCidrs) checkMask(cidr, nodeCidrMaskSizes[familyOf(cidr)]);
  return {
    clusterCidrs,
    serviceCidrs,
    nodeCidrMaskSizes,
    clusterDns: clusterDnsOf(flags, serviceCidrs),
  };
}

/** kube-controller-manager's rules for its three flags of one thing. */
function maskSizesOf(
  args: ControllerManagerArguments,
  families: readonly IpFamily[],
): NetworkRanges["nodeCidrMaskSizes"] {
  const [both, v4, v6] = [
    args["node-cidr-mask-size"],
    args["node-cidr-mask-size-ipv4"],
    args["node-cidr-mask-size-ipv6"],
  ];
  const refuse = (usage: string): UsageError =>
    new UsageError(`Cannot use --kube-controller-manager-arg: usage of ${usage}`);
  const name = "--node-cidr-mask-size";
  if (both !== 0 && families.length > 1)
    throw refuse(`${name} is not allowed with dual-stack clusters`);
  if (both !== 0 && (v4 !== 0 || v6 !== 0))
    throw refuse(`${name}-ipv4 and ${name}-ipv6 is not allowed if ${name} is set`);
  if (v4 !== 0 && !families.includes("IPv4"))
    throw refuse(`${name}-ipv4 is not allowed for a single-stack IPv6 cluster`);
  if (v6 !== 0 && !families.includes("IPv6"))
    throw refuse(`${name}-ipv6 is not allowed for a single-stack IPv4 cluster`);
  return { IPv4: v4 || both || 24, IPv6: v6 || both || 64 };
}

/** A node's part must fit into the range, and the parts must be few enough to be counted. */
function checkMask(cidr: string, mask: number): void {
  const prefix = Number(cidr.slice(cidr.indexOf("/") + 1));
  if (mask < prefix || mask > (familyOf(cidr) === "IPv4" ? 30 : 126))
    throw bad("cluster-cidr", cidr, `it has no room for the /${mask} of a node`);
  if (mask - prefix > nodeBitsMax)
    throw bad("cluster-cidr", cidr, `it has more than 2^${nodeBitsMax} parts of /${mask}`);
}

function defaultOf(name: keyof typeof defaults, nodeIp = ""): string {
  return defaults[name][familyOf(nodeIp)];
}

/** A node's pods have addresses of every family of the cluster, and so must the node. */
function checkNodeIps(nodeIps: readonly string[], families: readonly IpFamily[]): void {
  if (nodeIps.length === 0) return;
  const missing = families.find((family) => !nodeIps.map(familyOf).includes(family));
  if (missing === undefined) return;
  const detail = `an ${missing} address is missing, which the cluster's ranges ask for`;
  throw bad("node-ip", nodeIps.join(","), detail);
}

/** The ranges that cluster IPs come from; `nodeIp` tells the family of the usual one. */
export function serviceRangesOf(
  flags: FlagValues,
  name: string,
  nodeIp?: string,
): readonly string[] {
  const ranges = rangesOf(flags, name, defaultOf("service-cidr", nodeIp));
  for (const text of ranges) {
    const { family, size } = parseRange(text);
    const bits = family === "IPv4" ? 32 : 128;
    if (family === "IPv6" && size > 1n << BigInt(serviceBitsMax))
      throw bad(
        name,
        text,
        `it is too large; for ${bits}-bit addresses, the mask must be >= ${bits - serviceBitsMax}`,
      );
  }
  return ranges;
}

function rangesOf(flags: FlagValues, name: string, fallback: string): readonly string[] {
  const given = flags.list(name);
  const ranges = (given.length > 0 ? given : [fallback]).map((text) => rangeOf(name, text));
  if (new Set(ranges.map(familyOf)).size === ranges.length) return ranges;
  throw bad(name, given.join(","), "it takes one range of each IP family at most");
}

function rangeOf(name: string, text: string): string {
  const family = familyOf(text);
  const isShort = family === "IPv4" && text.split(".").length !== 4;
  if (isShort || !ipaddr.isValidCIDR(text))
    throw bad(name, text, `it is not a CIDR such as ${defaults["cluster-cidr"][family]}`);
  const [, prefix] = ipaddr.parseCIDR(text);
  const { least, most } = prefixes[family];
  if (prefix < least || prefix > most)
    throw bad(name, text, `its prefix must be between ${least} and ${most}`);
  return `${addressAt(text, 0)}/${prefix}`;
}

function overlap(one: string, other: string): boolean {
  const [a, aPrefix] = ipaddr.parseCIDR(one);
  const [b, bPrefix] = ipaddr.parseCIDR(other);
  return a.kind() === b.kind() && a.match(b, Math.min(aPrefix, bPrefix));
}

/** The tenth address of each service range unless given. */
function clusterDnsOf(flags: FlagValues, serviceCidrs: readonly string[]): readonly string[] {
  const given = flags.list("cluster-dns");
  if (given.length === 0) return serviceCidrs.map((cidr) => addressAt(cidr, 10));
  for (const text of given) {
    const ip = ipaddr.parse(address(text, "cluster-dns"));
    const isInside = serviceCidrs.some((cidr) => {
      const range = ipaddr.parseCIDR(cidr);
      return range[0].kind() === ip.kind() && ip.match(range);
    });
    if (!isInside)
      throw bad("cluster-dns", text, `it must lie within --service-cidr=${serviceCidrs.join(",")}`);
  }
  if (new Set(given.map(familyOf)).size < given.length)
    throw bad("cluster-dns", given.join(","), "it takes one address of each IP family at most");
  return given.map((text) => ipaddr.parse(text).toString());
}
