/** The settings of the cluster as the server tells them, in K3s' form. */
import ipaddr from "ipaddr.js";
import { isFlannelBackend } from "../net/flannel/backends.ts";
import type { FlannelSettings } from "../net/flannel/settings.ts";

export interface ClusterConfig {
  readonly clusterCidrs: readonly string[];
  readonly serviceCidrs: readonly string[];
  readonly clusterDns: readonly string[];
  readonly clusterDomain: string;
  readonly disable: ReadonlySet<string>;
  readonly disableKubeProxy: boolean;
  readonly disableNetworkPolicy: boolean;
  readonly flannel: FlannelSettings;
  /** `disabled`: servers dial kubelets themselves, without tunnels. */
  readonly egressSelectorMode: string;
}

type Raw = Readonly<Record<string, unknown>>;

/** Throws with the name of what is missing: the server is then of another kind. */
export function clusterConfigOf(text: string): ClusterConfig {
  const raw = JSON.parse(text) as Raw;
  const backend = string(raw, "FlannelBackend");
  if (!isFlannelBackend(backend))
    throw new Error(`Cannot join: the server's flannel backend ${JSON.stringify(backend)}`);
  const disables = (raw.Disables ?? {}) as Readonly<Record<string, boolean>>;
  return {
    clusterCidrs: ranges(raw, "ClusterIPRanges"),
    serviceCidrs: ranges(raw, "ServiceIPRanges"),
    clusterDns: (raw.ClusterDNSs as readonly string[] | undefined) ?? [string(raw, "ClusterDNS")],
    clusterDomain: string(raw, "ClusterDomain"),
    disable: new Set(Object.keys(disables).filter((name) => disables[name] === true)),
    disableKubeProxy: raw.DisableKubeProxy === true,
    disableNetworkPolicy: raw.DisableNPC === true,
    flannel: {
      backend,
      masqueradesIpv6: raw.FlannelIPv6Masq === true,
      usesExternalIp: raw.FlannelExternalIP === true,
    },
    egressSelectorMode: string(raw, "EgressSelectorMode"),
  };
}

function string(raw: Raw, name: string): string {
  const value = raw[name];
  if (typeof value === "string" && value !== "") return value;
  throw new Error(`Cannot join: the server's configuration has no ${name}`);
}

/** Go's net.IPNet: an address and the bytes of its mask. */
function ranges(raw: Raw, name: string): readonly string[] {
  const list = raw[name] as readonly { readonly IP: string; readonly Mask: string }[] | undefined;
  if (list === undefined || list.length === 0)
    throw new Error(`Cannot join: the server's configuration has no ${name}`);
  return list.map(({ IP, Mask }) => {
    const mask = ipaddr.fromByteArray([...Buffer.from(Mask, "base64")]);
    const prefix = mask.prefixLengthFromSubnetMask();
    if (prefix === null) throw new Error(`Cannot join: ${name} has an odd mask`);
    return `${IP}/${prefix}`;
  });
}
