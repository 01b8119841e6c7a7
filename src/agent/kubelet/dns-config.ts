/** The resolver configuration of a pod by its dnsPolicy and dnsConfig. Pure. */
import type { Pod } from "./types.ts";

export interface DnsConfig {
  readonly servers: readonly string[];
  readonly searches: readonly string[];
  readonly options: readonly string[];
}

export interface ClusterDns {
  readonly servers: readonly string[];
  readonly domain: string;
  /** The node's own resolv.conf, parsed. */
  readonly host: DnsConfig;
}

export function parseResolvConf(text: string): DnsConfig {
  const servers: string[] = [];
  let searches: string[] = [];
  let options: string[] = [];
  for (const line of text.split("\n")) {
    const [key, ...values] = line.trim().split(/\s+/);
    if (key === "nameserver" && values[0] !== undefined) servers.push(values[0]);
    // The last of several lines wins, as in the C library.
    if (key === "search") searches = values;
    if (key === "options") options = values;
  }
  return { servers, searches, options };
}

export function dnsConfigOf(pod: Pod, cluster: ClusterDns): DnsConfig {
  const extra = pod.spec.dnsConfig ?? {};
  const base = policyConfig(pod, cluster);
  const options = new Map(base.options.map((option) => [option.split(":")[0] ?? "", option]));
  for (const { name = "", value } of extra.options ?? []) {
    options.set(name, value === undefined || value === "" ? name : `${name}:${value}`);
  }
  return {
    servers: [...new Set([...base.servers, ...(extra.nameservers ?? [])])].slice(0, 3),
    searches: [...new Set([...base.searches, ...(extra.searches ?? [])])].slice(0, 32),
    options: [...options.values()],
  };
}

function policyConfig(pod: Pod, cluster: ClusterDns): DnsConfig {
  const policy = pod.spec.dnsPolicy ?? "ClusterFirst";
  if (policy === "None") return { servers: [], searches: [], options: [] };
  const onHost = policy === "ClusterFirst" && pod.spec.hostNetwork === true;
  if (policy === "Default" || onHost || cluster.servers.length === 0) {
    const { servers, searches, options } = cluster.host;
    // A host without resolvers still gives the pod one that fails at once.
    return { servers: servers.length > 0 ? servers : ["127.0.0.1"], searches, options };
  }
  const { domain } = cluster;
  const own = [`${pod.metadata.namespace}.svc.${domain}`, `svc.${domain}`, domain];
  return {
    servers: cluster.servers,
    searches: [...own, ...cluster.host.searches],
    options: ["ndots:5"],
  };
}
