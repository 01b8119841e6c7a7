/** `/stats/summary`: the usage of node and pods in the shape of upstream's stats/v1alpha1. Pure. */
import { timeOf } from "./pod-status.ts";
import type {
  ContainerUse,
  CpuStats,
  InterfaceStats,
  MemoryStats,
  NodeUse,
  PodUse,
} from "./stats.ts";
import type { Pod } from "./types.ts";
import type { VolumeUse, VolumeUses } from "./volume-stats.ts";

type Json = Record<string, unknown>;

export interface SummaryFacts {
  readonly use: NodeUse;
  readonly volumes: VolumeUses;
  readonly nodeName: string;
  readonly pods: readonly Pod[];
}

export function statsSummary({ use, volumes, nodeName, pods }: SummaryFacts): Json {
  const time = timeOf(use.timeMs);
  const { fs, imageFs } = use;
  const diskOf = (disk: NodeUse["fs"]): Json => ({
    time,
    availableBytes: disk.freeBytes,
    capacityBytes: disk.totalBytes,
    usedBytes: disk.totalBytes - disk.freeBytes,
    inodesFree: disk.freeInodes,
    inodes: disk.totalInodes,
    inodesUsed: disk.totalInodes - disk.freeInodes,
  });
  const written = use.pods.flatMap((pod) => pod.containers).map((one) => one.rootFsUsedBytes);
  const layers = { ...diskOf(imageFs), usedBytes: written.reduce((sum, bytes) => sum + bytes, 0) };
  return {
    node: {
      nodeName,
      startTime: timeOf(use.bootMs),
      cpu: cpuJson(use.cpu),
      memory: memoryJson(use.memory),
      network: networkJson(use.interfaces, time),
      fs: diskOf(fs),
      runtime: {
        imageFs: { ...diskOf(imageFs), usedBytes: use.imagesUsedBytes },
        containerFs: layers,
      },
      rlimit: { time, maxpid: use.processesMax, curproc: use.processes },
    },
    pods: use.pods.flatMap((one) => {
      const pod = pods.find(({ metadata }) => metadata.uid === one.uid);
      return pod === undefined ? [] : [podJson(one, pod, use, volumes.get(one.uid) ?? [])];
    }),
  };
}

function podJson(use: PodUse, pod: Pod, node: NodeUse, volumes: readonly VolumeUse[]): Json {
  const time = timeOf(node.timeMs);
  const statuses = [
    ...(pod.status?.containerStatuses ?? []),
    ...(pod.status?.initContainerStatuses ?? []),
    ...(pod.status?.ephemeralContainerStatuses ?? []),
  ];
  const startOf = (id: string): string | undefined =>
    statuses.find((one) => one.containerID === `containerd://${id}`)?.state?.running?.startedAt;
  const written = use.containers.reduce(
    (sum, one) => sum + one.rootFsUsedBytes + one.logsUsedBytes,
    0,
  );
  const ephemeral = volumes
    .filter(({ isEphemeral }) => isEphemeral)
    .reduce((sum, { used }) => sum + used.bytes, written);
  return {
    podRef: { name: use.name, namespace: use.namespace, uid: use.uid },
    startTime: pod.status?.startTime ?? time,
    containers: use.containers.map((one) => containerJson(one, startOf(one.id), node)),
    ...(use.cpu === undefined ? {} : { cpu: cpuJson(use.cpu) }),
    ...(use.memory === undefined ? {} : { memory: memoryJson(use.memory) }),
    ...(use.interfaces.length === 0 ? {} : { network: networkJson(use.interfaces, time) }),
    ...(volumes.length === 0 ? {} : { volume: volumes.map((one) => volumeJson(one, time)) }),
    "ephemeral-storage": diskUse(node.fs, ephemeral, time),
    process_stats: { process_count: use.processes },
  };
}

function volumeJson({ name, claim, used, fs }: VolumeUse, time: string): Json {
  const own = { ...diskUse(fs, used.bytes, time), inodesUsed: used.inodes, name };
  return claim === undefined ? own : { ...own, pvcRef: { ...claim } };
}

function containerJson(use: ContainerUse, startTime: string | undefined, node: NodeUse): Json {
  const time = timeOf(node.timeMs);
  return {
    name: use.name,
    startTime: startTime ?? time,
    ...(use.cpu === undefined ? {} : { cpu: cpuJson(use.cpu) }),
    ...(use.memory === undefined ? {} : { memory: memoryJson(use.memory) }),
    rootfs: {
      ...diskUse(node.imageFs, use.rootFsUsedBytes, time),
      inodesUsed: use.rootFsInodesUsed,
    },
    logs: diskUse(node.fs, use.logsUsedBytes, time),
  };
}

function diskUse(disk: NodeUse["fs"], usedBytes: number, time: string): Json {
  return {
    time,
    availableBytes: disk.freeBytes,
    capacityBytes: disk.totalBytes,
    usedBytes,
    inodesFree: disk.freeInodes,
    inodes: disk.totalInodes,
  };
}

function cpuJson({ timeMs, usageCoreNanoSeconds, usageNanoCores }: CpuStats): Json {
  const pace = usageNanoCores === undefined ? {} : { usageNanoCores };
  return { time: timeOf(timeMs), ...pace, usageCoreNanoSeconds };
}

function memoryJson({ timeMs, availableBytes, ...rest }: MemoryStats): Json {
  const left = availableBytes === undefined ? {} : { availableBytes };
  return { time: timeOf(timeMs), ...left, ...rest };
}

function networkJson(interfaces: readonly InterfaceStats[], time: string): Json {
  return { time, ...interfaces[0], interfaces };
}
