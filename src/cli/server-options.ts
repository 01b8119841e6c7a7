/** Flags of `k3 server` decoded into `ServerOptions`; every mistake is a UsageError. */
import ipaddr from "ipaddr.js";
import type { Files } from "../runtime/runtime.ts";
import type { ServerOptions } from "../server/options.ts";
import { type FlagValues, UsageError } from "./flags.ts";

/** The name under which the bundled pause image is known to containerd. */
const pauseImageDefault = "docker.io/rancher/mirrored-pause:3.6";
const disableNames = [
  "coredns",
  "servicelb",
  "traefik",
  "local-storage",
  "metrics-server",
  "runtimes",
] as const;
const flannelBackends = ["vxlan", "host-gw", "none"] as const;
const egressModes = ["agent", "cluster", "pod", "disabled"] as const;

export interface OptionsContext {
  readonly hostName: string;
  readonly isRoot: boolean;
  readonly home: string;
  /** For relative paths. */
  readonly cwd: string;
  readonly files: Files;
}

export async function serverOptionsOf(
  flags: FlagValues,
  context: OptionsContext,
): Promise<ServerOptions> {
  checkChoices(flags);
  const serviceCidr = cidr(flags, "service-cidr");
  const clusterCidr = cidr(flags, "cluster-cidr");
  if (overlap(serviceCidr, clusterCidr))
    throw new UsageError(
      `Cannot use --service-cidr=${serviceCidr}: it overlaps with --cluster-cidr=${clusterCidr}`,
    );
  return {
    dataDir: dataDirOf(flags, context),
    nodeName: nodeNameOf(flags, context.hostName),
    nodeIps: flags.list("node-ip").map((text) => address(text, "node-ip")),
    bindAddress: bindAddressOf(flags),
    httpsListenPort: port(flags, "https-listen-port"),
    tlsSans: flags.list("tls-san"),
    token: await tokenOf(flags, context),
    writeKubeconfig: absolute(flags.string("write-kubeconfig"), context.cwd),
    writeKubeconfigMode: modeOf(flags),
    clusterCidr,
    serviceCidr,
    clusterDns: clusterDnsOf(flags, serviceCidr),
    clusterDomain: domainOf(flags),
    serviceNodePortRange: portRange(flags),
    datastoreEndpoint: datastoreOf(flags),
    disable: disableOf(flags),
    disableAgent: flags.bool("disable-agent"),
    disableScheduler: flags.bool("disable-scheduler"),
    disableControllerManager: flags.bool("disable-controller-manager"),
    disableKubeProxy: flags.bool("disable-kube-proxy"),
    disableNetworkPolicy: flags.bool("disable-network-policy"),
    nodeLabels: labelsOf(flags),
    nodeTaints: taintsOf(flags),
    pauseImage: flags.string("pause-image") || pauseImageDefault,
    debug: flags.bool("debug"),
  };
}

const bad = (flag: string, value: string, why: string): UsageError =>
  new UsageError(`Cannot use --${flag}=${value}: ${why}`);

function absolute(path: string, cwd: string): string {
  return path.startsWith("/") ? path : `${cwd}/${path.replace(/^\.\//, "")}`;
}

/** K3s's places: one for root, another in the home of everyone else. */
export function dataDirOf(
  flags: FlagValues,
  { isRoot, home, cwd }: Pick<OptionsContext, "isRoot" | "home" | "cwd">,
): string {
  const given = flags.string("data-dir");
  if (given !== "") return absolute(given.replace(/\/+$/, ""), cwd);
  return isRoot ? "/var/lib/rancher/k3s" : `${home}/.rancher/k3s`;
}

function checkChoices(flags: FlagValues): void {
  const choices: readonly (readonly [string, readonly string[]])[] = [
    ["flannel-backend", flannelBackends],
    ["egress-selector-mode", egressModes],
  ];
  for (const [name, values] of choices) {
    const value = flags.string(name);
    if (!values.includes(value)) throw bad(name, value, `it must be one of ${values.join(", ")}`);
  }
}

function disableOf(flags: FlagValues): ReadonlySet<string> {
  const names = flags.list("disable");
  for (const name of names) {
    if (!disableNames.some((known) => known === name))
      throw bad("disable", name, `it must be one of ${disableNames.join(", ")}`);
  }
  return new Set(names);
}

function nodeNameOf(flags: FlagValues, hostName: string): string {
  const given = flags.string("node-name");
  const name = (given || hostName).toLowerCase();
  const isName = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(name);
  if (!isName || name.length > 253)
    throw bad(
      "node-name",
      name,
      "a node name consists of lower case letters, digits, - and . (give one by --node-name)",
    );
  return name;
}

function address(text: string, flag: string): string {
  if (!ipaddr.IPv4.isValidFourPartDecimal(text) && !ipaddr.IPv6.isValid(text))
    throw bad(flag, text, "it is not an IP address");
  return text;
}

function bindAddressOf(flags: FlagValues): string {
  const text = address(flags.string("bind-address"), "bind-address");
  // The wildcards of both families mean the same: everything.
  return text === "0.0.0.0" || text === "::" ? "" : text;
}

function port(flags: FlagValues, name: string): number {
  const value = flags.int(name);
  if (!Number.isInteger(value) || value < 1 || value > 65535)
    throw bad(name, flags.string(name), "a port must be between 1 and 65535");
  return value;
}

/** One IPv4 range, which is what this version's network is made of. */
function cidr(flags: FlagValues, name: string): string {
  const list = flags.list(name);
  const [text = "", second] = list;
  if (second !== undefined)
    throw bad(name, list.join(","), "this version takes one range, dual stack comes later");
  const isShort = !text.includes(":") && text.split(".").length !== 4;
  if (isShort || !ipaddr.isValidCIDR(text))
    throw bad(name, text, "it is not a CIDR such as 10.42.0.0/16");
  const [first, prefix] = ipaddr.parseCIDR(text);
  if (first.kind() === "ipv6")
    throw bad(name, text, "this version takes IPv4 ranges only, IPv6 comes later");
  if (prefix < 8 || prefix > 24) throw bad(name, text, "its prefix must be between 8 and 24");
  return `${ipaddr.IPv4.networkAddressFromCIDR(text).toString()}/${prefix}`;
}

function overlap(one: string, other: string): boolean {
  const [a, aPrefix] = ipaddr.parseCIDR(one);
  const [b, bPrefix] = ipaddr.parseCIDR(other);
  return a.match(b, Math.min(aPrefix, bPrefix));
}

/** The tenth address of the service range unless given. */
function clusterDnsOf(flags: FlagValues, serviceCidr: string): string {
  const list = flags.list("cluster-dns");
  const [given, second] = list;
  if (second !== undefined)
    throw bad("cluster-dns", list.join(","), "this version takes one address");
  if (given === undefined) {
    const bytes = ipaddr.IPv4.networkAddressFromCIDR(serviceCidr).toByteArray();
    return [...bytes.slice(0, 3), (bytes[3] ?? 0) + 10].join(".");
  }
  address(given, "cluster-dns");
  const parsed = ipaddr.parse(given);
  if (parsed.kind() !== "ipv4" || !parsed.match(ipaddr.parseCIDR(serviceCidr)))
    throw bad("cluster-dns", given, `it must lie within --service-cidr=${serviceCidr}`);
  return given;
}

function domainOf(flags: FlagValues): string {
  const text = flags.string("cluster-domain");
  if (!/^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(text))
    throw bad("cluster-domain", text, "it is not a DNS name");
  return text;
}

function portRange(flags: FlagValues): { readonly first: number; readonly last: number } {
  const name = "service-node-port-range";
  const text = flags.string(name);
  const [, from, to] = /^(\d+)-(\d+)$/.exec(text) ?? [];
  const [first, last] = [Number(from), Number(to)];
  if (from === undefined || first < 1 || last > 65535 || first > last)
    throw bad(name, text, "it must be a range of ports such as 30000-32767");
  return { first, last };
}

function modeOf(flags: FlagValues): number {
  const text = flags.string("write-kubeconfig-mode");
  if (!/^0?[0-7]{3}$/.test(text))
    throw bad("write-kubeconfig-mode", text, "it must be an octal mode such as 0600");
  return Number.parseInt(text, 8);
}

async function tokenOf(flags: FlagValues, context: OptionsContext): Promise<string | undefined> {
  const given = flags.string("token");
  if (given !== "") return given;
  const file = flags.string("token-file");
  if (file === "") return undefined;
  const text = await context.files.readText(absolute(file, context.cwd)).catch(() => undefined);
  if (text === undefined || text.trim() === "")
    throw bad("token-file", file, "it cannot be read, or is empty");
  return text.trim();
}

function datastoreOf(flags: FlagValues): string {
  const text = flags.string("datastore-endpoint");
  if (text === "" || text === "sqlite" || text.startsWith("sqlite://")) return text;
  const scheme = text.split("://")[0] ?? text;
  throw new UsageError(
    `Cannot use --datastore-endpoint with ${scheme}: this version stores its data in SQLite only`,
  );
}

const labelName = /^([a-z0-9A-Z]([-\w.]*[a-zA-Z0-9])?)$/;

function isQualifiedName(key: string): boolean {
  const [name = "", prefix, ...rest] = key.split("/").toReversed();
  if (rest.length > 0 || !labelName.test(name) || name.length > 63) return false;
  return (
    prefix === undefined ||
    (/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(prefix) && prefix.length <= 253)
  );
}

function labelsOf(flags: FlagValues): Readonly<Record<string, string>> {
  const labels: Record<string, string> = {};
  for (const text of flags.list("node-label")) {
    const at = text.indexOf("=");
    const [key, value] = at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
    if (!isQualifiedName(key)) throw bad("node-label", text, `${key} is not a label key`);
    if (value !== "" && (!labelName.test(value) || value.length > 63))
      throw bad("node-label", text, `${value} is not a label value`);
    labels[key] = value;
  }
  return labels;
}

function taintsOf(flags: FlagValues): readonly string[] {
  const effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
  return flags.list("node-taint").map((text) => {
    const [, key = "", value = "", effect = ""] = /^([^=:]+)(?:=([^:]*))?:(\w+)$/.exec(text) ?? [];
    if (!isQualifiedName(key) || (value !== "" && !labelName.test(value)))
      throw bad("node-taint", text, "it must look like key=value:Effect");
    if (!effects.includes(effect))
      throw bad("node-taint", text, `its effect must be one of ${effects.join(", ")}`);
    return `${key}=${value}:${effect}`;
  });
}
