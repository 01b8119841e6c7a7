/** flannel's net-conf.json: K3s' for each backend, or the administrator's own. */
import { firstOf, type IpFamily } from "../../../lib/ip-range.ts";
import type { FlannelBackend } from "./backends.ts";

export type NetConf = (
  | { readonly type: "vxlan"; readonly vni: number; readonly port: number }
  | { readonly type: "host-gw" }
  | {
      readonly type: "wireguard";
      readonly ports: Readonly<Record<IpFamily, number>>;
      readonly keepaliveSeconds: number;
    }
) & {
  /** The addresses of all pods, of the families that the overlay carries. */
  readonly networks: Readonly<Partial<Record<IpFamily, string>>>;
  /** Undefined: what the link to the other nodes leaves. */
  readonly mtu: number | undefined;
};

/** What each backend puts before a packet of a pod. */
const overheadBytes = {
  IPv4: { vxlan: 50, "host-gw": 0, wireguard: 80 },
  IPv6: { vxlan: 70, "host-gw": 0, wireguard: 80 },
} as const;

const typeOf = { vxlan: "vxlan", "host-gw": "host-gw", "wireguard-native": "wireguard" } as const;

/** The text of the file that K3s would write. */
export function netConfText(
  backend: Exclude<FlannelBackend, "none">,
  clusterCidrs: readonly string[],
): string {
  const [network, ipv6Network] = [firstOf(clusterCidrs, "IPv4"), firstOf(clusterCidrs, "IPv6")];
  const keepalive = backend === "wireguard-native" ? { PersistentKeepaliveInterval: 25 } : {};
  const value = {
    Network: network ?? "0.0.0.0/0",
    EnableIPv6: ipv6Network !== undefined,
    EnableIPv4: network !== undefined,
    IPv6Network: ipv6Network ?? "::/0",
    Backend: { Type: typeOf[backend], ...keepalive },
  };
  return `${JSON.stringify(value, null, 2)}\n`;
}

interface File {
  readonly Network?: string;
  readonly IPv6Network?: string;
  readonly EnableIPv4?: boolean;
  readonly EnableIPv6?: boolean;
  readonly Backend?: {
    readonly Type?: string;
    readonly VNI?: number;
    readonly Port?: number;
    readonly MTU?: number;
    readonly ListenPort?: number;
    readonly ListenPortV6?: number;
    readonly PersistentKeepaliveInterval?: number;
  };
}

/** Reads a net-conf.json; throws with what k3 cannot do of it. */
export function parseNetConf(text: string, clusterCidrs: readonly string[]): NetConf {
  const file = JSON.parse(text) as File;
  const { EnableIPv4: hasV4 = true, EnableIPv6: hasV6 = false, Backend: backend = {} } = file;
  const { Type: type = "udp", MTU: mtu } = backend;
  const { Network: v4 = firstOf(clusterCidrs, "IPv4") } = file;
  const { IPv6Network: v6 = firstOf(clusterCidrs, "IPv6") } = file;
  const networks = {
    ...(hasV4 && v4 !== undefined ? { IPv4: v4 } : {}),
    ...(hasV6 && v6 !== undefined ? { IPv6: v6 } : {}),
  };
  const all = { networks, mtu };
  switch (type) {
    case "vxlan":
      return { type, vni: backend.VNI ?? 1, port: backend.Port ?? 8472, ...all };
    case "host-gw":
      return { type, ...all };
    case "wireguard": {
      const keepaliveSeconds = backend.PersistentKeepaliveInterval ?? 0;
      const ports = { IPv4: backend.ListenPort ?? 51820, IPv6: backend.ListenPortV6 ?? 51821 };
      return { type, ports, keepaliveSeconds, ...all };
    }
    default:
      throw new Error(`Cannot use the overlay's configuration: there is no backend "${type}"`);
  }
}

/** The largest packet that pods may send between nodes which reach each other by `family`. */
export function podMtu(conf: NetConf, linkMtu: number, family: IpFamily): number {
  return conf.mtu ?? linkMtu - overheadBytes[family][conf.type];
}
