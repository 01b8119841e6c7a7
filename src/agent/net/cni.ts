/** The CNI configuration of a node: a bridge, addresses of the node's range, host ports. */
import type { Runtime } from "../../runtime/runtime.ts";

export interface CniConfig {
  /** `<data-dir>/agent/etc/cni/net.d`. */
  readonly dir: string;
  /** The node's parts of the cluster's ranges, for example 10.42.0.0/24. */
  readonly podCidrs: readonly string[];
  /** `<data-dir>/agent/...` where address leases are kept; it must survive a restart. */
  readonly leaseDir: string;
  readonly mtu: number;
  /** A file of the administrator's in place of ours. */
  readonly given: string | undefined;
}

/** The name that K3s gives the file, so that tools which look for it find it. */
export const cniFileName = "10-flannel.conflist";
export const bridgeName = "cni0";
/** host-local keeps its leases in a folder of this name. */
export const cniNetworkName = "cbr0";

export async function writeCniConfig(runtime: Runtime, config: CniConfig): Promise<void> {
  await runtime.files.mkdir(config.dir, 0o755);
  const text = await textOf(runtime, config);
  const path = `${config.dir}/${cniFileName}`;
  // containerd reloads the network when the file changes: leave it alone when it is right.
  if ((await runtime.files.readText(path)) === text) return;
  await runtime.files.writeAtomic(path, text, 0o600);
}

async function textOf(runtime: Runtime, config: CniConfig): Promise<string> {
  const { given } = config;
  if (given === undefined) return `${JSON.stringify(conflistOf(config), null, 2)}\n`;
  const text = await runtime.files.readText(given);
  if (text === undefined) throw new Error(`the CNI configuration ${given} cannot be read`);
  const list = JSON.parse(text) as Conflist;
  const plugins = list.plugins?.map((plugin) =>
    plugin.type === "flannel" ? delegateOf(plugin, config) : plugin,
  );
  return `${JSON.stringify(plugins === undefined ? list : { ...list, plugins }, null, 2)}\n`;
}

type Plugin = Readonly<Record<string, unknown>>;
interface Conflist {
  readonly plugins?: readonly Plugin[];
}

/**
 * flannel's plugin hands over to another one, with the node's range filled in. It is not among
 * ours: what it would have called stands in its place.
 */
function delegateOf({ delegate = {} }: Plugin, { podCidrs, leaseDir, mtu }: CniConfig): Plugin {
  const { ipam = {}, ...given } = delegate as Plugin;
  const isBridge = (given.type ?? "bridge") === "bridge";
  return {
    type: "bridge",
    ...(isBridge ? { bridge: bridgeName, isGateway: true, ipMasq: false } : {}),
    mtu,
    ...given,
    ipam: {
      type: "host-local",
      dataDir: leaseDir,
      ranges: rangesOf(podCidrs),
      ...(ipam as Plugin),
    },
  };
}

/** A pod gets one address of each. */
function rangesOf(podCidrs: readonly string[]): readonly unknown[] {
  return podCidrs.map((subnet) => [{ subnet }]);
}

export function conflistOf(config: Omit<CniConfig, "given">): Readonly<Record<string, unknown>> {
  return {
    cniVersion: "1.0.0",
    name: cniNetworkName,
    plugins: [
      {
        type: "bridge",
        bridge: bridgeName,
        mtu: config.mtu,
        isGateway: true,
        isDefaultGateway: true,
        forceAddress: true,
        hairpinMode: true,
        // Our own table masquerades what leaves the cluster.
        ipMasq: false,
        ipam: {
          type: "host-local",
          dataDir: config.leaseDir,
          ranges: rangesOf(config.podCidrs),
        },
      },
      {
        type: "portmap",
        backend: "nftables",
        capabilities: { portMappings: true },
        snat: true,
      },
    ],
  };
}
