/** The cgroup of a pod, made before its sandbox with the pod's own limits, removed after it. */
import type { Host } from "../../runtime/host.ts";
import type { Logger } from "../../runtime/runtime.ts";
import { podCgroup, podResources, quotaPeriodUs } from "./resources.ts";
import type { Pod } from "./types.ts";

const mountPoint = "/sys/fs/cgroup";

export interface CgroupOptions {
  readonly host: Host;
  readonly log: Logger;
  readonly v2: boolean;
  /** systemd makes and removes slices itself. */
  readonly systemd: boolean;
}

/** Kernel weight of cgroup v2 for shares of v1, as the OCI runtimes convert it. */
export function weightOf(shares: number): number {
  return Math.floor(1 + ((shares - 2) * 9999) / 262_142);
}

export async function createPodCgroup(options: CgroupOptions, pod: Pod): Promise<void> {
  if (options.systemd) return;
  const path = podCgroup(pod);
  const { cpuShares, cpuQuotaUs, memoryLimitBytes } = podResources(pod);
  if (options.v2) {
    await makeV2(options.host, path);
    const dir = `${mountPoint}${path}`;
    await set(options, `${dir}/cpu.weight`, `${weightOf(cpuShares)}`);
    await set(
      options,
      `${dir}/cpu.max`,
      `${cpuQuotaUs === 0 ? "max" : cpuQuotaUs} ${quotaPeriodUs}`,
    );
    await set(options, `${dir}/memory.max`, memoryLimitBytes === 0 ? "max" : `${memoryLimitBytes}`);
    return;
  }
  await options.host.mkdir(`${mountPoint}/cpu${path}`, 0o755);
  await options.host.mkdir(`${mountPoint}/memory${path}`, 0o755);
  await set(options, `${mountPoint}/cpu${path}/cpu.shares`, `${cpuShares}`);
  if (cpuQuotaUs > 0) {
    await set(options, `${mountPoint}/cpu${path}/cpu.cfs_period_us`, `${quotaPeriodUs}`);
    await set(options, `${mountPoint}/cpu${path}/cpu.cfs_quota_us`, `${cpuQuotaUs}`);
  }
  if (memoryLimitBytes > 0) {
    const file = `${mountPoint}/memory${path}/memory.limit_in_bytes`;
    await set(options, file, `${memoryLimitBytes}`);
  }
}

/** Removes the pod's directories in every hierarchy; the kernel refuses those still in use. */
export async function removePodCgroup(options: CgroupOptions, pod: Pod): Promise<void> {
  if (options.systemd) return;
  const uid = pod.metadata.uid ?? "";
  const roots = options.v2
    ? [mountPoint]
    : (await options.host.list(mountPoint)).map((name) => `${mountPoint}/${name}`);
  // An orphan's class is not known: look under all three.
  const places = ["", "/burstable", "/besteffort"].map((qos) => `/kubepods${qos}/pod${uid}`);
  for (const dir of roots.flatMap((root) => places.map((place) => `${root}${place}`))) {
    if ((await options.host.stat(dir, false))?.kind === "directory") {
      await removeTree(options, dir);
    }
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

async function makeV2(host: Host, path: string): Promise<void> {
  let dir = mountPoint;
  for (const part of path.split("/").filter((piece) => piece !== "")) {
    // Controllers are handed down one level at a time.
    for (const controller of ["cpu", "cpuset", "memory", "pids", "io", "hugetlb"]) {
      await host.append(`${dir}/cgroup.subtree_control`, `+${controller}`).catch(() => {});
    }
    dir = `${dir}/${part}`;
    await host.mkdir(dir, 0o755);
  }
}

async function set(options: CgroupOptions, file: string, value: string): Promise<void> {
  try {
    await options.host.append(file, value);
  } catch (error) {
    // A kernel without the controller runs the pod without the limit, as runc does.
    options.log.debug("Cannot set a cgroup value", { file, value, error: `${error}` });
  }
}
