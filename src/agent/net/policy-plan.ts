/** The nftables table of one address family for policies: who may speak to pods of this node. */
import type {
  NetworkPolicy,
  NetworkPolicyPeer,
  NetworkPolicyPort,
} from "../../gen/networking-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { familyOf, type IpFamily } from "../../lib/ip-range.ts";
import { type Labels, labelSelectorOf, matchesLabels } from "../../lib/selector.ts";
import type { NftChain, NftSet, NftTable } from "./nft.ts";
import { nftFamilies } from "./nft-family.ts";

/** Family and name of the table: each address family has its own. */
export function policyTable(family: IpFamily): string {
  return `${nftFamilies[family].ip} k3-policy`;
}

export interface PolicyPod {
  readonly namespace: string;
  readonly labels: Labels;
  /** Empty for pods on the host's network: policies do not reach them. */
  readonly ips: readonly string[];
  readonly isLocal: boolean;
  readonly ports: readonly { readonly name: string; readonly protocol: string; port: number }[];
}

export interface PolicyWorld {
  readonly policies: readonly DeepReadonly<NetworkPolicy>[];
  readonly pods: readonly PolicyPod[];
  readonly namespaces: ReadonlyMap<string, Labels>;
}

type Direction = "ingress" | "egress";
type Peers = readonly DeepReadonly<NetworkPolicyPeer>[];
type Ports = readonly DeepReadonly<NetworkPolicyPort>[];

/** The side of a packet that the peer of the policy's pod is on, and the pod's own side. */
const sides = {
  ingress: { peer: "saddr", own: "daddr" },
  egress: { peer: "daddr", own: "saddr" },
} as const;
/** By these, pods and nodes find each other on a link: no policy speaks of them. */
const neighbours = [
  "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept",
  "icmpv6 type { nd-router-solicit, nd-router-advert } accept",
];
/**
 * As K3s does it: a refusal tells the client at once. Behind a Service address on one bridge it
 * does not arrive, since the kernel sends it past address translation; the client then waits.
 */
const refusals = ["meta l4proto tcp reject with tcp reset", "reject"];

/** Whether `policy` speaks of this direction: pods it selects are then closed to all else. */
export function isolates(policy: DeepReadonly<NetworkPolicy>, direction: Direction): boolean {
  const wanted = direction === "ingress" ? "Ingress" : "Egress";
  const { policyTypes, egress } = policy.spec;
  if (policyTypes !== undefined && policyTypes.length > 0) return policyTypes.includes(wanted);
  return direction === "ingress" || egress !== undefined;
}

/** Whether `policy` is about `pod`. */
export function selects(
  policy: DeepReadonly<NetworkPolicy>,
  pod: Pick<PolicyPod, "namespace" | "labels">,
): boolean {
  if (policy.metadata.namespace !== pod.namespace) return false;
  return matchesLabels(labelSelectorOf(policy.spec.podSelector ?? {}), pod.labels);
}

/** The table of one family; addresses of the other in `world` do not count. */
export function planPolicies(world: PolicyWorld, family: IpFamily): NftTable {
  const pods = world.pods.map((pod) => ({
    ...pod,
    ips: pod.ips.filter((ip) => familyOf(ip) === family),
  }));
  const plan = new Plan({ ...world, pods }, family);
  for (const direction of ["egress", "ingress"] as const) plan.addDirection(direction);
  return { chains: [plan.chains], sets: plan.sets, dynamicSets: new Map() };
}

class Plan {
  readonly chains = new Map<string, NftChain>();
  readonly sets = new Map<string, NftSet>();

  readonly #ip: "ip" | "ip6";
  readonly #addressType: string;

  constructor(
    private readonly world: PolicyWorld,
    private readonly family: IpFamily,
  ) {
    const { ip, address } = nftFamilies[family];
    this.#ip = ip;
    this.#addressType = `type ${address}`;
    this.chains.set("refuse", { rules: refusals });
  }

  addDirection(direction: Direction): void {
    const pods = new Map<string, string>();
    const selves = new Map<string, string>();
    for (const pod of this.world.pods) {
      if (!pod.isLocal || pod.ips.length === 0) continue;
      const policies = this.world.policies.filter(
        (policy) => isolates(policy, direction) && selects(policy, pod),
      );
      if (policies.length === 0) continue;
      const group = this.#group(direction, policies);
      for (const ip of pod.ips) {
        pods.set(ip, `goto ${group}`);
        selves.set(`${ip} . ${ip}`, "");
      }
    }
    this.sets.set(`${direction}-pods`, {
      kind: "map",
      type: `${this.#addressType} : verdict`,
      elements: [pods],
    });
    this.sets.set(`${direction}-selves`, {
      kind: "set",
      type: `${this.#addressType} . ${nftFamilies[this.family].address}`,
      elements: [selves],
    });
    // Two base chains: what one accepts, the other still has its say on.
    const priority = direction === "egress" ? -20 : -10;
    const ip = this.#ip;
    this.chains.set(direction, {
      hook: `type filter hook forward priority ${priority}`,
      rules: [
        "ct state established,related accept",
        ...(this.family === "IPv6" ? neighbours : []),
        // No policy keeps a pod from itself.
        `${ip} saddr . ${ip} daddr @${direction}-selves accept`,
        `${ip} ${sides[direction].own} vmap @${direction}-pods`,
      ],
    });
  }

  /** Pods under the same policies share a chain: what one of them allows is allowed. */
  #group(direction: Direction, policies: readonly DeepReadonly<NetworkPolicy>[]): string {
    const chains = policies.map((policy) => this.#policy(direction, policy)).sort();
    const name = `${direction}/${digest(chains.join(" "))}`;
    this.chains.set(name, { rules: [...chains.map((chain) => `jump ${chain}`), "goto refuse"] });
    return name;
  }

  #policy(direction: Direction, policy: DeepReadonly<NetworkPolicy>): string {
    const { namespace = "", name = "" } = policy.metadata;
    const chain = `policy/${namespace}/${digest(name)}/${direction}`;
    if (this.chains.has(chain)) return chain;
    const rules: string[] = [];
    if (direction === "ingress") {
      for (const { from, ports } of policy.spec.ingress ?? []) {
        rules.push(...this.#rules(direction, policy, from ?? [], ports ?? []));
      }
    } else {
      for (const { to, ports } of policy.spec.egress ?? []) {
        rules.push(...this.#rules(direction, policy, to ?? [], ports ?? []));
      }
    }
    this.chains.set(chain, { rules: [...new Set(rules)] });
    return chain;
  }

  #rules(
    direction: Direction,
    policy: DeepReadonly<NetworkPolicy>,
    peers: Peers,
    ports: Ports,
  ): readonly string[] {
    const numbered = ports.filter(({ port }) => typeof port !== "string").map(portMatch);
    const named = ports.filter(({ port }) => typeof port === "string");
    const places = ports.length === 0 ? [""] : numbered;
    const rules: string[] = [];
    for (const peer of peers.length === 0 ? [undefined] : peers) {
      const from = this.#peer(direction, policy, peer);
      if (from === undefined) continue;
      for (const place of places) rules.push(words(from, place, "accept"));
      for (const port of named) {
        const set = this.#namedPorts(direction, policy, peer, port);
        if (set === undefined) continue;
        rules.push(words(from, `${this.#ip} daddr . meta l4proto . th dport @${set}`, "accept"));
      }
    }
    return rules;
  }

  /** The match for one peer; "" for everybody, undefined for nobody of this family. */
  #peer(
    direction: Direction,
    policy: DeepReadonly<NetworkPolicy>,
    peer: DeepReadonly<NetworkPolicyPeer> | undefined,
  ): string | undefined {
    if (peer === undefined) return "";
    const side = `${this.#ip} ${sides[direction].peer}`;
    if (peer.ipBlock !== undefined) {
      const { cidr, except = [] } = peer.ipBlock;
      // The address families do not mix: an IPv6 block lets no IPv4 packet through.
      if (familyOf(cidr) !== this.family) return undefined;
      return words(`${side} ${cidr}`, ...except.map((one) => `${side} != ${one}`));
    }
    const { namespaceSelector, podSelector } = peer;
    const home = namespaceSelector === undefined ? policy.metadata.namespace : undefined;
    const name = `peers/${digest(JSON.stringify([home, namespaceSelector, podSelector]))}`;
    if (!this.sets.has(name)) {
      const ips = this.#podsOf(policy, peer).flatMap((pod) => pod.ips);
      this.#addSet(name, this.#addressType, ips);
    }
    return `${side} @${name}`;
  }

  #podsOf(
    policy: DeepReadonly<NetworkPolicy>,
    { namespaceSelector, podSelector }: DeepReadonly<NetworkPolicyPeer>,
  ): readonly PolicyPod[] {
    const wantedPods = labelSelectorOf(podSelector ?? {});
    const wantedNamespaces = labelSelectorOf(namespaceSelector);
    return this.world.pods.filter(({ namespace, labels }) => {
      const isNear =
        namespaceSelector === undefined
          ? namespace === policy.metadata.namespace
          : matchesLabels(wantedNamespaces, this.world.namespaces.get(namespace));
      return isNear && matchesLabels(wantedPods, labels);
    });
  }

  /** Where a port's name leads depends on the pod that is spoken to. */
  #namedPorts(
    direction: Direction,
    policy: DeepReadonly<NetworkPolicy>,
    peer: DeepReadonly<NetworkPolicyPeer> | undefined,
    wanted: DeepReadonly<NetworkPolicyPort>,
  ): string | undefined {
    // Addresses outside the cluster have no port names.
    if (direction === "egress" && peer?.ipBlock !== undefined) return undefined;
    const { protocol = "TCP" } = wanted;
    const pods =
      direction === "ingress"
        ? this.world.pods.filter((pod) => pod.isLocal && selects(policy, pod))
        : peer === undefined
          ? this.world.pods
          : this.#podsOf(policy, peer);
    const elements = pods.flatMap(({ ips, ports }) =>
      ports
        .filter((port) => port.name === wanted.port && port.protocol === protocol)
        .flatMap(({ port }) => ips.map((ip) => `${ip} . ${protocol.toLowerCase()} . ${port}`)),
    );
    const { namespace, name } = policy.metadata;
    const identity = [namespace, name, direction, peer, wanted.port, protocol];
    const set = `ports/${digest(JSON.stringify(identity))}`;
    this.#addSet(set, `${this.#addressType} . inet_proto . inet_service`, elements);
    return set;
  }

  #addSet(name: string, type: string, elements: readonly string[]): void {
    const keys = new Map(elements.map((element) => [element, ""]));
    this.sets.set(name, { kind: "set", type, elements: [keys] });
  }
}

function portMatch({ protocol = "TCP", port, endPort }: DeepReadonly<NetworkPolicyPort>): string {
  const kind = protocol.toLowerCase();
  if (port === undefined) return `meta l4proto ${kind}`;
  return `${kind} dport ${endPort === undefined ? port : `${port}-${endPort}`}`;
}

function words(...parts: readonly string[]): string {
  return parts.filter((part) => part !== "").join(" ");
}

/** Names of tables are short; names in Kubernetes are not. */
function digest(text: string): string {
  return Bun.hash(text).toString(16);
}
