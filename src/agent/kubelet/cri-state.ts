/** What the runtime runs for a pod, in the words the pod worker plans with. */
import {
  ContainerState as CriContainerState,
  type ContainerStatus as CriContainerStatus,
  PodSandboxState,
  type PodSandboxStatus,
} from "../../gen/cri/api_pb.ts";
import { criNames } from "./types.ts";

export interface SandboxState {
  readonly id: string;
  readonly ready: boolean;
  readonly createdMs: number;
  readonly attempt: number;
  readonly ips: readonly string[];
}

export interface ContainerState {
  readonly id: string;
  readonly name: string;
  readonly sandboxId: string;
  readonly state: "created" | "running" | "exited" | "unknown";
  readonly createdMs: number;
  readonly startedMs: number;
  readonly finishedMs: number;
  readonly exitCode: number;
  readonly reason: string;
  /** The runtime's message, or what the container left as its termination message. */
  readonly message: string;
  readonly image: string;
  readonly imageId: string;
  readonly restartCount: number;
  readonly hash: string;
  readonly logPath: string;
  /** Who the first process ran as; undefined where the runtime does not tell. */
  readonly user: ContainerUser | undefined;
  /** Paths in the container whose mounts are read-only all the way down. */
  readonly readOnlyTrees: readonly string[];
  /** Undefined where the runtime does not tell. */
  readonly resources: RunningResources | undefined;
}

/** What the runtime holds a container to; zero for what it does not limit. */
export interface RunningResources {
  readonly cpuShares: number;
  readonly cpuQuotaUs: number;
  readonly cpuPeriodUs: number;
  readonly memoryLimitBytes: number;
}

export interface ContainerUser {
  readonly uid: number;
  readonly gid: number;
  readonly supplementalGroups: readonly number[];
}

/** Newest first, both of them. */
export interface PodCri {
  readonly sandboxes: readonly SandboxState[];
  readonly containers: readonly ContainerState[];
}

export const emptyPodCri: PodCri = { sandboxes: [], containers: [] };

/** The container that stands for `name`: the newest one. */
export function latestOf(cri: PodCri, name: string): ContainerState | undefined {
  return cri.containers.find((container) => container.name === name);
}

/** The newest one before the latest that has ended: `lastState`. */
export function previousOf(cri: PodCri, name: string): ContainerState | undefined {
  return cri.containers.filter((container) => container.name === name)[1];
}

export function readySandbox(cri: PodCri): SandboxState | undefined {
  const newest = cri.sandboxes[0];
  return newest?.ready === true ? newest : undefined;
}

const nanosPerMs = 1_000_000n;

function msOf(nanos: bigint): number {
  return Number(nanos / nanosPerMs);
}

export function sandboxFrom(status: PodSandboxStatus): SandboxState {
  const first = status.network?.ip ?? "";
  const more = (status.network?.additionalIps ?? []).map((entry) => entry.ip);
  return {
    id: status.id,
    ready: status.state === PodSandboxState.SANDBOX_READY,
    createdMs: msOf(status.createdAt),
    attempt: status.metadata?.attempt ?? 0,
    ips: first === "" ? [] : [first, ...more],
  };
}

const stateNames: Readonly<Record<CriContainerState, ContainerState["state"]>> = {
  [CriContainerState.CONTAINER_CREATED]: "created",
  [CriContainerState.CONTAINER_RUNNING]: "running",
  [CriContainerState.CONTAINER_EXITED]: "exited",
  [CriContainerState.CONTAINER_UNKNOWN]: "unknown",
};

export function stateNameOf(state: CriContainerState): ContainerState["state"] {
  return stateNames[state];
}

export function containerFrom(
  sandboxId: string,
  status: CriContainerStatus,
  terminationMessage: string,
): ContainerState {
  return {
    id: status.id,
    name: status.metadata?.name ?? status.labels[criNames.containerName] ?? "",
    sandboxId,
    state: stateNames[status.state],
    createdMs: msOf(status.createdAt),
    startedMs: msOf(status.startedAt),
    finishedMs: msOf(status.finishedAt),
    exitCode: status.exitCode,
    reason: status.reason,
    message: terminationMessage === "" ? status.message : terminationMessage,
    image: status.image?.userSpecifiedImage || status.image?.image || "",
    imageId: status.imageRef,
    restartCount: Number(status.annotations[criNames.restartCount] ?? 0),
    hash: status.annotations[criNames.hash] ?? "",
    logPath: status.logPath,
    user: userOf(status),
    readOnlyTrees: status.mounts
      .filter((mount) => mount.recursiveReadOnly)
      .map((mount) => mount.containerPath),
    resources: resourcesOf(status),
  };
}

function resourcesOf(status: CriContainerStatus): RunningResources | undefined {
  const linux = status.resources?.linux;
  if (linux === undefined) return undefined;
  return {
    cpuShares: Number(linux.cpuShares),
    cpuQuotaUs: Number(linux.cpuQuota),
    cpuPeriodUs: Number(linux.cpuPeriod),
    memoryLimitBytes: Number(linux.memoryLimitInBytes),
  };
}

function userOf(status: CriContainerStatus): ContainerUser | undefined {
  const linux = status.user?.linux;
  if (linux === undefined) return undefined;
  const supplementalGroups = linux.supplementalGroups.map(Number).toSorted((a, b) => a - b);
  return { uid: Number(linux.uid), gid: Number(linux.gid), supplementalGroups };
}
