/**
 * The cgroups above containers: one for all pods, one per quality-of-service class, one per pod.
 * They are made here with their values; below them the runtime makes a container's own.
 */
import type { Host } from "../../runtime/host.ts";
import type { Logger } from "../../runtime/runtime.ts";
import {
  cpuShares,
  podCgroup,
  podCpuRequest,
  podResources,
  qosClassOf,
  quotaPeriodUs,
} from "./resources.ts";
import type { Pod } from "./types.ts";

export interface CgroupOptions {
  readonly host: Host;
  readonly log: Logger;
  /** Where the hierarchies are mounted: /sys/fs/cgroup. */
  readonly mountPoint: string;
  readonly v2: boolean;
  /** systemd makes and removes slices itself. */
  readonly systemd: boolean;
}

const allPods = "/kubepods";
const burstable = `${allPods}/burstable`;
const bestEffort = `${allPods}/besteffort`;

/** Kernel weight of cgroup v2 for shares of v1, as the OCI runtimes convert it. */
export function weightOf(shares: number): number {
  return Math.floor(1 + ((shares - 2) * 9999) / 262_142);
}

/** Makes the cgroups of all pods and of the two lower classes, before any pod is started. */
export async function prepareCgroups(
  options: CgroupOptions,
  capacity: { readonly milliCpu: number; readonly memoryBytes: number },
): Promise<void> {
  if (options.systemd) return;
  await make(options, allPods);
  await setShares(options, allPods, cpuShares(capacity.milliCpu));
  await setMemory(options, allPods, capacity.memoryBytes);
  await make(options, bestEffort);
  await setShares(options, bestEffort, cpuShares(0));
  await make(options, burstable);
}

/** The burstable class weighs as much as all its pods ask for together. */
export function burstableShares(pods: readonly Pod[]): number {
  const burstables = pods.filter((pod) => qosClassOf(pod) === "Burstable");
  return cpuShares(burstables.reduce((sum, pod) => sum + podCpuRequest(pod), 0));
}

export async function weighBurstable(options: CgroupOptions, shares: number): Promise<void> {
  if (!options.systemd) await setShares(options, burstable, shares);
}

export async function createPodCgroup(options: CgroupOptions, pod: Pod): Promise<void> {
  if (options.systemd) return;
  const path = podCgroup(pod);
  const { cpuShares: shares, cpuQuotaUs, memoryLimitBytes } = podResources(pod);
  await make(options, path);
  await setShares(options, path, shares);
  if (cpuQuotaUs > 0) await setQuota(options, path, cpuQuotaUs);
  if (memoryLimitBytes > 0) await setMemory(options, path, memoryLimitBytes);
}

/** Removes the pod's directories in every hierarchy; the kernel refuses those still in use. */
export async function removePodCgroup(options: CgroupOptions, pod: Pod): Promise<void> {
  if (options.systemd) return;
  const uid = pod.metadata.uid ?? "";
  const { host, mountPoint } = options;
  const roots = options.v2
    ? [mountPoint]
    : (await host.list(mountPoint)).map((name) => `${mountPoint}/${name}`);
  // An orphan's class is not known: look under all three.
  const places = [allPods, burstable, bestEffort].map((parent) => `${parent}/pod${uid}`);
  for (const dir of roots.flatMap((root) => places.map((place) => `${root}${place}`))) {
    if ((await host.stat(dir, false))?.kind === "directory") await removeTree(options, dir);
  }
}

async function removeTree(options: CgroupOptions, dir: string): Promise<void> {
  for (const name of await options.host.list(dir)) {
    const path = `${dir}/${name}`;
    if ((await options.host.stat(path, false))?.kind === "directory") {
      await removeTree(options, path);
    }
  }
  try {
    await options.host.removeDirectory(dir);
  } catch (error) {
    options.log.debug("Cannot remove a cgroup", { dir, error: `${error}` });
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

async function setShares(options: CgroupOptions, path: string, shares: number): Promise<void> {
  if (options.v2) await set(options, `${path}/cpu.weight`, weightOf(shares));
  else await set(options, `/cpu${path}/cpu.shares`, shares);
}

async function setQuota(options: CgroupOptions, path: string, quotaUs: number): Promise<void> {
  if (options.v2) return await set(options, `${path}/cpu.max`, `${quotaUs} ${quotaPeriodUs}`);
  await set(options, `/cpu${path}/cpu.cfs_period_us`, quotaPeriodUs);
  await set(options, `/cpu${path}/cpu.cfs_quota_us`, quotaUs);
}

async function setMemory(options: CgroupOptions, path: string, bytes: number): Promise<void> {
  if (options.v2) await set(options, `${path}/memory.max`, bytes);
  else await set(options, `/memory${path}/memory.limit_in_bytes`, bytes);
}

async function set(options: CgroupOptions, file: string, value: number | string): Promise<void> {
  try {
    await options.host.append(`${options.mountPoint}${file}`, `${value}`);
  } catch (error) {
    // A kernel without the controller runs the pod without the limit, as runc does.
    options.log.debug("Cannot set a cgroup value", { file, value, error: `${error}` });
  }
}
