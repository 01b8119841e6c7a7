/** flannel's net-conf.json: K3s' for each backend, or the administrator's own. */
import type { FlannelBackend } from "./backends.ts";

export type NetConf = (
  | { readonly type: "vxlan"; readonly vni: number; readonly port: number }
  | { readonly type: "host-gw" }
  | { readonly type: "wireguard"; readonly port: number; readonly keepaliveSeconds: number }
) & {
  /** The addresses of all pods. */
  readonly network: string;
  /** Undefined: what the link to the other nodes leaves. */
  readonly mtu: number | undefined;
};

/** What each backend puts before a packet of a pod. */
const overheadBytes = { vxlan: 50, "host-gw": 0, wireguard: 80 } as const;

const typeOf = { vxlan: "vxlan", "host-gw": "host-gw", "wireguard-native": "wireguard" } as const;

/** The text of the file that K3s would write. */
export function netConfText(backend: Exclude<FlannelBackend, "none">, network: string): string {
  const keepalive = backend === "wireguard-native" ? { PersistentKeepaliveInterval: 25 } : {};
  const value = {
    Network: network,
    EnableIPv6: false,
    EnableIPv4: true,
    Backend: { Type: typeOf[backend], ...keepalive },
  };
  return `${JSON.stringify(value, null, 2)}\n`;
}

interface File {
  readonly Network?: string;
  readonly Backend?: {
    readonly Type?: string;
    readonly VNI?: number;
    readonly Port?: number;
    readonly MTU?: number;
    readonly ListenPort?: number;
    readonly PersistentKeepaliveInterval?: number;
  };
}

/** Reads a net-conf.json; throws with what k3 cannot do of it. */
export function parseNetConf(text: string, clusterCidr: string): NetConf {
  const { Network: network = clusterCidr, Backend: backend = {} } = JSON.parse(text) as File;
  const { Type: type = "udp", MTU: mtu } = backend;
  const all = { network, mtu };
  switch (type) {
    case "vxlan":
      return { type, vni: backend.VNI ?? 1, port: backend.Port ?? 8472, ...all };
    case "host-gw":
      return { type, ...all };
    case "wireguard": {
      const keepaliveSeconds = backend.PersistentKeepaliveInterval ?? 0;
      return { type, port: backend.ListenPort ?? 51820, keepaliveSeconds, ...all };
    }
    default:
      throw new Error(`Cannot use the overlay's configuration: there is no backend "${type}"`);
  }
}

/** The largest packet that pods may send. */
export function podMtu(conf: NetConf, linkMtu: number): number {
  return conf.mtu ?? linkMtu - overheadBytes[conf.type];
}
