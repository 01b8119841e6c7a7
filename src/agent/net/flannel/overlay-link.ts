/** The link of an overlay: made when missing or of another kind, kept when right. */

import { familyOf, type IpFamily } from "../../../lib/ip-range.ts";
import type { Runtime } from "../../../runtime/runtime.ts";
import { vxlanLink, wireguardLink } from "./backends.ts";
import type { NetConf } from "./net-conf.ts";

/** flannel's own place, so that the key outlives the process but not the machine. */
const wireguardKeyFile = "/run/flannel/wgkey";

export interface LinkContext {
  readonly runtime: Runtime;
  readonly conf: NetConf;
  /** Each family's packets have a link of their own. */
  readonly family: IpFamily;
  /** The link to the other nodes, and this node's address there. */
  readonly iface: string;
  readonly localIp: string;
  /** The node's own part of the pods' addresses. */
  readonly podCidr: string;
  readonly mtu: number;
}

export interface OverlayLink {
  readonly name: string;
  /** What other nodes must know, as flannel's annotation holds it. */
  readonly backendData: string;
}

/** Resolves when the link is up; throws when the kernel cannot have it. */
export async function prepareLink(context: LinkContext, signal: AbortSignal): Promise<OverlayLink> {
  const { conf, iface } = context;
  await removeOthers(context, signal);
  switch (conf.type) {
    case "vxlan":
      return await prepareVxlan(context, conf, signal);
    case "wireguard":
      return await prepareWireguard(context, conf.ports[context.family], signal);
    case "host-gw":
      return { name: iface, backendData: "null" };
  }
}

/** What another backend has left would still draw packets. */
async function removeOthers(
  { runtime, conf, family }: LinkContext,
  signal: AbortSignal,
): Promise<void> {
  const links = { vxlan: vxlanLink(family, 1), wireguard: wireguardLink(family) } as const;
  for (const [type, link] of Object.entries(links)) {
    if (type === conf.type) continue;
    if ((await runtime.files.readText(`/sys/class/net/${link}/ifindex`)) === undefined) continue;
    await must(runtime, ["ip", "link", "delete", link], signal);
  }
}

interface LinkRow {
  readonly address?: string;
  readonly link?: string;
  readonly linkinfo?: {
    readonly info_kind?: string;
    readonly info_data?: Readonly<Record<string, unknown>>;
  };
}

interface AddressRow {
  readonly local: string;
  readonly prefixlen: number;
  readonly scope: string;
}

async function prepareVxlan(
  context: LinkContext,
  { vni, port }: { readonly vni: number; readonly port: number },
  signal: AbortSignal,
): Promise<OverlayLink> {
  const { runtime, iface, localIp, family } = context;
  const name = vxlanLink(family, vni);
  const known = await showLink(runtime, name, signal);
  const data = known?.linkinfo?.info_data;
  const local = family === "IPv4" ? data?.local : data?.local6;
  const isRight =
    data?.id === vni && data.port === port && local === localIp && data.link === iface;
  if (known !== undefined && !isRight) await must(runtime, ["ip", "link", "delete", name], signal);
  if (!isRight) {
    const kind = ["type", "vxlan", "id", `${vni}`, "local", localIp, "dev", iface];
    const argv = ["ip", "link", "add", name, ...kind, "dstport", `${port}`, "nolearning"] as const;
    await must(runtime, argv, signal);
  }
  await raise(context, name, signal);
  const { address = "" } = (await showLink(runtime, name, signal)) ?? {};
  return { name, backendData: JSON.stringify({ VNI: vni, VtepMAC: address }) };
}

async function prepareWireguard(
  context: LinkContext,
  port: number,
  signal: AbortSignal,
): Promise<OverlayLink> {
  const { runtime } = context;
  const name = wireguardLink(context.family);
  if ((await showLink(runtime, name, signal)) === undefined)
    await must(runtime, ["ip", "link", "add", name, "type", "wireguard"], signal);
  const privateKey = await ensureWireguardKey(runtime, signal);
  const settings = ["listen-port", `${port}`, "private-key", wireguardKeyFile];
  await must(runtime, ["wg", "set", name, ...settings], signal);
  await raise(context, name, signal);
  const argv = ["wg", "pubkey"] as const;
  const publicKey = await must(runtime, argv, signal, `${privateKey}\n`);
  return { name, backendData: JSON.stringify({ PublicKey: publicKey.trim() }) };
}

async function ensureWireguardKey(runtime: Runtime, signal: AbortSignal): Promise<string> {
  const known = (await runtime.files.readText(wireguardKeyFile))?.trim();
  if (known !== undefined && known !== "") return known;
  const fresh = (await must(runtime, ["wg", "genkey"], signal)).trim();
  await runtime.files.mkdir("/run/flannel", 0o755);
  await runtime.files.writeAtomic(wireguardKeyFile, `${fresh}\n`, 0o600);
  return fresh;
}

/** Its one address is the first of the node's range, as flannel has it. */
async function raise(
  { runtime, family, podCidr, mtu }: LinkContext,
  name: string,
  signal: AbortSignal,
): Promise<void> {
  const isV4 = family === "IPv4";
  const own = `${podCidr.slice(0, podCidr.indexOf("/"))}/${isV4 ? 32 : 128}`;
  // Routes come from us alone.
  if (!isV4) await runtime.files.writeInPlace(`/proc/sys/net/ipv6/conf/${name}/accept_ra`, "0");
  const shown = await must(runtime, ["ip", "-j", "address", "show", "dev", name], signal);
  const [row] = JSON.parse(shown) as { addr_info?: AddressRow[] }[];
  for (const { local, prefixlen, scope } of row?.addr_info ?? []) {
    const found = `${local}/${prefixlen}`;
    // The range of a node that was made anew is another one.
    if (familyOf(local) === family && scope !== "link" && found !== own)
      await must(runtime, ["ip", "address", "delete", found, "dev", name], signal);
  }
  // Nobody else has it: it need not be asked for on the link.
  const words = isV4 ? [own] : [own, "nodad"];
  await must(runtime, ["ip", "address", "replace", ...words, "dev", name], signal);
  await must(runtime, ["ip", "link", "set", name, "mtu", `${mtu}`, "up"], signal);
}

async function showLink(
  runtime: Runtime,
  name: string,
  signal: AbortSignal,
): Promise<LinkRow | undefined> {
  const argv = ["ip", "-d", "-j", "link", "show", "dev", name] as const;
  const { exitCode, stdout } = await runtime.exec.run({ argv }, signal);
  if (exitCode !== 0) return undefined;
  return (JSON.parse(stdout) as readonly LinkRow[])[0];
}

async function must(
  runtime: Runtime,
  argv: readonly [string, ...string[]],
  signal: AbortSignal,
  stdin = "",
): Promise<string> {
  const { exitCode, stdout, stderr } = await runtime.exec.run({ argv, stdin }, signal);
  if (exitCode !== 0) throw new Error(`${argv.join(" ")} failed: ${stderr.trim()}`);
  return stdout;
}
