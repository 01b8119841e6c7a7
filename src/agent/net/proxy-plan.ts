/** From service ports to one nftables table: what kube-proxy does, in its nftables manner. */
import type { NftChain, NftSet, NftTable } from "./nft.ts";
import type { ServicePortRow, Target, Targets } from "./service-ports.ts";

export const proxyTable = "ip k3-proxy";

export interface ProxyNode {
  readonly clusterCidr: string;
  readonly serviceCidr: string;
  /** Addresses that this node serves itself although they look like a service's: the DNS. */
  readonly ownServiceIps: readonly string[];
  /** False when bridged packets bypass the IP hooks: answers must then be forced through us. */
  readonly bridgeNetfilter: boolean;
}

/** The bit that asks for masquerading, the same that kube-proxy uses. */
const masqueradeMark = "0x4000";
/** The kernel limits ICMP to one answer a second; a reset always arrives. */
const refusals = ["meta l4proto tcp reject with tcp reset", "reject"];
const addressMap = "type ipv4_addr . inet_proto . inet_service : verdict";
const portMap = "type inet_proto . inet_service : verdict";

class Builder {
  readonly chains = new Map<string, NftChain>();
  readonly dynamicSets = new Map<string, string>();
  readonly serviceIps = new Map<string, string>();
  readonly servicePorts = new Map<string, string>();
  readonly refusedIps = new Map<string, string>();
  readonly refusedPorts = new Map<string, string>();
  readonly guardedIps = new Map<string, string>();

  sets(): ReadonlyMap<string, NftSet> {
    const map = (type: string, elements: ReadonlyMap<string, string>): NftSet => ({
      kind: "map",
      type,
      elements,
    });
    return new Map([
      ["service-ips", map(addressMap, this.serviceIps)],
      ["service-node-ports", map(portMap, this.servicePorts)],
      ["refused-ips", map(addressMap, this.refusedIps)],
      ["refused-node-ports", map(portMap, this.refusedPorts)],
      ["guarded-ips", map(addressMap, this.guardedIps)],
    ]);
  }
}

export function planProxy(rows: readonly ServicePortRow[], node: ProxyNode): NftTable {
  const builder = new Builder();
  addBaseChains(builder, node);
  for (const row of rows) {
    if (!node.ownServiceIps.includes(row.clusterIp)) addService(builder, row, node);
  }
  return {
    chains: builder.chains,
    sets: builder.sets(),
    dynamicSets: builder.dynamicSets,
  };
}

function addBaseChains(builder: Builder, node: ProxyNode): void {
  const { clusterCidr, serviceCidr } = node;
  const at = "ip daddr . meta l4proto . th dport";
  const atNodePort = "fib daddr type local meta l4proto . th dport";
  const chain = (name: string, hook: string, rules: readonly string[]): void =>
    void builder.chains.set(name, { hook, rules });
  builder.chains.set("mark-for-masquerade", {
    rules: [`meta mark set meta mark or ${masqueradeMark}`],
  });
  builder.chains.set("refuse", { rules: refusals });
  builder.chains.set("services", {
    rules: [`${at} vmap @service-ips`, `${atNodePort} vmap @service-node-ports`],
  });
  const refuse = [`ct state new ${at} vmap @refused-ips`];
  const refuseNodePort = [`ct state new ${atNodePort} vmap @refused-node-ports`];
  const own = [...node.ownServiceIps].map((ip) => `ip daddr ${ip} return`);
  // What is left of the service range belongs to nobody, and must not leave the node.
  const unassigned = [...own, `ct state new ip daddr ${serviceCidr} goto refuse`];
  chain("guard", "type filter hook prerouting priority -110", [
    `ct state new ${at} vmap @guarded-ips`,
  ]);
  // Routing of 127.0.0.0/8 is on for node ports on localhost: nobody else may send there.
  chain("martians", "type filter hook prerouting priority -300", [
    'iifname != "lo" ip daddr 127.0.0.0/8 drop',
  ]);
  chain("refuse-input", "type filter hook input priority 0", [...refuse, ...refuseNodePort]);
  chain("refuse-forward", "type filter hook forward priority 0", [...refuse, ...unassigned]);
  chain("refuse-output", "type filter hook output priority -110", [...refuse, ...refuseNodePort]);
  chain("unassigned-output", "type filter hook output priority 0", unassigned);
  chain("nat-prerouting", "type nat hook prerouting priority -100", ["jump services"]);
  chain("nat-output", "type nat hook output priority -100", ["jump services"]);
  chain("nat-postrouting", "type nat hook postrouting priority 100", [
    `meta mark and ${masqueradeMark} == ${masqueradeMark} ` +
      `meta mark set meta mark xor ${masqueradeMark} masquerade fully-random`,
    // A server on localhost is reached by node port through the bridge: it needs a real source.
    'oifname != "lo" ip saddr 127.0.0.0/8 ct status dnat masquerade fully-random',
    ...(node.bridgeNetfilter
      ? []
      : [`ip saddr ${clusterCidr} ip daddr ${clusterCidr} ct status dnat masquerade`]),
    `ip saddr ${clusterCidr} ip daddr != { ${clusterCidr}, 224.0.0.0/4 } masquerade fully-random`,
  ]);
}

function addService(builder: Builder, row: ServicePortRow, node: ProxyNode): void {
  const { id, protocol, port } = row;
  const targetsUsed = [row.internal, row.all, row.external].filter(
    (one) => typeof one !== "string",
  );
  for (const target of distinct(targetsUsed.flat())) addEndpoint(builder, row, target);

  const inside = `service/${id}`;
  const ipKey = `${row.clusterIp} . ${protocol} . ${port}`;
  const insideVerdict = verdictOf(row.internal, inside);
  if (insideVerdict.served) {
    builder.chains.set(inside, {
      rules: [
        `ip daddr ${row.clusterIp} ip saddr != ${node.clusterCidr} jump mark-for-masquerade`,
        ...balance(row, row.internal),
      ],
    });
    builder.serviceIps.set(ipKey, insideVerdict.verdict);
  } else {
    builder.refusedIps.set(ipKey, insideVerdict.verdict);
  }
  if (row.externalIps.length > 0 || row.nodePort > 0) addExternal(builder, row, node);
}

function addExternal(builder: Builder, row: ServicePortRow, node: ProxyNode): void {
  const { id, protocol, port } = row;
  const outside = `external/${id}`;
  const targets = row.external === "all" ? row.all : row.external;
  // Under a Local policy this node's own clients may still go anywhere.
  const wanted = row.external === "drop" && row.all.length > 0 ? row.all : targets;
  const { served, verdict } = verdictOf(wanted, outside);
  if (served) {
    builder.chains.set(outside, { rules: externalRules(builder, row, node) });
  }
  const ips = served ? builder.serviceIps : builder.refusedIps;
  const ports = served ? builder.servicePorts : builder.refusedPorts;
  for (const ip of row.externalIps) ips.set(`${ip} . ${protocol} . ${port}`, verdict);
  if (row.nodePort > 0) ports.set(`${protocol} . ${row.nodePort}`, verdict);
  if (row.sourceRanges.length === 0 || row.loadBalancerIps.length === 0) return;
  const guard = `guard/${id}`;
  builder.chains.set(guard, {
    rules: [`ip saddr { ${row.sourceRanges.join(", ")} } return`, "drop"],
  });
  for (const ip of row.loadBalancerIps) {
    builder.guardedIps.set(`${ip} . ${protocol} . ${port}`, `goto ${guard}`);
  }
}

function externalRules(builder: Builder, row: ServicePortRow, node: ProxyNode): readonly string[] {
  if (row.external === "all") {
    return ["fib saddr type local jump mark-for-masquerade", ...fromOutside(builder, row)];
  }
  const anywhere = `anywhere/${row.id}`;
  builder.chains.set(anywhere, { rules: balance(row, row.all) });
  return [
    `ip saddr ${node.clusterCidr} goto ${anywhere}`,
    "fib saddr type local jump mark-for-masquerade",
    `fib saddr type local goto ${anywhere}`,
    ...(row.external === "drop" ? ["drop"] : balance(row, row.external)),
  ];
}

function verdictOf(targets: Targets, chain: string): { served: boolean; verdict: string } {
  if (targets === "drop") return { served: false, verdict: "drop" };
  if (targets.length === 0) return { served: false, verdict: "goto refuse" };
  return { served: true, verdict: `goto ${chain}` };
}

/** What an endpoint on this node answers comes by here anyway: the client's address may stay. */
function fromOutside(builder: Builder, row: ServicePortRow): readonly string[] {
  return balance(row, row.all, (target) => {
    const near = endpointChain(row, target);
    if (target.isLocal) return near;
    const far = `far/${row.id}/${target.ip}/${target.port}`;
    builder.chains.set(far, { rules: ["jump mark-for-masquerade", `goto ${near}`] });
    return far;
  });
}

/** First the endpoint a client sticks to, then any by lot. */
function balance(
  row: ServicePortRow,
  targets: Targets,
  chainOf = (target: Target): string => endpointChain(row, target),
): readonly string[] {
  if (targets === "drop" || targets.length === 0) return [];
  const sticky =
    row.affinitySeconds > 0
      ? targets.map((t) => `ip saddr @${affinitySet(row, t)} goto ${chainOf(t)}`)
      : [];
  const lots = targets.map((target, lot) => `${lot} : goto ${chainOf(target)}`);
  return [...sticky, `numgen random mod ${targets.length} vmap { ${lots.join(", ")} }`];
}

function addEndpoint(builder: Builder, row: ServicePortRow, target: Target): void {
  const rules = [`ip saddr ${target.ip} jump mark-for-masquerade`];
  if (row.affinitySeconds > 0) {
    const set = affinitySet(row, target);
    builder.dynamicSets.set(
      set,
      `type ipv4_addr; flags dynamic,timeout; timeout ${row.affinitySeconds}s;`,
    );
    rules.push(`update @${set} { ip saddr }`);
  }
  rules.push(`meta l4proto ${row.protocol} dnat to ${target.ip}:${target.port}`);
  builder.chains.set(endpointChain(row, target), { rules });
}

function endpointChain(row: ServicePortRow, target: Target): string {
  return `endpoint/${row.id}/${target.ip}/${target.port}`;
}

/** The length of the stay is part of the name: a set cannot change it. */
function affinitySet(row: ServicePortRow, target: Target): string {
  return `affinity${row.affinitySeconds}/${row.id}/${target.ip}/${target.port}`;
}

function distinct(targets: readonly Target[]): readonly Target[] {
  return [...new Map(targets.map((target) => [`${target.ip}:${target.port}`, target])).values()];
}
