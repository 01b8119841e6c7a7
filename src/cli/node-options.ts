/** Flags that describe the node, decoded; every mistake is a UsageError. */
import ipaddr from "ipaddr.js";
import type { Files } from "../runtime/runtime.ts";
import type { NodeOptions } from "../server/options.ts";
import { bad, type FlagValues } from "./flags.ts";
import { kubeletSettingsOf } from "./kubelet-args.ts";

/** The name under which the bundled pause image is known to containerd. */
const pauseImageDefault = "docker.io/rancher/mirrored-pause:3.6";

const dnsName = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

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

/** What both roles are told of their node. */
export async function nodeOptionsOf(
  flags: FlagValues,
  context: OptionsContext,
): Promise<NodeOptions> {
  const complete = (path: string): string => absolute(path, context.cwd);
  const given = (name: string): string | undefined => flags.string(name) || undefined;
  const file = (name: string): string | undefined => {
    const path = given(name);
    return path === undefined ? undefined : complete(path);
  };
  return {
    dataDir: dataDirOf(flags, context),
    nodeName: await nodeNameOf(flags, context),
    nodeIps: flags.list("node-ip").map((text) => address(text, "node-ip")),
    nodeAddresses: nodeAddressesOf(flags),
    bindAddress: bindAddressOf(flags),
    token: await tokenOf(flags, context, "token"),
    kubelet: await kubeletSettingsOf(flags, {
      files: context.files,
      // Others than root are told to be root when the node is to start.
      dropInDir: context.isRoot
        ? `${dataDirOf(flags, context)}/agent/etc/kubelet.conf.d`
        : undefined,
    }),
    credentialProviders: {
      config: complete(flags.string("image-credential-provider-config")),
      binDir: complete(flags.string("image-credential-provider-bin-dir")),
    },
    nodeLabels: labelsOf(flags),
    nodeTaints: taintsOf(flags),
    pauseImage: flags.string("pause-image") || pauseImageDefault,
    registries: {
      file: flags.string("private-registry"),
      noDefaultEndpoint: flags.bool("disable-default-registry-endpoint"),
    },
    resolvConf: await resolvConfOf(flags, context),
    overlay: {
      iface: given("flannel-iface"),
      confFile: file("flannel-conf"),
      cniConfFile: file("flannel-cni-conf"),
    },
    debug: flags.bool("debug"),
  };
}

export async function nodeNameOf(
  flags: FlagValues,
  machine: { readonly hostName: string; nodeId(): Promise<string> },
): Promise<string> {
  const plain = (flags.string("node-name") || machine.hostName).toLowerCase();
  const name = flags.bool("with-node-id") ? `${plain}-${await machine.nodeId()}` : plain;
  if (!dnsName.test(name) || name.length > 253)
    throw bad(
      "node-name",
      name,
      "a node name consists of lower case letters, digits, - and . (give one by --node-name)",
    );
  return name;
}

export function address(text: string, flag: string): string {
  if (!ipaddr.IPv4.isValidFourPartDecimal(text) && !ipaddr.IPv6.isValid(text))
    throw bad(flag, text, "it is not an IP address");
  return text;
}

export function nodeAddressesOf(flags: FlagValues): NodeOptions["nodeAddresses"] {
  const names = (flag: string): readonly string[] =>
    flags.list(flag).map((text) => {
      if (!dnsName.test(text)) throw bad(flag, text, "it is not a DNS name");
      return text;
    });
  return {
    externalIps: flags.list("node-external-ip").map((text) => address(text, "node-external-ip")),
    internalDns: names("node-internal-dns"),
    externalDns: names("node-external-dns"),
  };
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

export function labelsOf(flags: FlagValues): Readonly<Record<string, string>> {
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

export function taintsOf(flags: FlagValues): readonly string[] {
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

/** Given itself, or by the file that `NAME-file` tells. */
export async function tokenOf(
  flags: FlagValues,
  context: Pick<OptionsContext, "files" | "cwd">,
  name: "token" | "agent-token",
): Promise<string | undefined> {
  const given = flags.string(name);
  if (given !== "") return given;
  const file = flags.string(`${name}-file`);
  if (file === "") return undefined;
  const text = await context.files.readText(absolute(file, context.cwd)).catch(() => undefined);
  if (text === undefined || text.trim() === "")
    throw bad(`${name}-file`, file, "it cannot be read, or is empty");
  return text.trim();
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
