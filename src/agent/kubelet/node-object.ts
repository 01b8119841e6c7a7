/** The Node object of this machine: what is registered, and the status kept current. Pure. */
import type * as core from "../../gen/core-v1.ts";
import type { FileSystemInfo } from "../../runtime/host.ts";
import type { FeatureName } from "../../schema/declared-features.ts";
import { amountOf, type Signal, thresholdValue } from "./eviction-thresholds.ts";
import type { KubeletSettings } from "./kubelet-settings.ts";
import type { Machine } from "./machine.ts";
import { timeOf } from "./pod-status.ts";
import { milliCpu, wholeValue } from "./resources.ts";
import type { Node } from "./types.ts";

export interface NodeIdentity {
  readonly name: string;
  readonly ips: readonly string[];
  /** What else the node can be reached by. */
  readonly addresses: {
    readonly externalIps: readonly string[];
    readonly internalDns: readonly string[];
    readonly externalDns: readonly string[];
  };
  readonly isServer: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly taints: readonly core.Taint[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly kubeletVersion: string;
  readonly kubeletPort: number;
  readonly settings: KubeletSettings;
}

export interface NodeFacts {
  readonly machine: Machine;
  readonly disk: FileSystemInfo;
  /** Conditions that hold now: MemoryPressure and the like. */
  readonly pressures: readonly string[];
  readonly isShuttingDown: boolean;
  /** Extended resources of device plugins. */
  /** Unique names of volumes that pods of the node use, or still have staged. */
  readonly volumesInUse: readonly string[];
  readonly devices: {
    readonly capacity: Readonly<Record<string, string>>;
    readonly allocatable: Readonly<Record<string, string>>;
  };
  readonly runtimeVersion: string;
  /** Undefined when the runtime cannot be reached. */
  readonly runtime: readonly RuntimeCondition[] | undefined;
  readonly images: readonly core.ContainerImage[];
  readonly handlers: readonly core.NodeRuntimeHandler[];
  readonly supplementalGroupsPolicy: boolean;
  readonly nowMs: number;
}

export interface RuntimeCondition {
  readonly type: string;
  readonly status: boolean;
  readonly reason: string;
  readonly message: string;
}

const limits = { imagesMax: 50 } as const;

export function nodeLabels(identity: NodeIdentity, architecture: string): Record<string, string> {
  return {
    "beta.kubernetes.io/arch": architecture,
    "beta.kubernetes.io/instance-type": "k3s",
    "beta.kubernetes.io/os": "linux",
    "kubernetes.io/arch": architecture,
    "kubernetes.io/hostname": identity.name,
    "kubernetes.io/os": "linux",
    "node.kubernetes.io/instance-type": "k3s",
    ...(identity.isServer ? { "node-role.kubernetes.io/control-plane": "true" } : {}),
    ...identity.labels,
  };
}

/** The object that is registered: without conditions the node would be taken for dead. */
export function newNode(identity: NodeIdentity, facts: NodeFacts): core.Node {
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: {
      name: identity.name,
      labels: nodeLabels(identity, facts.machine.architecture),
      annotations: nodeAnnotations(identity),
    },
    spec: {
      providerID: `k3s://${identity.name}`,
      ...(identity.taints.length === 0 ? {} : { taints: [...identity.taints] }),
    },
    status: nodeStatus(identity, facts, undefined),
  };
}

export function nodeAnnotations(identity: NodeIdentity): Record<string, string> {
  const { externalIps, internalDns, externalDns } = identity.addresses;
  const given = (key: string, values: readonly string[]): Record<string, string> =>
    values.length === 0 ? {} : { [`k3s.io/${key}`]: values.join(",") };
  return {
    ...given("external-ip", externalIps),
    ...given("internal-dns", internalDns),
    ...given("external-dns", externalDns),
    "k3s.io/hostname": identity.name,
    "k3s.io/internal-ip": identity.ips.join(","),
    "node.alpha.kubernetes.io/ttl": "0",
    "volumes.kubernetes.io/controller-managed-attach-detach": "true",
    "alpha.kubernetes.io/provided-node-ip": identity.ips.join(","),
    ...identity.annotations,
  };
}

export function nodeCapacity(
  identity: NodeIdentity,
  machine: Machine,
  disk: FileSystemInfo,
): Record<string, string> {
  const huge = machine.hugepages.map(({ size, bytes }) => [`hugepages-${size}`, `${bytes}`]);
  return {
    cpu: `${machine.cpus}`,
    "ephemeral-storage": `${Math.floor(disk.totalBytes / 1024)}Ki`,
    ...Object.fromEntries(huge),
    memory: `${Math.floor(machine.memoryBytes / 1024)}Ki`,
    pods: `${podsMax(identity.settings, machine.cpus)}`,
  };
}

function podsMax({ maxPods, podsPerCore }: KubeletSettings, cpus: number): number {
  return podsPerCore === 0 ? maxPods : Math.min(maxPods, podsPerCore * cpus);
}

/** What pods may ask for: reservations and what eviction keeps free are taken off. */
export function nodeAllocatable(
  identity: NodeIdentity,
  machine: Machine,
  disk: FileSystemInfo,
): Record<string, string> {
  const { settings } = identity;
  const kept = (signal: Signal, capacity: number): number => {
    const text = settings.evictionHard[signal];
    const value = text === undefined ? undefined : thresholdValue(signal, text);
    return value === undefined ? 0 : amountOf(value, capacity);
  };
  const reserved = reservedOf(settings);
  const { memoryBytes, cpus } = machine;
  const memory = memoryBytes - reserved.memoryBytes - kept("memory.available", memoryBytes);
  const storage = disk.totalBytes - reserved.diskBytes - kept("nodefs.available", disk.totalBytes);
  const milli = cpus * 1000 - reserved.milliCpu;
  return {
    ...nodeCapacity(identity, machine, disk),
    cpu: milli % 1000 === 0 ? `${milli / 1000}` : `${milli}m`,
    "ephemeral-storage": `${Math.max(0, storage)}`,
    memory: `${Math.max(0, Math.floor(memory / 1024))}Ki`,
  };
}

/** What the machine's own programs and k3 keep for themselves. */
export function reservedOf({ systemReserved, kubeReserved }: KubeletSettings): {
  readonly milliCpu: number;
  readonly memoryBytes: number;
  readonly diskBytes: number;
} {
  const sum = (of: (list: Readonly<Record<string, string>>) => number): number =>
    of(systemReserved) + of(kubeReserved);
  return {
    milliCpu: sum(({ cpu }) => milliCpu(cpu)),
    memoryBytes: sum(({ memory }) => wholeValue(memory)),
    diskBytes: sum((list) => wholeValue(list["ephemeral-storage"])),
  };
}

/** Of what nodes may declare, what this one can do. */
export const declaredFeatures: readonly FeatureName[] = [
  "ExtendWebSocketsToKubelet",
  "InPlacePodLevelResourcesVerticalScaling",
  "InPlacePodVerticalScalingInitContainers",
];

export function nodeStatus(
  identity: NodeIdentity,
  facts: NodeFacts,
  before: Node | undefined,
): core.NodeStatus {
  const { machine, disk } = facts;
  return {
    addresses: [
      ...identity.ips.map((address) => ({ type: "InternalIP", address })),
      ...identity.addresses.externalIps.map((address) => ({ type: "ExternalIP", address })),
      { type: "Hostname", address: identity.name },
      ...identity.addresses.internalDns.map((address) => ({ type: "InternalDNS", address })),
      ...identity.addresses.externalDns.map((address) => ({ type: "ExternalDNS", address })),
    ],
    capacity: { ...nodeCapacity(identity, machine, disk), ...facts.devices.capacity },
    allocatable: { ...nodeAllocatable(identity, machine, disk), ...facts.devices.allocatable },
    conditions: nodeConditions(facts, before),
    ...(facts.volumesInUse.length === 0 ? {} : { volumesInUse: [...facts.volumesInUse] }),
    daemonEndpoints: { kubeletEndpoint: { Port: identity.kubeletPort } },
    ...(facts.handlers.length === 0 ? {} : { runtimeHandlers: [...facts.handlers] }),
    features: { supplementalGroupsPolicy: facts.supplementalGroupsPolicy },
    declaredFeatures: [...declaredFeatures],
    images: facts.images.slice(0, limits.imagesMax).map((image) => ({ ...image })),
    nodeInfo: {
      machineID: machine.machineId,
      systemUUID: machine.systemUuid,
      bootID: machine.bootId,
      kernelVersion: machine.kernelVersion,
      osImage: machine.osImage,
      containerRuntimeVersion: facts.runtimeVersion,
      kubeletVersion: identity.kubeletVersion,
      kubeProxyVersion: "",
      operatingSystem: "linux",
      architecture: machine.architecture,
      ...(machine.swapBytes === 0 ? {} : { swap: { capacity: machine.swapBytes } }),
    },
  };
}

type Verdict = Pick<core.NodeCondition, "type" | "status" | "reason" | "message">;

function nodeConditions(facts: NodeFacts, before: Node | undefined): core.NodeCondition[] {
  const { pressures } = facts;
  const verdicts = [
    pressure("MemoryPressure", pressures.includes("MemoryPressure"), "Memory", "memory available"),
    pressure("DiskPressure", pressures.includes("DiskPressure"), "Disk", "disk space available"),
    pressure("PIDPressure", pressures.includes("PIDPressure"), "PID", "PID available"),
    readyCondition(facts),
  ];
  const now = timeOf(facts.nowMs);
  return verdicts.map((verdict) => {
    const old = before?.status?.conditions?.find((entry) => entry.type === verdict.type);
    const since = old?.status === verdict.status ? old.lastTransitionTime : undefined;
    return { ...verdict, lastHeartbeatTime: now, lastTransitionTime: since ?? now };
  });
}

function pressure(type: string, low: boolean, word: string, what: string): Verdict {
  const reason = low ? `KubeletHasInsufficient${word}` : `KubeletHasSufficient${word}`;
  const diskReason = low ? "KubeletHasDiskPressure" : "KubeletHasNoDiskPressure";
  const message = `kubelet has ${low ? "insufficient" : "sufficient"} ${what}`;
  if (type !== "DiskPressure") return { type, status: low ? "True" : "False", reason, message };
  const text = low ? "kubelet has disk pressure" : "kubelet has no disk pressure";
  return { type, status: low ? "True" : "False", reason: diskReason, message: text };
}

function readyCondition({ runtime, isShuttingDown }: NodeFacts): Verdict {
  if (runtime === undefined) {
    const message = "container runtime is down";
    return { type: "Ready", status: "False", reason: "KubeletNotReady", message };
  }
  const problems = ["RuntimeReady", "NetworkReady"].flatMap((type) => {
    const found = runtime.find((condition) => condition.type === type);
    if (found?.status === true) return [];
    const word = type === "NetworkReady" ? "container runtime network" : "container runtime";
    const { reason = "Unknown", message = "" } = found ?? {};
    return [`${word} not ready: ${type}=false reason:${reason} message:${message}`];
  });
  if (isShuttingDown) problems.push("node is shutting down");
  if (problems.length > 0) {
    const message = problems.length > 1 ? `[${problems.join(", ")}]` : problems.join();
    return { type: "Ready", status: "False", reason: "KubeletNotReady", message };
  }
  const message = "kubelet is posting ready status";
  return { type: "Ready", status: "True", reason: "KubeletReady", message };
}
