/** Flags that describe the node, decoded; every mistake is a UsageError. */
import ipaddr from "ipaddr.js";
import type { ServerOptions } from "../server/options.ts";
import { bad, type FlagValues } from "./flags.ts";

const dnsName = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

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

export function nodeAddressesOf(flags: FlagValues): ServerOptions["nodeAddresses"] {
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
