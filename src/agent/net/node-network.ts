/** What a node needs besides rules: kernel switches, and a place for the service addresses. */
import type { Runtime } from "../../runtime/runtime.ts";
import { bridgeName } from "./cni.ts";
import type { FamilyNetwork } from "./family-network.ts";
import { routeProtocol, vxlanLink, wireguardLink } from "./flannel/backends.ts";
import { policyTable } from "./policy-plan.ts";
import { proxyTable } from "./proxy-plan.ts";
import { setSwitches } from "./switches.ts";
import { removeTable } from "./table-keeper.ts";

export interface NodeNetwork {
  /** One for each address family of the cluster. */
  readonly networks: readonly FamilyNetwork[];
  /** Where to note what the kernel's switches were; undefined notes nothing. */
  readonly switchLedger: string | undefined;
}

/** The portmap plugin's own: it empties them pod by pod but never takes them away. */
const hostPortTables = ["ip cni_hostport", "ip6 cni_hostport"] as const;

/** The link to nowhere that carries the DNS address and the route of the service range. */
export const serviceLink = "k3-dns";

/** Sets the switches and the service link; doing it twice changes nothing. */
export async function prepareNodeNetwork(
  runtime: Runtime,
  { networks, switchLedger }: NodeNetwork,
  signal: AbortSignal,
): Promise<void> {
  await tryRun(runtime, ["modprobe", "br_netfilter"], signal);
  const families = networks.map(({ family }) => family);
  await setSwitches(runtime, families, switchLedger);
  await addServiceLink(runtime, signal);
  for (const { dnsIp } of networks) {
    if (dnsIp === undefined) continue;
    // Nobody else can be there to have the same address: it is of use at once.
    const words = dnsIp.includes(":") ? [`${dnsIp}/128`, "nodad"] : [`${dnsIp}/32`];
    await mustIp(runtime, ["address", "replace", ...words, "dev", serviceLink], signal);
  }
  await mustIp(runtime, ["link", "set", serviceLink, "up"], signal);
  // Without a default route the kernel would refuse service addresses before any rule sees them.
  for (const { serviceCidr, nodeIp } of networks) {
    const source = nodeIp === undefined ? [] : ["src", nodeIp];
    await mustIp(runtime, ["route", "replace", serviceCidr, "dev", serviceLink, ...source], signal);
  }
}

async function addServiceLink(runtime: Runtime, signal: AbortSignal): Promise<void> {
  const { exitCode } = await ip(runtime, ["link", "show", "dev", serviceLink], signal);
  if (exitCode === 0) return;
  const dummy = await ip(runtime, ["link", "add", serviceLink, "type", "dummy"], signal);
  if (dummy.exitCode === 0) return;
  // A kernel without dummy links still has bridges, since pods need one; without ports it is mute.
  await mustIp(runtime, ["link", "add", serviceLink, "type", "bridge"], signal);
}

/** Takes away all that the network of a node has left in the kernel. */
export async function cleanupNetwork(runtime: Runtime): Promise<void> {
  const { signal } = new AbortController();
  const families = ["IPv4", "IPv6"] as const;
  const tables = families.flatMap((family) => [proxyTable(family), policyTable(family)]);
  for (const table of [...tables, ...hostPortTables]) {
    try {
      await removeTable(runtime, table);
    } catch (error) {
      runtime.log.warn("A packet filter table stays", { table, error });
    }
  }
  const overlays = families.flatMap((family) => [vxlanLink(family, 1), wireguardLink(family)]);
  for (const link of [serviceLink, bridgeName, ...overlays]) {
    await tryRun(runtime, ["ip", "link", "delete", "dev", link], signal);
  }
  for (const family of ["-4", "-6"])
    await tryRun(runtime, ["ip", family, "route", "flush", "proto", routeProtocol], signal);
}

async function ip(runtime: Runtime, flags: readonly string[], signal: AbortSignal) {
  return runtime.exec.run({ argv: ["ip", ...flags] }, signal);
}

async function mustIp(
  runtime: Runtime,
  flags: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const result = await ip(runtime, flags, signal);
  if (result.exitCode === 0) return;
  throw new Error(`ip ${flags.join(" ")} failed: ${result.stderr.trim()}`);
}

/** For what need not succeed: a module that is built in, a link that is gone. */
async function tryRun(
  runtime: Runtime,
  argv: readonly [string, ...string[]],
  signal: AbortSignal,
): Promise<void> {
  try {
    await runtime.exec.run({ argv }, signal);
  } catch (error) {
    runtime.log.debug(`Cannot run ${argv.join(" ")}`, { error });
  }
}
