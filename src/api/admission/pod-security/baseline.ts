/** The baseline level: known ways to break out of a container are shut. */
import {
  type Check,
  containersOf,
  containersText,
  plural,
  quoted,
  type ReadContainer,
  type ReadPod,
  type Violation,
} from "./check.ts";
import { profileChecks } from "./profiles.ts";

/** Containers that break a rule, as its violation. */
function broken(
  pod: ReadPod,
  reason: string,
  isWrong: (container: ReadContainer) => boolean,
  detail: string,
): Violation | undefined {
  const wrong = containersOf(pod).filter(isWrong);
  if (wrong.length === 0) return undefined;
  return { reason, detail: `${containersText(wrong)} ${detail}` };
}

const defaultCapabilities: ReadonlySet<string> = new Set([
  "AUDIT_WRITE",
  "CHOWN",
  "DAC_OVERRIDE",
  "FOWNER",
  "FSETID",
  "KILL",
  "MKNOD",
  "NET_BIND_SERVICE",
  "SETFCAP",
  "SETGID",
  "SETPCAP",
  "SETUID",
  "SYS_CHROOT",
]);

function capabilities(pod: ReadPod): Violation | undefined {
  const added = (container: ReadContainer): string[] =>
    (container.securityContext?.capabilities?.add ?? []).filter(
      (name) => !defaultCapabilities.has(name),
    );
  const wrong = containersOf(pod).filter((container) => added(container).length > 0);
  if (wrong.length === 0) return undefined;
  const names = [...new Set(wrong.flatMap(added))].sort();
  const detail = `must not include ${quoted(names)} in securityContext.capabilities.add`;
  return { reason: "non-default capabilities", detail: `${containersText(wrong)} ${detail}` };
}

function hostNamespaces({ spec }: ReadPod): Violation | undefined {
  const shared = (["hostNetwork", "hostPID", "hostIPC"] as const).filter((key) => spec[key]);
  if (shared.length === 0) return undefined;
  return { reason: "host namespaces", detail: shared.map((key) => `${key}=true`).join(", ") };
}

function hostPathVolumes({ spec }: ReadPod): Violation | undefined {
  const names = (spec.volumes ?? []).filter(({ hostPath }) => hostPath).map(({ name }) => name);
  if (names.length === 0) return undefined;
  const detail = `${plural("volume", "volumes", names.length)} ${quoted(names)}`;
  return { reason: "hostPath volumes", detail };
}

function hostPorts(pod: ReadPod): Violation | undefined {
  const portsOf = (container: ReadContainer): number[] =>
    (container.ports ?? []).flatMap(({ hostPort }) => (hostPort ? [hostPort] : []));
  const wrong = containersOf(pod).filter((container) => portsOf(container).length > 0);
  if (wrong.length === 0) return undefined;
  const ports = [...new Set(wrong.flatMap(portsOf))].sort((a, b) => a - b);
  const verb = plural("uses", "use", wrong.length);
  const noun = plural("hostPort", "hostPorts", ports.length);
  return {
    reason: "hostPort",
    detail: `${containersText(wrong)} ${verb} ${noun} ${ports.join(", ")}`,
  };
}

function hostHandlers(pod: ReadPod): Violation | undefined {
  const hostsOf = (container: ReadContainer): string[] => {
    const { livenessProbe, readinessProbe, startupProbe, lifecycle } = container;
    const handlers = [
      livenessProbe,
      readinessProbe,
      startupProbe,
      lifecycle?.postStart,
      lifecycle?.preStop,
    ];
    return handlers
      .flatMap((one) => [one?.httpGet?.host, one?.tcpSocket?.host])
      .filter((host): host is string => host !== undefined && host !== "");
  };
  const wrong = containersOf(pod).filter((container) => hostsOf(container).length > 0);
  if (wrong.length === 0) return undefined;
  const hosts = [...new Set(wrong.flatMap(hostsOf))].sort();
  const verb = plural("uses", "use", wrong.length);
  const noun = plural("probe or lifecycle host", "probe or lifecycle hosts", hosts.length);
  return {
    reason: noun,
    detail: `${containersText(wrong)} ${verb} ${noun} ${quoted(hosts)}`,
  };
}

/** Safe to change as they belong to the pod alone; the number is the version they came with. */
const safeSysctls: Readonly<Record<string, number>> = {
  "kernel.shm_rmid_forced": 0,
  "net.ipv4.ip_local_port_range": 0,
  "net.ipv4.tcp_syncookies": 0,
  "net.ipv4.ping_group_range": 0,
  "net.ipv4.ip_unprivileged_port_start": 0,
  "net.ipv4.ip_local_reserved_ports": 27,
  "net.ipv4.tcp_keepalive_time": 29,
  "net.ipv4.tcp_fin_timeout": 29,
  "net.ipv4.tcp_keepalive_intvl": 29,
  "net.ipv4.tcp_keepalive_probes": 29,
  "net.ipv4.tcp_rmem": 32,
  "net.ipv4.tcp_wmem": 32,
};

function sysctls({ spec }: ReadPod, minor: number): Violation | undefined {
  const names = (spec.securityContext?.sysctls ?? [])
    .map(({ name }) => name)
    .filter((name) => (safeSysctls[name] ?? Number.POSITIVE_INFINITY) > minor);
  if (names.length === 0) return undefined;
  return { reason: "forbidden sysctls", detail: names.join(", ") };
}

function hostProcess(pod: ReadPod): Violation | undefined {
  const isSet = (context: { windowsOptions?: { hostProcess?: boolean } } | undefined): boolean =>
    context?.windowsOptions?.hostProcess === true;
  const wrong = containersOf(pod).filter((one) => isSet(one.securityContext as never));
  const byPod = isSet(pod.spec.securityContext as never);
  if (wrong.length === 0 && !byPod) return undefined;
  const who = [...(byPod ? ["pod"] : []), ...(wrong.length > 0 ? [containersText(wrong)] : [])];
  return {
    reason: "hostProcess",
    detail: `${who.join(" and ")} must not set securityContext.windowsOptions.hostProcess=true`,
  };
}

export const baselineChecks: readonly Check[] = [
  { id: "capabilities_baseline", since: 0, run: capabilities },
  { id: "hostNamespaces", since: 0, run: hostNamespaces },
  { id: "hostPathVolumes", since: 0, run: hostPathVolumes },
  { id: "hostPorts", since: 0, run: hostPorts },
  { id: "hostProbesAndhostLifecycle", since: 34, run: hostHandlers },
  {
    id: "privileged",
    since: 0,
    run: (pod) =>
      broken(
        pod,
        "privileged",
        (one) => one.securityContext?.privileged === true,
        "must not set securityContext.privileged=true",
      ),
  },
  { id: "sysctls", since: 0, run: sysctls },
  { id: "windowsHostProcess", since: 0, run: hostProcess },
  ...profileChecks,
];
