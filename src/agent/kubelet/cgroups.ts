/**
 * The cgroups above containers: one for all pods, one per quality-of-service class, one per pod.
 * They are made here with their values; below them the runtime makes a container's own.
 */
import type { Host } from "../../runtime/host.ts";
import type { Clock, Logger } from "../../runtime/runtime.ts";
import {
  cpuShares,
  type PodResources,
  podCgroup,
  podCpuRequest,
  podResources,
  podSlice,
  qosClassOf,
  quotaPeriodUs,
} from "./resources.ts";
import type { Pod } from "./types.ts";

export interface CgroupOptions {
  readonly host: Host;
  readonly log: Logger;
  readonly clock: Clock;
  /** Where the hierarchies are mounted: /sys/fs/cgroup. */
  readonly mountPoint: string;
  readonly v2: boolean;
  /** systemd makes and removes slices itself. */
  readonly systemd: boolean;
}

const limits = {
  fileBytesMax: 128,
  procsBytesMax: 65_536,
  valueMax: 2 ** 62,
  /** What was killed is gone only when its memory is: longer than this housekeeping waits. */
  dyingTries: 20,
  dyingPollMs: 50,
} as const;
const decoder = new TextDecoder();

const allPods = "/kubepods";
const burstable = `${allPods}/burstable`;
const bestEffort = `${allPods}/besteffort`;
const classes = [allPods, burstable, bestEffort] as const;

/** Kernel weight of cgroup v2 for shares of v1, as the OCI runtimes convert it. */
export function weightOf(shares: number): number {
  return Math.floor(1 + ((shares - 2) * 9999) / 262_142);
}

/** The shares that a weight stands for; many have the same weight. */
function sharesOf(weight: number): number {
  return Math.floor(((weight - 1) * 262_142) / 9999) + 2;
}

/** Makes the cgroups of all pods and of the two lower classes, before any pod is started. */
export async function prepareCgroups(
  options: CgroupOptions,
  capacity: { readonly milliCpu: number; readonly memoryBytes: number },
): Promise<void> {
  if (options.systemd) return;
  await make(options, allPods);
  await set(options, allPods, { cpuShares: cpuShares(capacity.milliCpu) });
  await set(options, allPods, { memoryLimitBytes: capacity.memoryBytes });
  await make(options, bestEffort);
  await set(options, bestEffort, { cpuShares: cpuShares(0) });
  await make(options, burstable);
}

/** The burstable class weighs as much as all its pods ask for together. */
export function burstableShares(pods: readonly Pod[]): number {
  const burstables = pods.filter((pod) => qosClassOf(pod) === "Burstable");
  return cpuShares(burstables.reduce((sum, pod) => sum + podCpuRequest(pod), 0));
}

export async function weighBurstable(options: CgroupOptions, shares: number): Promise<void> {
  if (!options.systemd) await set(options, burstable, { cpuShares: shares });
}

export async function createPodCgroup(options: CgroupOptions, pod: Pod): Promise<void> {
  if (options.systemd) return;
  const path = podCgroup(pod);
  const { cpuShares: shares, cpuQuotaUs, memoryLimitBytes } = podResources(pod);
  await make(options, path);
  await set(options, path, { cpuShares: shares });
  if (cpuQuotaUs > 0) await set(options, path, { cpuQuotaUs });
  if (memoryLimitBytes > 0) await set(options, path, { memoryLimitBytes });
}

/** One value of a pod's cgroup that a resize changes. */
export type PodCgroupChange =
  | { readonly cpuShares: number }
  | { readonly cpuQuotaUs: number }
  | { readonly memoryLimitBytes: number };

/** Changes a pod cgroup that exists; fails where the kernel refuses. */
export async function changePodCgroup(
  options: CgroupOptions,
  pod: Pod,
  change: PodCgroupChange,
): Promise<void> {
  const path = options.systemd ? podSlice(pod) : podCgroup(pod);
  for (const [file, value] of filesOf(options, path, change)) {
    await options.host.append(`${options.mountPoint}${file}`, `${value}`);
  }
}

/** What the kernel holds the pod to; zero for what it does not limit. */
export async function readPodCgroup(
  options: CgroupOptions,
  pod: Pod,
): Promise<{ readonly resources: PodResources; readonly memoryUsageBytes: number }> {
  const path = options.systemd ? podSlice(pod) : podCgroup(pod);
  const read = async (file: string): Promise<string> => {
    const bytes = await options.host.readAt(`${options.mountPoint}${file}`, 0, limits.fileBytesMax);
    return decoder.decode(bytes).trim();
  };
  const { v2 } = options;
  const cpu = v2 ? path : `/cpu${path}`;
  const memory = v2 ? path : `/memory${path}`;
  const [shares, quota, limit, usage] = await Promise.all([
    read(`${cpu}/${v2 ? "cpu.weight" : "cpu.shares"}`),
    read(`${cpu}/${v2 ? "cpu.max" : "cpu.cfs_quota_us"}`),
    read(`${memory}/${v2 ? "memory.max" : "memory.limit_in_bytes"}`),
    read(`${memory}/${v2 ? "memory.current" : "memory.usage_in_bytes"}`),
  ]);
  return {
    resources: {
      cpuShares: v2 ? sharesOf(Number(shares)) : Number(shares),
      cpuQuotaUs: limitOf(quota),
      memoryLimitBytes: limitOf(limit),
    },
    memoryUsageBytes: Number(usage),
  };
}

/** No limit is `max`, -1, or as many bytes as whole pages can count. */
function limitOf(text: string): number {
  const value = Number.parseInt(text, 10);
  return value > 0 && value < limits.valueMax ? value : 0;
}

/** Removes the pod's directories in every hierarchy; the kernel refuses those still in use. */
export async function removePodCgroup(options: CgroupOptions, pod: Pod): Promise<void> {
  if (options.systemd) return;
  const uid = pod.metadata.uid ?? "";
  const isOrphan = pod.spec.containers.length === 0;
  // An orphan's class is not known: look under all three.
  const all = classes.map((parent) => `${parent}/pod${uid}`);
  const places = isOrphan ? all : [podCgroup(pod)];
  const roots = await hierarchies(options);
  const dirs = roots.flatMap((root) => places.map((place) => `${root}${place}`));
  await Promise.all(dirs.map((dir) => removeTree(options, dir)));
}

/** Uids of the pods that have a cgroup in any hierarchy. */
export async function podsInCgroups(options: CgroupOptions): Promise<ReadonlySet<string>> {
  if (options.systemd) return new Set();
  const roots = await hierarchies(options);
  const parents = roots.flatMap((root) => classes.map((parent) => `${root}${parent}`));
  const names = (await Promise.all(parents.map((dir) => options.host.list(dir)))).flat();
  const isPod = /^pod([0-9a-f]{8}-|[0-9a-f]{32}$)/;
  return new Set(names.filter((name) => isPod.test(name)).map((name) => name.slice(3)));
}

async function hierarchies({ host, mountPoint, v2 }: CgroupOptions): Promise<readonly string[]> {
  if (v2) return [mountPoint];
  return (await host.list(mountPoint)).map((name) => `${mountPoint}/${name}`);
}

async function removeTree(options: CgroupOptions, dir: string): Promise<void> {
  const { host, log, clock } = options;
  // Mostly nothing is below it any more, and looking would cost a call for each of its files.
  if (await removed(host, dir)) return;
  if ((await host.stat(dir, false))?.kind !== "directory") return;
  for (const name of await host.list(dir)) {
    const path = `${dir}/${name}`;
    if ((await host.stat(path, false))?.kind === "directory") await removeTree(options, path);
  }
  if (await removed(host, dir)) return;
  await killLeft(host, dir);
  for (let tries = 0; tries < limits.dyingTries; tries++) {
    if (await removed(host, dir)) return;
    await clock.sleep(limits.dyingPollMs, new AbortController().signal);
  }
  log.debug("Cannot remove a cgroup", { dir });
}

/** What a killed shim has left behind runs on in the pod's cgroup: nobody else would end it. */
async function killLeft(host: Host, dir: string): Promise<void> {
  const bytes = await host.readAt(`${dir}/cgroup.procs`, 0, limits.procsBytesMax).catch(() => {});
  const pids = decoder.decode(bytes ?? new Uint8Array()).split("\n");
  for (const pid of pids.map(Number)) if (pid > 1) host.signal(pid, "SIGKILL");
}

async function removed(host: Host, dir: string): Promise<boolean> {
  try {
    await host.removeDirectory(dir);
    return true;
  } catch {
    return false; // not there, in use, or not empty: the caller looks
  }
}

async function make(options: CgroupOptions, path: string): Promise<void> {
  const { host, mountPoint, v2 } = options;
  if (!v2) {
    const roots = [`${mountPoint}/cpu`, `${mountPoint}/memory`];
    await Promise.all(roots.map((root) => host.mkdir(`${root}${path}`, 0o755)));
    return;
  }
  let dir = mountPoint;
  for (const part of path.split("/").filter((piece) => piece !== "")) {
    // Controllers are handed down one level at a time; those the kernel lacks are refused.
    for (const controller of ["cpu", "cpuset", "memory", "pids", "io", "hugetlb"]) {
      await host.append(`${dir}/cgroup.subtree_control`, `+${controller}\n`).catch(() => {});
    }
    dir = `${dir}/${part}`;
    await host.mkdir(dir, 0o755);
  }
}

/** Which file gets which value, below the mount point. */
function filesOf(
  { v2 }: CgroupOptions,
  path: string,
  change: PodCgroupChange,
): readonly (readonly [string, number | string])[] {
  if ("cpuShares" in change) {
    const { cpuShares: shares } = change;
    return v2 ? [[`${path}/cpu.weight`, weightOf(shares)]] : [[`/cpu${path}/cpu.shares`, shares]];
  }
  if ("memoryLimitBytes" in change) {
    const bytes = change.memoryLimitBytes;
    return v2 ? [[`${path}/memory.max`, bytes]] : [[`/memory${path}/memory.limit_in_bytes`, bytes]];
  }
  const { cpuQuotaUs } = change;
  if (v2) return [[`${path}/cpu.max`, `${cpuQuotaUs} ${quotaPeriodUs}`]];
  return [
    [`/cpu${path}/cpu.cfs_period_us`, quotaPeriodUs],
    [`/cpu${path}/cpu.cfs_quota_us`, cpuQuotaUs],
  ];
}

/** A kernel without the controller runs pods without the limit, as runc does. */
async function set(options: CgroupOptions, path: string, change: PodCgroupChange): Promise<void> {
  for (const [file, value] of filesOf(options, path, change)) {
    try {
      await options.host.append(`${options.mountPoint}${file}`, `${value}`);
    } catch (error) {
      options.log.debug("Cannot set a cgroup value", { file, value, error: `${error}` });
    }
  }
}
