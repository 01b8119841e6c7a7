/** Whether this node takes a pod that was bound to it, as upstream's kubelet decides. Pure. */
import { featuresToRun, missingFeatures } from "../../schema/declared-features.ts";
import { tolerates } from "../../schema/placement.ts";
import { declaredFeatures } from "./node-object.ts";
import { milliCpu, podCpuRequest, podRequest, qosClassOf, wholeValue } from "./resources.ts";
import type { Pod } from "./types.ts";

export interface Rejection {
  readonly reason: string;
  readonly message: string;
}

export interface AdmissionFacts {
  /** Pods of this node that have not ended, the new one left out. */
  readonly others: readonly Pod[];
  readonly allocatable: Readonly<Record<string, string>>;
  /** Pressures that the node is under. */
  readonly conditions: readonly string[];
  /** Names of sysctls, or their beginnings with a *, that this node allows besides. */
  readonly allowedSysctls?: readonly string[];
  /** The machine goes down. */
  readonly isShuttingDown?: boolean;
}

/** What a pod may change in namespaces of its own without harm to others. */
const safeSysctls: ReadonlySet<string> = new Set([
  "kernel.shm_rmid_forced",
  "net.ipv4.ip_local_port_range",
  "net.ipv4.ip_local_reserved_ports",
  "net.ipv4.ip_unprivileged_port_start",
  "net.ipv4.ping_group_range",
  "net.ipv4.tcp_fin_timeout",
  "net.ipv4.tcp_keepalive_intvl",
  "net.ipv4.tcp_keepalive_probes",
  "net.ipv4.tcp_keepalive_time",
  "net.ipv4.tcp_rmem",
  "net.ipv4.tcp_syncookies",
  "net.ipv4.tcp_wmem",
  // K3s allows these two for the pods of its service load balancer.
  "net.ipv4.ip_forward",
  "net.ipv6.conf.all.forwarding",
]);

const shutdown: Rejection = {
  reason: "NodeShutdown",
  message: "Pod was rejected as the node is shutting down.",
};

const systemCritical = 2_000_000_000;

/** Undefined for a pod that may run. */
export function rejectPod(pod: Pod, facts: AdmissionFacts): Rejection | undefined {
  if (facts.isShuttingDown === true) return shutdown;
  return (
    underPressure(pod, facts.conditions) ??
    forbiddenSysctl(pod, facts.allowedSysctls ?? []) ??
    takenPort(pod, facts.others) ??
    missingResource(pod, facts) ??
    missingFeature(pod)
  );
}

/** Upstream's critical pods: what the node cannot do without. */
export function isCritical({ metadata, spec }: Pod): boolean {
  if ((spec.priority ?? 0) >= systemCritical) return true;
  const source = metadata.annotations?.["kubernetes.io/config.source"];
  return source !== undefined && source !== "api";
}

/** Short of memory alone, a node still takes what asks for some, or tolerates the taint. */
function underPressure(pod: Pod, conditions: readonly string[]): Rejection | undefined {
  if (conditions.length === 0 || isCritical(pod)) return undefined;
  if (conditions.join() === "MemoryPressure") {
    if (qosClassOf(pod) !== "BestEffort") return undefined;
    const taint = { key: "node.kubernetes.io/memory-pressure", effect: "NoSchedule" };
    if ((pod.spec.tolerations ?? []).some((one) => tolerates(one, taint))) return undefined;
  }
  const message = `The node had condition: [${conditions.join(" ")}]. `;
  return { reason: "Evicted", message };
}

/** Two pods may share a host port only at different addresses or protocols. */
function takenPort(pod: Pod, others: readonly Pod[]): Rejection | undefined {
  const taken = others.flatMap(hostPorts);
  const isFree = hostPorts(pod).every(
    (port) =>
      !taken.some(
        (other) =>
          other.port === port.port &&
          other.protocol === port.protocol &&
          (other.ip === anyIp || port.ip === anyIp || other.ip === port.ip),
      ),
  );
  if (isFree) return undefined;
  const why = "node(s) didn't have free ports for the requested pod ports";
  return { reason: "NodePorts", message: `Predicate NodePorts failed: ${why}` };
}

const anyIp = "0.0.0.0";

function hostPorts({ spec }: Pod) {
  const sidecars = (spec.initContainers ?? []).filter((one) => one.restartPolicy === "Always");
  return [...spec.containers, ...sidecars].flatMap(({ ports = [] }) =>
    ports
      .filter(({ hostPort }) => hostPort !== undefined && hostPort > 0)
      .map(({ hostPort, protocol = "TCP", hostIP }) => ({
        port: hostPort,
        protocol,
        ip: hostIP || anyIp,
      })),
  );
}

function missingFeature({ spec }: Pod): Rejection | undefined {
  const missing = missingFeatures(featuresToRun(spec), declaredFeatures);
  if (missing.length === 0) return undefined;
  const what = "Pod requires node features that are not available";
  return { reason: "PodFeatureUnsupported", message: `${what}: ${missing.join(", ")}` };
}

function forbiddenSysctl(pod: Pod, allowed: readonly string[]): Rejection | undefined {
  const { hostNetwork, hostIPC, securityContext } = pod.spec;
  for (const { name } of securityContext?.sysctls ?? []) {
    const dotted = name.replaceAll("/", ".");
    const onHost = dotted.startsWith("net.") ? hostNetwork === true : hostIPC === true;
    const why = onHost ? "not allowed with host namespaces" : "not allowlisted";
    const isAllowed = safeSysctls.has(dotted) || allowed.some((one) => fits(one, dotted));
    if (!onHost && isAllowed) continue;
    return { reason: "SysctlForbidden", message: `forbidden sysctl: "${name}" ${why}` };
  }
  return undefined;
}

function fits(pattern: string, dotted: string): boolean {
  const plain = pattern.replaceAll("/", ".");
  return plain.endsWith("*") ? dotted.startsWith(plain.slice(0, -1)) : dotted === plain;
}

function missingResource(pod: Pod, facts: AdmissionFacts): Rejection | undefined {
  if ((pod.spec.priority ?? 0) >= systemCritical) return undefined;
  const { allocatable, others } = facts;
  const rows = [
    { name: "pods", of: () => 1, has: wholeValue(allocatable.pods) },
    { name: "cpu", of: podCpuRequest, has: milliCpu(allocatable.cpu) },
    ...["memory", "ephemeral-storage"].map((name) => ({
      name,
      of: (one: Pod) => podRequest(one, name),
      has: wholeValue(allocatable[name]),
    })),
  ];
  for (const { name, of, has } of rows) {
    const requested = of(pod);
    const used = others.reduce((sum, other) => sum + of(other), 0);
    if (requested === 0 || used + requested <= has) continue;
    const figures = `requested: ${requested}, used: ${used}, capacity: ${has}`;
    return {
      reason: `OutOf${name}`,
      message: `Node didn't have enough resource: ${name}, ${figures}`,
    };
  }
  return undefined;
}
