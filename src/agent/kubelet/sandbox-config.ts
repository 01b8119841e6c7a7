/** The CRI configuration of a pod's sandbox. Pure. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type PodSandboxConfigSchema, Protocol, type UserNamespace } from "../../gen/cri/api_pb.ts";
import type { DnsConfig } from "./dns-config.ts";
import type { PodHostName } from "./etc-hosts.ts";
import { podCgroup, podResources, podSlice, quotaPeriodUs } from "./resources.ts";
import { sandboxSecurity } from "./security.ts";
import { criNames, type Pod } from "./types.ts";

export type SandboxConfig = MessageInitShape<typeof PodSandboxConfigSchema>;

export interface SandboxOptions {
  readonly pod: Pod;
  readonly attempt: number;
  readonly logDirectory: string;
  readonly dns: DnsConfig;
  readonly name: PodHostName;
  /** The file with the seccomp profile of the pause process; undefined: the runtime's own. */
  readonly pauseProfile: string | undefined;
  readonly systemdCgroup: boolean;
  readonly users: UserNamespace;
}

export function cgroupParentOf(pod: Pod, systemdCgroup: boolean): string {
  return systemdCgroup ? podSlice(pod) : podCgroup(pod);
}

export function sandboxConfig(options: SandboxOptions): SandboxConfig {
  const { pod, attempt, dns, name } = options;
  const { metadata, spec } = pod;
  const resources = podResources(pod);
  const fullName =
    spec.setHostnameAsFQDN === true && name.domain !== ""
      ? `${name.hostName}.${name.domain}`
      : name.hostName;
  return {
    metadata: {
      name: metadata.name ?? "",
      namespace: metadata.namespace ?? "",
      uid: metadata.uid ?? "",
      attempt,
    },
    hostname: spec.hostNetwork === true ? "" : fullName,
    logDirectory: options.logDirectory,
    dnsConfig: {
      servers: [...dns.servers],
      searches: [...dns.searches],
      options: [...dns.options],
    },
    portMappings: portMappings(pod),
    labels: { ...metadata.labels, ...podLabels(pod) },
    annotations: { ...metadata.annotations, "kubernetes.io/config.source": "api" },
    linux: {
      cgroupParent: cgroupParentOf(pod, options.systemdCgroup),
      securityContext: sandboxSecurity(pod, options.pauseProfile, options.users),
      sysctls: Object.fromEntries(
        (spec.securityContext?.sysctls ?? []).map((entry) => [entry.name, entry.value]),
      ),
      resources: {
        cpuPeriod: BigInt(quotaPeriodUs),
        cpuQuota: BigInt(resources.cpuQuotaUs),
        cpuShares: BigInt(resources.cpuShares),
        memoryLimitInBytes: BigInt(resources.memoryLimitBytes),
      },
    },
  };
}

export function podLabels(pod: Pod): Record<string, string> {
  return {
    [criNames.podName]: pod.metadata.name ?? "",
    [criNames.podNamespace]: pod.metadata.namespace ?? "",
    [criNames.podUid]: pod.metadata.uid ?? "",
  };
}

const protocols: Readonly<Record<string, Protocol>> = {
  TCP: Protocol.TCP,
  UDP: Protocol.UDP,
  SCTP: Protocol.SCTP,
};

function portMappings(pod: Pod): NonNullable<SandboxConfig["portMappings"]> {
  if (pod.spec.hostNetwork === true) return [];
  const containers = [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
  return containers
    .flatMap((container) => container.ports ?? [])
    .filter((port) => (port.hostPort ?? 0) > 0)
    .map((port) => ({
      protocol: protocols[port.protocol ?? "TCP"] ?? Protocol.TCP,
      containerPort: port.containerPort,
      hostPort: port.hostPort ?? 0,
      hostIp: port.hostIP ?? "",
    }));
}
