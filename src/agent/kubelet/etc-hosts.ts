/** The /etc/hosts file of a pod's containers, in upstream's layout. Pure. */
import type { Pod } from "./types.ts";

export interface PodHostName {
  readonly hostName: string;
  /** `<subdomain>.<namespace>.svc.<cluster domain>`, or empty. */
  readonly domain: string;
}

export function hostNameOf(pod: Pod, clusterDomain: string): PodHostName {
  const { hostname, subdomain, hostnameOverride } = pod.spec;
  const wanted = (hostnameOverride ?? "") || (hostname ?? "") || (pod.metadata.name ?? "");
  // The kernel takes 64 bytes; Kubernetes cuts at 63 and at the end of a label.
  const hostName = wanted.slice(0, 63).replace(/[-.]+$/, "");
  const { namespace } = pod.metadata;
  const domain = (subdomain ?? "") === "" ? "" : `${subdomain}.${namespace}.svc.${clusterDomain}`;
  return { hostName, domain };
}

export function etcHosts(pod: Pod, ips: readonly string[], name: PodHostName): string {
  const lines = [
    "# Kubernetes-managed hosts file.",
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "fe00::0\tip6-localnet",
    "fe00::0\tip6-mcastprefix",
    "fe00::1\tip6-allnodes",
    "fe00::2\tip6-allrouters",
  ];
  const { hostName, domain } = name;
  const names = domain === "" ? hostName : `${hostName}.${domain}\t${hostName}`;
  return `${[...lines, ...ips.map((ip) => `${ip}\t${names}`)].join("\n")}\n${aliases(pod)}`;
}

/** What a pod on the host's network sees: the host's own file and the pod's aliases. */
export function etcHostsOnHost(pod: Pod, hostFile: string): string {
  return `# Kubernetes-managed hosts file (host network).\n${hostFile}${aliases(pod)}`;
}

function aliases(pod: Pod): string {
  const entries = pod.spec.hostAliases ?? [];
  if (entries.length === 0) return "";
  const lines = entries.map((alias) => `${alias.ip}\t${(alias.hostnames ?? []).join("\t")}`);
  return `\n# Entries added by HostAliases.\n${lines.join("\n")}\n`;
}
