/** Random network policies, and what they mean, by a plain reading of the API's documentation. */
import type {
  IPBlock,
  NetworkPolicy,
  NetworkPolicyPeer,
  NetworkPolicyPort,
} from "../../../gen/networking-v1.ts";
import { familyOf, firstOf, type IpFamily } from "../../../lib/ip-range.ts";
import type { Target } from "./peer.ts";

export interface TestPod {
  readonly namespace: string;
  readonly name: string;
  /** One of each address family. */
  readonly ips: readonly string[];
}
/** Every pod carries `pod: <name>`, every namespace `ns: <name>`, and these ports. */
export const portNames: Readonly<Record<string, readonly [protocol: string, port: number]>> = {
  "tcp-80": ["TCP", 80],
  "tcp-81": ["TCP", 81],
  "udp-80": ["UDP", 80],
};

/** Ranges in which every pod is. */
const allPods: Readonly<Record<IpFamily, string>> = { IPv4: "10.42.0.0/24", IPv6: "fd00:42::/64" };

export class Dice {
  #state: number;
  constructor(seed: number) {
    this.#state = seed >>> 0;
  }
  /** 0 to n - 1, by a linear congruence: good enough to choose, and the same everywhere. */
  roll(n: number): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
    return Math.floor((this.#state / 2 ** 32) * n);
  }
  pick<T>(items: readonly T[]): T {
    return items[this.roll(items.length)] as T;
  }
  some<T>(most: number, make: () => T): T[] {
    return Array.from({ length: this.roll(most + 1) }, make);
  }
}

function selector(dice: Dice, key: string, values: readonly string[]) {
  switch (dice.roll(4)) {
    case 0:
      return {};
    case 1:
      return { matchLabels: { [key]: dice.pick(values) } };
    case 2:
      return { matchExpressions: [{ key, operator: "NotIn", values: [dice.pick(values)] }] };
    default:
      return {
        matchExpressions: [
          { key, operator: "In", values: [...new Set(dice.some(3, () => dice.pick(values))), "a"] },
        ],
      };
  }
}

function peer(dice: Dice, pods: readonly TestPod[]): NetworkPolicyPeer {
  const podSelector = selector(dice, "pod", ["a", "b", "c"]);
  const namespaceSelector = selector(dice, "ns", ["x", "y", "z"]);
  switch (dice.roll(4)) {
    case 0:
      return { podSelector };
    case 1:
      return { namespaceSelector };
    case 2:
      return { podSelector, namespaceSelector };
    default:
      return { ipBlock: block(dice, pods, dice.pick(["IPv4", "IPv6"])) };
  }
}

function block(dice: Dice, pods: readonly TestPod[], family: IpFamily): IPBlock {
  const one = () => hostRange(ipOf(dice.pick(pods), family));
  if (dice.roll(2) === 0) return { cidr: one() };
  return { cidr: allPods[family], except: [...new Set(dice.some(2, one))] };
}

function ipOf({ ips }: TestPod, family: IpFamily): string {
  return firstOf(ips, family) ?? "";
}

/** The range of one address alone. */
function hostRange(ip: string): string {
  return `${ip}/${familyOf(ip) === "IPv4" ? 32 : 128}`;
}

function port(dice: Dice): NetworkPolicyPort {
  const protocol = dice.pick(["TCP", "UDP"]);
  switch (dice.roll(4)) {
    case 0:
      return { protocol };
    case 1:
      return { protocol, port: dice.pick([80, 81]) };
    case 2:
      return { protocol, port: 79, endPort: dice.pick([80, 81]) };
    default: {
      const name = dice.pick(Object.keys(portNames));
      return { protocol: portNames[name]?.[0] ?? "TCP", port: name };
    }
  }
}

export function randomPolicies(dice: Dice, pods: readonly TestPod[]): NetworkPolicy[] {
  return Array.from({ length: 1 + dice.roll(5) }, (_, i) => {
    const types = dice.pick([["Ingress"], ["Egress"], ["Ingress", "Egress"]]);
    const peers = () => dice.some(2, () => peer(dice, pods));
    const ports = () => dice.some(2, () => port(dice));
    return {
      apiVersion: "networking.k8s.io/v1",
      kind: "NetworkPolicy",
      metadata: { name: `policy-${i}`, namespace: dice.pick(["x", "y", "z"]) },
      spec: {
        podSelector: selector(dice, "pod", ["a", "b", "c"]),
        policyTypes: types,
        ingress: types.includes("Ingress")
          ? dice.some(2, () => ({ from: peers(), ports: ports() }))
          : [],
        egress: types.includes("Egress")
          ? dice.some(2, () => ({ to: peers(), ports: ports() }))
          : [],
      },
    };
  });
}

interface Selector {
  readonly matchLabels?: Record<string, string>;
  readonly matchExpressions?: readonly { key: string; operator: string; values?: string[] }[];
}

function fits(wanted: Selector | undefined, labels: Record<string, string>): boolean {
  const { matchLabels = {}, matchExpressions = [] } = wanted ?? {};
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every(
      ({ key, operator, values = [] }) =>
        values.includes(labels[key] ?? "") === (operator === "In"),
    )
  );
}

function isPeer(
  one: NetworkPolicyPeer,
  policy: NetworkPolicy,
  other: TestPod,
  family: IpFamily,
): boolean {
  if (one.ipBlock) {
    const { cidr, except = [] } = one.ipBlock;
    const own = hostRange(ipOf(other, family));
    return (cidr === allPods[family] || cidr === own) && !except.includes(own);
  }
  const near = one.namespaceSelector
    ? fits(one.namespaceSelector, { ns: other.namespace })
    : other.namespace === policy.metadata.namespace;
  return near && fits(one.podSelector, { pod: other.name });
}

function isPort(one: NetworkPolicyPort, { port, protocol }: Target, byAddress: boolean): boolean {
  if ((one.protocol ?? "TCP") !== protocol) return false;
  if (one.port === undefined) return true;
  if (typeof one.port === "string") return !byAddress && portNames[one.port]?.[1] === port;
  return port >= one.port && port <= (one.endPort ?? one.port);
}

/** Whether `from` may send to `target` on `to`. */
export function isAllowed(
  policies: readonly NetworkPolicy[],
  from: TestPod,
  to: TestPod,
  target: Target,
): boolean {
  if (from === to) return true;
  const passes = (own: TestPod, other: TestPod, direction: "Ingress" | "Egress"): boolean => {
    const about = policies.filter(
      ({ metadata, spec }) =>
        metadata.namespace === own.namespace &&
        fits(spec.podSelector, { pod: own.name }) &&
        spec.policyTypes?.includes(direction),
    );
    if (about.length === 0) return true;
    return about.some((policy) => {
      const rules =
        direction === "Ingress"
          ? (policy.spec.ingress ?? []).map(({ from: peers, ports }) => ({ peers, ports }))
          : (policy.spec.egress ?? []).map(({ to: peers, ports }) => ({ peers, ports }));
      return rules.some(({ peers = [], ports = [] }) => {
        const everybody: readonly (NetworkPolicyPeer | undefined)[] = [undefined];
        return (peers.length === 0 ? everybody : peers).some((one) => {
          if (one !== undefined && !isPeer(one, policy, other, familyOf(target.ip))) return false;
          // A port's name means nothing at an address outside the cluster.
          const byAddress = direction === "Egress" && one?.ipBlock !== undefined;
          return ports.length === 0 || ports.some((wanted) => isPort(wanted, target, byAddress));
        });
      });
    });
  };
  return passes(from, to, "Egress") && passes(to, from, "Ingress");
}
