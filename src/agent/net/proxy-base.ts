/** The chains of a service table that stand whatever services there are. */
import type { IpFamily } from "../../lib/ip-range.ts";
import type { NftChain } from "./nft.ts";
import { nftFamilies } from "./nft-family.ts";

export interface ProxyNode {
  /** Of all its addresses: each family has a table of its own. */
  readonly family: IpFamily;
  readonly clusterCidr: string;
  readonly serviceCidr: string;
  /** Addresses that this node serves itself although they look like a service's: the DNS. */
  readonly ownServiceIps: readonly string[];
  /** False when bridged packets bypass the IP hooks: answers must then be forced through us. */
  readonly bridgeNetfilter: boolean;
  /** Whether pods leave the cluster under this node's address. */
  readonly masqueradesPods: boolean;
}

/** Bits of a packet's mark. */
const marks = {
  /** Asks for masquerading, the same that kube-proxy uses. */
  masquerade: "0x4000",
  /** From outside of the cluster: masqueraded unless its endpoint is on this node. */
  outside: "0x8000",
} as const;
/** The kernel limits ICMP to one answer a second; a reset always arrives. */
const refusals = ["meta l4proto tcp reject with tcp reset", "reject"];

export const fromOutside = `meta mark set meta mark or ${marks.outside}`;

export function baseChains(node: ProxyNode): ReadonlyMap<string, NftChain> {
  const { ip } = nftFamilies[node.family];
  const at = `${ip} daddr . meta l4proto . th dport`;
  const atNodePort = "fib daddr type local meta l4proto . th dport";
  const refuse = [`ct state new ${at} vmap @refused-ips`];
  const refuseNodePort = [`ct state new ${atNodePort} vmap @refused-node-ports`];
  const own = node.ownServiceIps.map((own) => `${ip} daddr ${own} return`);
  // What is left of the service range belongs to nobody, and must not leave the node.
  const unassigned = [...own, `ct state new ${ip} daddr ${node.serviceCidr} goto refuse`];
  const hooked = (hook: string, rules: readonly string[]): NftChain => ({ hook, rules });
  return new Map<string, NftChain>([
    ["mark-for-masquerade", { rules: [`meta mark set meta mark or ${marks.masquerade}`] }],
    ["refuse", { rules: refusals }],
    ["services", { rules: [`${at} vmap @service-ips`, `${atNodePort} vmap @service-node-ports`] }],
    [
      "guard",
      hooked("type filter hook prerouting priority -110", [`ct state new ${at} vmap @guarded-ips`]),
    ],
    ...(node.family === "IPv4" ? [martians] : []),
    ["refuse-input", hooked("type filter hook input priority 0", [...refuse, ...refuseNodePort])],
    ["refuse-forward", hooked("type filter hook forward priority 0", [...refuse, ...unassigned])],
    [
      "refuse-output",
      hooked("type filter hook output priority -110", [...refuse, ...refuseNodePort]),
    ],
    ["unassigned-output", hooked("type filter hook output priority 0", unassigned)],
    ["nat-prerouting", hooked("type nat hook prerouting priority -100", ["jump services"])],
    ["nat-output", hooked("type nat hook output priority -100", ["jump services"])],
    ["nat-postrouting", hooked("type nat hook postrouting priority 100", masquerading(node))],
  ]);
}

/** Routing of 127.0.0.0/8 is on for node ports on localhost: nobody else may send there. */
const martians = [
  "martians",
  {
    hook: "type filter hook prerouting priority -300",
    rules: ['iifname != "lo" ip daddr 127.0.0.0/8 drop'],
  },
] as const;

function masquerading(node: ProxyNode): readonly string[] {
  const { family, clusterCidr, bridgeNetfilter, masqueradesPods } = node;
  const { ip, multicast } = nftFamilies[family];
  const marked = (bit: string): string =>
    `meta mark and ${bit} == ${bit} meta mark set meta mark xor ${bit}`;
  return [
    `${marked(marks.masquerade)} masquerade fully-random`,
    `${marked(marks.outside)} ${ip} daddr != @local-endpoints masquerade fully-random`,
    // A pod that reaches itself through its service would answer itself past us.
    `ct status dnat ${ip} saddr . ${ip} daddr @hairpins masquerade fully-random`,
    // A server on localhost is reached by node port through the bridge: it needs a real source.
    // There is no such way with IPv6: the kernel routes ::1 nowhere.
    ...(family === "IPv4"
      ? ['oifname != "lo" ip saddr 127.0.0.0/8 ct status dnat masquerade fully-random']
      : []),
    ...(bridgeNetfilter
      ? []
      : [`${ip} saddr ${clusterCidr} ${ip} daddr ${clusterCidr} ct status dnat masquerade`]),
    ...(masqueradesPods
      ? [
          `${ip} saddr ${clusterCidr} ${ip} daddr != { ${clusterCidr}, ${multicast} } ` +
            "masquerade fully-random",
        ]
      : []),
  ];
}
