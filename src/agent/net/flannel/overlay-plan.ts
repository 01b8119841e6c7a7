/** What the kernel must know to reach the pods of other nodes, and how it is told. Pure. */
import type { Node } from "../../../gen/core-v1.ts";
import type { DeepReadonly } from "../../../lib/deep-readonly.ts";
import { familyOf, firstOf, type IpFamily } from "../../../lib/ip-range.ts";
import { routeProtocol } from "./backends.ts";
import type { NetConf } from "./net-conf.ts";

/** flannel's annotations of nodes: others that speak flannel read them, too. */
export const annotations = {
  managed: "flannel.alpha.coreos.com/kube-subnet-manager",
  type: "flannel.alpha.coreos.com/backend-type",
  IPv4: {
    data: "flannel.alpha.coreos.com/backend-data",
    publicIp: "flannel.alpha.coreos.com/public-ip",
    publicIpGiven: "flannel.alpha.coreos.com/public-ip-overwrite",
  },
  IPv6: {
    data: "flannel.alpha.coreos.com/backend-v6-data",
    publicIp: "flannel.alpha.coreos.com/public-ipv6",
    publicIpGiven: "flannel.alpha.coreos.com/public-ipv6-overwrite",
  },
} as const;

/** Another node, by what it tells of itself. */
export interface Peer {
  readonly podCidr: string;
  /** Where its end of the overlay is reached. */
  readonly publicIp: string;
  /** Of its link, with vxlan. */
  readonly mac: string;
  /** With wireguard. */
  readonly publicKey: string;
}

/** One thing that the kernel holds; two of the same text are the same. */
export type Entry =
  | { readonly kind: "route"; readonly cidr: string; readonly via: string; readonly dev: string }
  | { readonly kind: "neighbour"; readonly ip: string; readonly mac: string }
  | { readonly kind: "forward"; readonly mac: string; readonly ip: string }
  | {
      readonly kind: "peer";
      readonly key: string;
      readonly endpoint: string;
      readonly cidr: string;
    };

/** The ranges of a node's pods: one of each family of the cluster. */
export function podCidrsOf(node: DeepReadonly<Node> | undefined): readonly string[] {
  const { podCIDR = "", podCIDRs = [podCIDR] } = node?.spec ?? {};
  return podCIDRs.filter((cidr) => cidr !== "");
}

/** The nodes of this backend beside `ownName`, that have told enough to be reached by `family`. */
export function peersOf(
  nodes: Iterable<DeepReadonly<Node>>,
  ownName: string,
  { type, family }: { readonly type: NetConf["type"]; readonly family: IpFamily },
): readonly Peer[] {
  const peers: Peer[] = [];
  const keys = annotations[family];
  for (const node of nodes) {
    const { metadata } = node;
    const told = metadata.annotations ?? {};
    const podCidr = firstOf(podCidrsOf(node), family) ?? "";
    const publicIp = told[keys.publicIp] ?? "";
    if (metadata.name === ownName || told[annotations.type] !== type) continue;
    if (podCidr === "" || publicIp === "") continue;
    const { VtepMAC: mac = "", PublicKey: publicKey = "" } = backendData(told[keys.data]);
    if (type === "vxlan" && mac === "") continue;
    if (type === "wireguard" && publicKey === "") continue;
    peers.push({ podCidr, publicIp, mac: mac.toLowerCase(), publicKey });
  }
  return peers;
}

function backendData(text: string | undefined): {
  readonly VtepMAC?: string;
  readonly PublicKey?: string;
} {
  try {
    return (JSON.parse(text ?? "null") as object | null) ?? {};
  } catch (error) {
    // Somebody else's words in an annotation are no reason to lose the other nodes.
    if (error instanceof SyntaxError) return {};
    throw error;
  }
}

/** All that the kernel must hold for these peers; `dev` is the overlay's link, or the way out. */
export function entriesOf(conf: NetConf, peers: readonly Peer[], dev: string): readonly Entry[] {
  return peers.flatMap((peer) => entriesOfPeer(conf, peer, dev));
}

function entriesOfPeer(conf: NetConf, peer: Peer, dev: string): readonly Entry[] {
  const { podCidr: cidr, publicIp, mac, publicKey } = peer;
  const first = cidr.slice(0, cidr.indexOf("/"));
  switch (conf.type) {
    case "vxlan":
      return [
        { kind: "forward", mac, ip: publicIp },
        { kind: "neighbour", ip: first, mac },
        { kind: "route", cidr, via: first, dev },
      ];
    case "host-gw":
      return [{ kind: "route", cidr, via: publicIp, dev }];
    case "wireguard": {
      const host = publicIp.includes(":") ? `[${publicIp}]` : publicIp;
      return [
        { kind: "peer", key: publicKey, endpoint: `${host}:${conf.ports[familyOf(cidr)]}`, cidr },
        { kind: "route", cidr, via: "", dev },
      ];
    }
  }
}

/** Lines for `ip -batch` and `bridge -batch`, and argument lists of `wg`. */
export interface OverlaySteps {
  readonly ip: readonly string[];
  readonly bridge: readonly string[];
  readonly wg: readonly (readonly string[])[];
}

/** From what the kernel holds to what it must; what goes goes first. */
export function planOverlay(
  conf: NetConf,
  dev: string,
  state: { readonly wanted: readonly Entry[]; readonly actual: readonly Entry[] },
): OverlaySteps {
  const text = (entry: Entry): string => JSON.stringify(entry);
  const wanted = new Map(state.wanted.map((entry) => [text(entry), entry]));
  const actual = new Map(state.actual.map((entry) => [text(entry), entry]));
  const gone = [...actual].filter(([key]) => !wanted.has(key)).map(([, entry]) => entry);
  const fresh = [...wanted].filter(([key]) => !actual.has(key)).map(([, entry]) => entry);
  const steps = { ip: [] as string[], bridge: [] as string[], wg: [] as string[][] };
  for (const entry of gone) addStep(steps, conf, dev, { entry, isGone: true });
  for (const entry of fresh) addStep(steps, conf, dev, { entry, isGone: false });
  return steps;
}

function addStep(
  steps: { ip: string[]; bridge: string[]; wg: string[][] },
  conf: NetConf,
  dev: string,
  { entry, isGone }: { readonly entry: Entry; readonly isGone: boolean },
): void {
  const verb = isGone ? "delete" : "replace";
  switch (entry.kind) {
    case "route": {
      const isV4 = familyOf(entry.cidr) === "IPv4";
      const direct = isV4 ? " scope link" : "";
      const via = entry.via === "" ? direct : ` via ${entry.via}`;
      // The gateway is on no network of the link's: vxlan has one address only.
      const onlink = conf.type === "vxlan" ? " onlink" : "";
      steps.ip.push(
        `route ${verb} ${entry.cidr}${via} dev ${entry.dev} proto ${routeProtocol}${onlink}`,
      );
      return;
    }
    case "neighbour":
      steps.ip.push(
        isGone
          ? `neighbor delete ${entry.ip} dev ${dev}`
          : `neighbor replace ${entry.ip} lladdr ${entry.mac} dev ${dev} nud permanent`,
      );
      return;
    case "forward":
      steps.bridge.push(`fdb ${verb} ${entry.mac} dev ${dev} dst ${entry.ip} self permanent`);
      return;
    case "peer": {
      const keepalive = conf.type === "wireguard" ? String(conf.keepaliveSeconds) : "0";
      const added = ["endpoint", entry.endpoint, "persistent-keepalive", keepalive];
      const words = isGone ? ["remove"] : [...added, "allowed-ips", entry.cidr];
      steps.wg.push(["set", dev, "peer", entry.key, ...words]);
    }
  }
}

/** What the tools tell of the kernel, as entries. */
export function parseRoutes(json: string): readonly Entry[] {
  type Row = { readonly dst: string; readonly gateway?: string; readonly dev: string };
  return rowsOf<Row>(json).map(({ dst, gateway = "", dev }) => {
    // A range of one address is shown without its length.
    const cidr = dst.includes("/") ? dst : `${dst}/${familyOf(dst) === "IPv4" ? 32 : 128}`;
    return { kind: "route", cidr, via: gateway, dev };
  });
}

export function parseNeighbours(json: string): readonly Entry[] {
  const rows = rowsOf<{ readonly dst: string; readonly lladdr?: string }>(json);
  return rows.map(({ dst, lladdr = "" }) => ({ kind: "neighbour", ip: dst, mac: lladdr }));
}

export function parseForwards(json: string): readonly Entry[] {
  const rows = rowsOf<{ readonly mac: string; readonly dst?: string }>(json);
  return rows.flatMap(({ mac, dst }) =>
    dst === undefined ? [] : [{ kind: "forward", mac, ip: dst }],
  );
}

/** `wg show LINK dump`: one line of the link itself, then one of each peer. */
export function parsePeers(dump: string): readonly Entry[] {
  const [, ...lines] = dump.trim().split("\n");
  return lines.map((line) => {
    const [key = "", , endpoint = "", cidr = ""] = line.split("\t");
    return { kind: "peer", key, endpoint, cidr };
  });
}

function rowsOf<T>(json: string): readonly T[] {
  return json.trim() === "" ? [] : (JSON.parse(json) as T[]);
}
