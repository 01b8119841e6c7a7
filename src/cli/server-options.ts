/** Flags of `k3 server` decoded into `ServerOptions`; every mistake is a UsageError. */
import ipaddr from "ipaddr.js";
import {
  type FlannelBackend,
  flannelBackends,
  isFlannelBackend,
} from "../agent/net/flannel/backends.ts";
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
import { networkRangesOf } from "./network-args.ts";
import {
  absolute,
  address,
  dataDirOf,
  nodeOptionsOf,
  type OptionsContext,
  port,
  tokenOf,
} from "./node-options.ts";

const disableNames = [
  "coredns",
  "servicelb",
  "traefik",
  "local-storage",
  "metrics-server",
  "runtimes",
] as const;
const egressModes = ["agent", "cluster", "pod", "disabled"] as const;

export async function serverOptionsOf(
  flags: FlagValues,
  context: OptionsContext,
): Promise<ServerOptions> {
  checkChoices(flags);
  const apiServer = apiServerArgsOf(flags);
  const complete = (path: string): string => absolute(path, context.cwd);
  const node = await nodeOptionsOf(flags, context);
  const controllerManager = controllerManagerArgsOf(flags);
  return {
    ...node,
    ...networkRangesOf(flags, node.nodeIps, controllerManager),
    httpsListenPort: port(flags, "https-listen-port"),
    tlsSans: tlsSansOf(flags),
    agentToken: await tokenOf(flags, context, "agent-token"),
    kubeconfig: await kubeconfigOf(flags, context),
    advertise: advertiseOf(flags),
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
    admission: admissionOf(apiServer, complete),
    audit: auditOptionsOf(apiServer, complete),
    authentication: authenticationOptionsOf(apiServer, complete),
    authorization: authorizationOptionsOf(apiServer, complete),
    controllerManager,
    disableControllerManager: flags.bool("disable-controller-manager"),
    disableKubeProxy: flags.bool("disable-kube-proxy"),
    disableNetworkPolicy: flags.bool("disable-network-policy"),
    flannel: {
      backend: backendOf(flags),
      masqueradesIpv6: flags.bool("flannel-ipv6-masq"),
      usesExternalIp: flags.bool("flannel-external-ip"),
    },
    egressSelectorMode: flags.string("egress-selector-mode"),
    leafDays: positive(context.env.CATTLE_NEW_SIGNED_CERT_EXPIRATION_DAYS),
  };
}

function backendOf(flags: FlagValues): FlannelBackend {
  const text = flags.string("flannel-backend");
  if (isFlannelBackend(text)) return text;
  throw bad("flannel-backend", text, `it must be one of ${flannelBackends.join(", ")}`);
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

function checkChoices(flags: FlagValues): void {
  const choices: readonly (readonly [string, readonly string[]])[] = [
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
