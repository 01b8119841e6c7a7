/** Flags of `k3 server` decoded into `ServerOptions`; every mistake is a UsageError. */
import ipaddr from "ipaddr.js";
import type { Files } from "../runtime/runtime.ts";
import type { KubeconfigFile, ServerOptions } from "../server/options.ts";
import { accountTokenOptionsOf } from "./account-token-args.ts";
import { admissionOf } from "./admission-args.ts";
import { apiServerArgsOf } from "./apiserver-args.ts";
import { auditOptionsOf } from "./audit-args.ts";
import { authenticationOptionsOf } from "./authentication-args.ts";
import { authorizationOptionsOf } from "./authorization-args.ts";
import { controllerManagerArgsOf } from "./controller-manager-args.ts";
import { bad, type FlagValues, UsageError } from "./flags.ts";
import { kubeletSettingsOf } from "./kubelet-args.ts";
import { address, labelsOf, nodeAddressesOf, nodeNameOf, taintsOf } from "./node-options.ts";

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
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Eight digits that tell this machine from others of its name; made when asked for first. */
  nodeId(): Promise<string>;
}

export async function serverOptionsOf(
  flags: FlagValues,
  context: OptionsContext,
): Promise<ServerOptions> {
  checkChoices(flags);
  const apiServer = apiServerArgsOf(flags);
  const complete = (path: string): string => absolute(path, context.cwd);
  const serviceCidr = cidr(flags, "service-cidr");
  const clusterCidr = cidr(flags, "cluster-cidr");
  if (overlap(serviceCidr, clusterCidr))
    throw new UsageError(
      `Cannot use --service-cidr=${serviceCidr}: it overlaps with --cluster-cidr=${clusterCidr}`,
    );
  return {
    dataDir: dataDirOf(flags, context),
    nodeName: await nodeNameOf(flags, context),
    nodeIps: flags.list("node-ip").map((text) => address(text, "node-ip")),
    nodeAddresses: nodeAddressesOf(flags),
    bindAddress: bindAddressOf(flags),
    httpsListenPort: port(flags, "https-listen-port"),
    tlsSans: tlsSansOf(flags),
    token: await tokenOf(flags, context),
    kubeconfig: await kubeconfigOf(flags, context),
    advertise: advertiseOf(flags),
    clusterCidr,
    serviceCidr,
    clusterDns: clusterDnsOf(flags, serviceCidr),
    clusterDomain: domainOf(flags),
    serviceNodePortRange: portRange(flags),
    databaseFile: databaseFileOf(flags, dataDirOf(flags, context)),
    disable: disableOf(flags),
    localStoragePath: localStoragePathOf(flags, context),
    disableAgent: flags.bool("disable-agent"),
    disableScheduler: flags.bool("disable-scheduler"),
    schedulerConfigFile: schedulerConfigOf(flags, context.cwd),
    apiServer,
    accountTokens: accountTokenOptionsOf(apiServer, ownIssuer(domainOf(flags))),
    admission: admissionOf(apiServer),
    audit: auditOptionsOf(apiServer, complete),
    authentication: authenticationOptionsOf(apiServer, complete),
    authorization: authorizationOptionsOf(apiServer, complete),
    kubelet: kubeletSettingsOf(flags),
    credentialProviders: {
      config: complete(flags.string("image-credential-provider-config")),
      binDir: complete(flags.string("image-credential-provider-bin-dir")),
    },
    controllerManager: controllerManagerArgsOf(flags),
    disableControllerManager: flags.bool("disable-controller-manager"),
    disableKubeProxy: flags.bool("disable-kube-proxy"),
    disableNetworkPolicy: flags.bool("disable-network-policy"),
    nodeLabels: labelsOf(flags),
    nodeTaints: taintsOf(flags),
    pauseImage: flags.string("pause-image") || pauseImageDefault,
    registries: {
      file: flags.string("private-registry"),
      noDefaultEndpoint: flags.bool("disable-default-registry-endpoint"),
    },
    configuresCni: flags.string("flannel-backend") !== "none",
    resolvConf: await resolvConfOf(flags, context),
    leafDays: positive(context.env.CATTLE_NEW_SIGNED_CERT_EXPIRATION_DAYS),
    debug: flags.bool("debug"),
  };
}

/** K3s' own: the name of the API server inside of the cluster. */
function ownIssuer(domain: string) {
  const issuer = `https://kubernetes.default.svc.${domain}`;
  return { issuers: [issuer], audiences: [issuer, "k3s"] };
}

/** The scheduler takes everything from its configuration file, as upstream wants it. */
function schedulerConfigOf(flags: FlagValues, cwd: string): string | undefined {
  let file: string | undefined;
  for (const argument of flags.list("kube-scheduler-arg")) {
    const [name = "", value = ""] = argument.replace(/^--/, "").split(/=(.*)/s);
    if (name !== "config" || value === "") {
      throw bad("kube-scheduler-arg", argument, "it must be config=FILE");
    }
    file = absolute(value, cwd);
  }
  return file;
}

/** An environment variable that is no positive number counts for nothing, as with K3s. */
function positive(text: string | undefined): number | undefined {
  return text !== undefined && /^[1-9]\d{0,5}$/.test(text) ? Number(text) : undefined;
}

export function absolute(path: string, cwd: string): string {
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

function localStoragePathOf(flags: FlagValues, context: OptionsContext): string {
  const given = flags.string("default-local-storage-path");
  return given === "" ? `${dataDirOf(flags, context)}/storage` : absolute(given, context.cwd);
}

function disableOf(flags: FlagValues): ReadonlySet<string> {
  const names = flags.list("disable");
  for (const name of names) {
    if (!disableNames.some((known) => known === name))
      throw bad("disable", name, `it must be one of ${disableNames.join(", ")}`);
  }
  return new Set(names);
}

export function bindAddressOf(flags: FlagValues): string {
  const text = address(flags.string("bind-address"), "bind-address");
  // The wildcards of both families mean the same: everything.
  return text === "0.0.0.0" || text === "::" ? "" : text;
}

export function port(flags: FlagValues, name: string): number {
  const value = flags.int(name);
  if (!Number.isInteger(value) || value < 1 || value > 65535)
    throw bad(name, flags.string(name), "a port must be between 1 and 65535");
  return value;
}

/** One IPv4 range, which is what this version's network is made of. */
export function cidr(flags: FlagValues, name: string): string {
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

export function portRange(flags: FlagValues): { readonly first: number; readonly last: number } {
  const name = "service-node-port-range";
  const text = flags.string(name);
  const [, from, to] = /^(\d+)-(\d+)$/.exec(text) ?? [];
  const [first, last] = [Number(from), Number(to)];
  if (from === undefined || first < 1 || last > 65535 || first > last)
    throw bad(name, text, "it must be a range of ports such as 30000-32767");
  return { first, last };
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

function advertiseOf(flags: FlagValues): ServerOptions["advertise"] {
  const given = flags.string("advertise-address");
  return {
    address: given === "" ? undefined : address(given, "advertise-address"),
    port: port(flags, flags.isGiven("advertise-port") ? "advertise-port" : "https-listen-port"),
  };
}

/** Names, names with a wildcard in front, and addresses. */
function tlsSansOf(flags: FlagValues): readonly string[] {
  return flags.list("tls-san").map((text) => {
    const isName = /^(\*\.)?([a-z0-9_]([-a-z0-9_]*[a-z0-9_])?\.)*[a-z0-9]([-a-z0-9]*[a-z0-9])?$/i;
    if (ipaddr.isValid(text) || (isName.test(text) && text.length <= 253)) return text;
    throw bad("tls-san", text, "it is neither a DNS name nor an IP address");
  });
}

async function kubeconfigOf(flags: FlagValues, context: OptionsContext): Promise<KubeconfigFile> {
  const mode = flags.string("write-kubeconfig-mode");
  if (!/^0?[0-7]{3}$/.test(mode))
    throw bad("write-kubeconfig-mode", mode, "it must be an octal mode such as 0600");
  return {
    path: absolute(flags.string("write-kubeconfig"), context.cwd),
    mode: Number.parseInt(mode, 8),
    group: await groupOf(flags.string("write-kubeconfig-group"), context.files),
    name: flags.string("write-kubeconfig-name"),
  };
}

async function groupOf(text: string, files: Files): Promise<number | undefined> {
  if (text === "") return undefined;
  const lines = ((await files.readText("/etc/group")) ?? "").split("\n");
  const row = lines.map((line) => line.split(":")).find(([name]) => name === text);
  const id = Number(row?.[2] ?? text);
  if (Number.isInteger(id) && id >= 0) return id;
  throw bad("write-kubeconfig-group", text, "this machine has no group of that name");
}

/** kine's spelling: a path may follow, below `server/` unless absolute, and settings behind it. */
function databaseFileOf(flags: FlagValues, dataDir: string): string {
  const text = flags.string("datastore-endpoint");
  const [, path] = /^sqlite(?::\/\/([^?]*)(?:\?.*)?)?$/.exec(text) ?? [];
  if (text !== "" && text !== "sqlite" && path === undefined) {
    const scheme = text.split("://")[0] ?? text;
    throw new UsageError(
      `Cannot use --datastore-endpoint with ${scheme}: this version stores its data in SQLite only`,
    );
  }
  return absolute(path || "db/state.db", `${dataDir}/server`);
}

async function resolvConfOf(
  flags: FlagValues,
  { files, cwd }: OptionsContext,
): Promise<string | undefined> {
  const given = flags.string("resolv-conf");
  if (given === "") return undefined;
  const path = absolute(given, cwd);
  const text = await files.readText(path).catch(() => undefined);
  if (text === undefined) throw bad("resolv-conf", given, "it cannot be read");
  return path;
}
