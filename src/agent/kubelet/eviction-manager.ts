/**
 * Watches what the node is short of. Before it runs out of memory, disk, inodes or processes, dead
 * containers and unused images go, then pods, one at a time.
 */
import type { Host } from "../../runtime/host.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { isCritical } from "./admit-pod.ts";
import {
  type Candidate,
  type DiskUse,
  evictionMessage,
  type PodPressure,
  ranked,
} from "./eviction-rank.ts";
import {
  type Observation,
  type Observations,
  type Signal,
  signals,
  type Threshold,
  thresholdsOf,
} from "./eviction-thresholds.ts";
import type { ImageGc } from "./image-gc.ts";
import type { KubeletContext } from "./kubelet-context.ts";
import type { KubeletSettings } from "./kubelet-settings.ts";
import { tellOfNode } from "./node-events.ts";
import type { PodRecord } from "./pod-record.ts";
import { type Demand, PressureState } from "./pressure-state.ts";
import { memoryFrom, type PodUse, type StatsReader } from "./stats.ts";
import { treeUse } from "./storage-limits.ts";
import type { Pod } from "./types.ts";

export interface EvictionOptions {
  readonly context: KubeletContext;
  readonly settings: KubeletSettings;
  readonly imageDir: string;
  readonly stats: StatsReader;
  readonly images: ImageGc;
  readonly pods: {
    /** Pods that run or are about to. */
    active(): readonly PodRecord[];
    /** Ends the pod for the node's sake. */
    evict(record: PodRecord, eviction: Eviction): void;
    /** Removes containers of pods that have ended. */
    removeDead(): Promise<void>;
  };
  /** The node's conditions may have changed. */
  readonly onLook: () => Promise<void>;
}

export interface Eviction {
  readonly message: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly graceSeconds: number;
}

const limits = {
  lookEveryMs: 10_000,
  cleanUpPollMs: 250,
  cleanUpMs: 30_000,
  hardGraceSeconds: 1,
} as const;

export class EvictionManager {
  readonly #options: EvictionOptions;
  readonly #state: PressureState;
  #hasImageFs = false;

  constructor(options: EvictionOptions) {
    this.#options = options;
    this.#state = new PressureState({
      thresholds: thresholdsOf(options.settings),
      transitionMs: options.settings.evictionPressureTransitionMs,
    });
  }

  /** What the node reports, and what keeps it from taking pods. */
  conditions(): readonly string[] {
    return this.#state.conditions;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options.context.runtime;
    while (!signal.aborted) {
      const evicted = await this.look().catch((error: unknown) => {
        log.warn("Cannot look at what the node is short of", { error: `${error}` });
        return undefined;
      });
      if (evicted === undefined) await clock.sleep(limits.lookEveryMs, signal);
      else await this.#cleanedUp(evicted, signal);
    }
  }

  /** One look; answers the pod that had to go. */
  async look(): Promise<PodRecord | undefined> {
    const { context, onLook } = this.#options;
    const observations = await this.#observe();
    const nowMs = context.runtime.clock.monotonicMs();
    const before = this.#state.conditions.join();
    const demand = this.#state.observe(observations, nowMs);
    if (this.#state.conditions.join() !== before) await onLook();
    if (demand === undefined) return undefined;
    const { resource } = signals[demand.threshold.signal];
    const message = `Attempting to reclaim ${resource}`;
    const { events, nodeName } = context;
    tellOfNode(events, nodeName, "EvictionThresholdMet", { message, type: "Warning" });
    if (await this.#reclaim(demand.threshold.signal)) return undefined;
    return await this.#evictOne(demand, observations);
  }

  /** Dead containers and unused images, where they lie on the disk that is full. */
  async #reclaim(signal: Signal): Promise<boolean> {
    const { pods, images } = this.#options;
    const isDisk = signals[signal].condition === "DiskPressure";
    if (!isDisk || (this.#hasImageFs && signal.startsWith("nodefs."))) return false;
    await pods.removeDead();
    await images.removeUnused();
    return this.#state.isRelieved(await this.#observe());
  }

  async #evictOne(demand: Demand, observations: Observations): Promise<PodRecord | undefined> {
    const { pods, settings } = this.#options;
    const { threshold, all } = demand;
    const { resource } = signals[threshold.signal];
    const records = new Map(pods.active().map((record) => [record.pod, record]));
    const candidates = await this.#candidates([...records.keys()], threshold);
    for (const candidate of ranked(candidates, threshold.signal, this.#hasImageFs)) {
      const record = records.get(candidate.pod);
      if (record === undefined || record.static || isCritical(candidate.pod)) continue;
      const own = candidate.pod.spec.terminationGracePeriodSeconds;
      const most = settings.evictionMaxPodGraceSeconds;
      const soft = own === undefined ? most : Math.min(most, own);
      const graceSeconds = threshold.graceMs === 0 ? limits.hardGraceSeconds : soft;
      const told = evictionMessage(candidate, resource, all, observations);
      pods.evict(record, { ...told, graceSeconds });
      return record;
    }
    return undefined;
  }

  async #candidates(pods: readonly Pod[], threshold: Threshold): Promise<readonly Candidate[]> {
    const { pods: uses } = await this.#options.stats.read();
    const isDisk = signals[threshold.signal].condition === "DiskPressure";
    return await Promise.all(
      pods.map(async (pod) => {
        const use = uses.find(({ uid }) => uid === pod.metadata.uid);
        if (use === undefined) return { pod, use: undefined };
        const volumes = isDisk ? await this.#volumesOf(pod) : { bytes: 0, inodes: 0 };
        return { pod, use: pressureOf(use, volumes) };
      }),
    );
  }

  async #volumesOf(pod: Pod): Promise<DiskUse> {
    const { context } = this.#options;
    let sum: DiskUse = { bytes: 0, inodes: 0 };
    for (const volume of pod.spec.volumes ?? []) {
      if (volume.emptyDir === undefined || volume.emptyDir.medium === "Memory") continue;
      const use = await treeUse(context.host, context.volumes.pathOf(pod, volume) ?? "");
      sum = { bytes: sum.bytes + use.bytes, inodes: sum.inodes + use.inodes };
    }
    return sum;
  }

  async #observe(): Promise<Observations> {
    const { context, imageDir } = this.#options;
    const { runtime, host, rootDir } = context;
    const [node, image, nodeInfo, imageInfo, memory] = await Promise.all([
      host.fileSystem(rootDir),
      host.fileSystem(imageDir).catch(() => host.fileSystem(rootDir)),
      host.stat(rootDir, true),
      host.stat(imageDir, true),
      observeMemory(runtime),
    ]);
    this.#hasImageFs = imageInfo !== undefined && nodeInfo?.device !== imageInfo.device;
    const all: [Signal, Observation][] = [
      ["memory.available", memory],
      ["nodefs.available", { available: node.freeBytes, capacity: node.totalBytes }],
      ["imagefs.available", { available: image.freeBytes, capacity: image.totalBytes }],
      ["pid.available", await observeProcesses(runtime)],
    ];
    // Some file systems count no inodes at all.
    if (node.totalInodes > 0) {
      const inodes = { available: node.freeInodes, capacity: node.totalInodes };
      all.push(["nodefs.inodesFree", inodes]);
    }
    if (image.totalInodes > 0) {
      const inodes = { available: image.freeInodes, capacity: image.totalInodes };
      all.push(["imagefs.inodesFree", inodes]);
    }
    const pods = await observePods(host, context.cgroups.v2).catch(() => undefined);
    if (pods !== undefined) all.push(["allocatableMemory.available", pods]);
    return new Map(all);
  }

  /** What was evicted gives back what it holds before anything else is looked at. */
  async #cleanedUp(record: PodRecord, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options.context.runtime;
    const deadline = clock.monotonicMs() + limits.cleanUpMs;
    while (!signal.aborted && record.volumes !== "gone" && clock.monotonicMs() < deadline) {
      await clock.sleep(limits.cleanUpPollMs, signal);
    }
  }
}

function pressureOf(use: PodUse, volumes: DiskUse): PodPressure {
  return {
    memoryBytes: use.memory?.workingSetBytes,
    processes: use.processes,
    volumes,
    containers: use.containers.map((one) => ({
      name: one.name,
      memoryBytes: one.memory?.workingSetBytes,
      root: { bytes: one.rootFsUsedBytes, inodes: one.rootFsInodesUsed },
      logs: { bytes: one.logsUsedBytes, inodes: 0 },
    })),
  };
}

async function observeMemory(runtime: Runtime): Promise<Observation> {
  const memory = memoryFrom((await runtime.files.readText("/proc/meminfo")) ?? "", "", 0);
  const available = memory.availableBytes ?? 0;
  return { available, capacity: available + memory.workingSetBytes };
}

async function observeProcesses(runtime: Runtime): Promise<Observation> {
  const text = async (path: string): Promise<string> => (await runtime.files.readText(path)) ?? "";
  const [loadavg, pidMax, threadsMax] = await Promise.all([
    text("/proc/loadavg"),
    text("/proc/sys/kernel/pid_max"),
    text("/proc/sys/kernel/threads-max"),
  ]);
  const running = Number(loadavg.match(/\/(\d+)/)?.[1] ?? 0);
  const capacity = Math.min(Number(pidMax), Number(threadsMax));
  return { available: capacity - running, capacity };
}

/** The memory that all pods together may still take. */
async function observePods(host: Host, v2: boolean): Promise<Observation | undefined> {
  const dir = `/sys/fs/cgroup/${v2 ? "" : "memory/"}kubepods`;
  const read = async (file: string): Promise<string> =>
    new TextDecoder().decode(await host.readAt(`${dir}/${file}`, 0, 16_384));
  const [limit, usage, stat] = await Promise.all([
    read(v2 ? "memory.max" : "memory.limit_in_bytes"),
    read(v2 ? "memory.current" : "memory.usage_in_bytes"),
    read("memory.stat"),
  ]);
  const capacity = Number.parseInt(limit, 10);
  if (!(capacity > 0)) return undefined;
  const name = v2 ? "inactive_file" : "total_inactive_file";
  const inactive = Number(stat.match(new RegExp(`^${name} (\\d+)`, "m"))?.[1] ?? 0);
  const workingSet = Math.max(0, Number(usage) - inactive);
  return { available: capacity - workingSet, capacity };
}
