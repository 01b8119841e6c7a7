/** What node, pods and containers use at this moment, as kernel and runtime tell it. */
import type { ContainerStats, PodSandboxStats } from "../../gen/cri/api_pb.ts";
import type { FileSystemInfo, Host } from "../../runtime/host.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { CriClient } from "../cri/client.ts";

export interface CpuStats {
  readonly timeMs: number;
  readonly usageCoreNanoSeconds: number;
  /** Undefined until two looks apart tell the pace. */
  readonly usageNanoCores: number | undefined;
}

export interface MemoryStats {
  readonly timeMs: number;
  readonly usageBytes: number;
  readonly workingSetBytes: number;
  readonly rssBytes: number;
  readonly pageFaults: number;
  readonly majorPageFaults: number;
  /** Undefined where nothing limits the memory. */
  readonly availableBytes: number | undefined;
}

export interface InterfaceStats {
  readonly name: string;
  readonly rxBytes: number;
  readonly rxErrors: number;
  readonly txBytes: number;
  readonly txErrors: number;
}

export interface ContainerUse {
  readonly id: string;
  readonly name: string;
  readonly image: string;
  readonly cpu: CpuStats | undefined;
  readonly memory: MemoryStats | undefined;
  readonly rootFsUsedBytes: number;
  readonly rootFsInodesUsed: number;
  readonly logsUsedBytes: number;
}

export interface PodUse {
  readonly sandboxId: string;
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  readonly cpu: CpuStats | undefined;
  readonly memory: MemoryStats | undefined;
  readonly interfaces: readonly InterfaceStats[];
  readonly processes: number;
  readonly containers: readonly ContainerUse[];
}

export interface NodeUse {
  readonly timeMs: number;
  readonly bootMs: number;
  readonly cpu: CpuStats;
  readonly memory: MemoryStats;
  readonly interfaces: readonly InterfaceStats[];
  readonly fs: FileSystemInfo;
  readonly imageFs: FileSystemInfo;
  readonly imagesUsedBytes: number;
  readonly processes: number;
  readonly processesMax: number;
  readonly pods: readonly PodUse[];
}

export interface StatsOptions {
  readonly runtime: Runtime;
  readonly host: Host;
  readonly cri: CriClient;
  /** The kubelet's own directory, and the runtime's. */
  readonly rootDir: string;
  readonly imageDir: string;
  readonly logRoot: string;
}

/** Clock ticks of /proc/stat, the same on every Linux that user space sees. */
const nanosPerTick = 10_000_000;
const nanosPerMs = 1_000_000;

export class StatsReader {
  readonly #options: StatsOptions;
  #before: CpuStats | undefined;

  constructor(options: StatsOptions) {
    this.#options = options;
  }

  async read(): Promise<NodeUse> {
    const { runtime, host, cri, rootDir, imageDir } = this.#options;
    const text = async (path: string): Promise<string> =>
      (await runtime.files.readText(path)) ?? "";
    const [stat, meminfo, vmstat, net, loadavg, pidMax, fs, imageFs, images, pods] =
      await Promise.all([
        text("/proc/stat"),
        text("/proc/meminfo"),
        text("/proc/vmstat"),
        text("/proc/net/dev"),
        text("/proc/loadavg"),
        text("/proc/sys/kernel/pid_max"),
        host.fileSystem(rootDir),
        host.fileSystem(imageDir).catch(() => host.fileSystem(rootDir)),
        cri.images.imageFsInfo({}),
        cri.runtime.listPodSandboxStats({}),
      ]);
    const timeMs = runtime.clock.now().getTime();
    const used = images.imageFilesystems.map((one) => Number(one.usedBytes?.value ?? 0n));
    return {
      timeMs,
      bootMs: Number(stat.match(/^btime (\d+)/m)?.[1] ?? 0) * 1000,
      cpu: this.#cpu(stat, timeMs),
      memory: memoryFrom(meminfo, vmstat, timeMs),
      interfaces: interfacesFrom(net),
      fs,
      imageFs,
      imagesUsedBytes: used.reduce((sum, bytes) => sum + bytes, 0),
      processes: Number(loadavg.match(/\/(\d+)/)?.[1] ?? 0),
      processesMax: Number(pidMax.trim()),
      pods: await Promise.all(pods.stats.map((one) => this.#pod(one))),
    };
  }

  #cpu(stat: string, timeMs: number): CpuStats {
    const usage = cpuNanosFrom(stat);
    const before = this.#before;
    const elapsedMs = timeMs - (before?.timeMs ?? timeMs);
    const spent = usage - (before?.usageCoreNanoSeconds ?? usage);
    const pace = elapsedMs > 0 ? Math.round((spent / elapsedMs) * 1000) : before?.usageNanoCores;
    const now = { timeMs, usageCoreNanoSeconds: usage, usageNanoCores: pace };
    this.#before = now;
    return now;
  }

  async #pod(stats: PodSandboxStats): Promise<PodUse> {
    const { attributes, linux } = stats;
    const { uid = "", name = "", namespace = "" } = attributes?.metadata ?? {};
    const own = linux?.network?.defaultInterface;
    const all = [...(own === undefined ? [] : [own]), ...(linux?.network?.interfaces ?? [])];
    const logDir = `${this.#options.logRoot}/${namespace}_${name}_${uid}`;
    return {
      sandboxId: attributes?.id ?? "",
      uid,
      name,
      namespace,
      cpu: cpuFrom(linux?.cpu),
      memory: memoryOf(linux?.memory),
      interfaces: all.map((one) => ({
        name: one.name,
        rxBytes: Number(one.rxBytes?.value ?? 0n),
        rxErrors: Number(one.rxErrors?.value ?? 0n),
        txBytes: Number(one.txBytes?.value ?? 0n),
        txErrors: Number(one.txErrors?.value ?? 0n),
      })),
      processes: Number(linux?.process?.processCount?.value ?? 0n),
      containers: await Promise.all(
        (linux?.containers ?? []).map((one) => this.#container(one, logDir)),
      ),
    };
  }

  async #container(stats: ContainerStats, logDir: string): Promise<ContainerUse> {
    const { attributes, writableLayer } = stats;
    const name = attributes?.metadata?.name ?? "";
    return {
      id: attributes?.id ?? "",
      name,
      image: attributes?.annotations["io.kubernetes.cri.image-name"] ?? "",
      cpu: cpuFrom(stats.cpu),
      memory: memoryOf(stats.memory),
      rootFsUsedBytes: Number(writableLayer?.usedBytes?.value ?? 0n),
      rootFsInodesUsed: Number(writableLayer?.inodesUsed?.value ?? 0n),
      logsUsedBytes: await this.#logBytes(`${logDir}/${name}`),
    };
  }

  async #logBytes(dir: string): Promise<number> {
    const { host } = this.#options;
    const files = (await host.list(dir)).map((name) => `${dir}/${name}`);
    const sizes = await Promise.all(
      files.map(async (file) => (await host.stat(file, false))?.size),
    );
    return sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0);
  }
}

/** The busy time of all processors together. */
export function cpuNanosFrom(stat: string): number {
  const fields =
    stat
      .match(/^cpu +(.*)$/m)?.[1]
      ?.split(" ")
      .map(Number) ?? [];
  // user nice system idle iowait irq softirq steal
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = fields;
  return (user + nice + system + irq + softirq + steal) * nanosPerTick;
}

export function memoryFrom(meminfo: string, vmstat: string, timeMs: number): MemoryStats {
  const kib = (key: string): number =>
    Number(meminfo.match(new RegExp(`^${key}:\\s+(\\d+) kB`, "m"))?.[1] ?? 0) * 1024;
  const count = (key: string): number =>
    Number(vmstat.match(new RegExp(`^${key} (\\d+)`, "m"))?.[1] ?? 0);
  const usageBytes = kib("MemTotal") - kib("MemFree");
  // What the kernel would drop first is not counted as needed.
  const workingSetBytes = Math.max(0, usageBytes - kib("Inactive\\(file\\)"));
  return {
    timeMs,
    usageBytes,
    workingSetBytes,
    rssBytes: kib("AnonPages"),
    pageFaults: count("pgfault"),
    majorPageFaults: count("pgmajfault"),
    availableBytes: kib("MemTotal") - workingSetBytes,
  };
}

/** Every interface of /proc/net/dev but loopback. */
export function interfacesFrom(dev: string): readonly InterfaceStats[] {
  return dev.split("\n").flatMap((line) => {
    const [name = "", rest] = line.trim().split(":");
    const fields = (rest ?? "").trim().split(/\s+/).map(Number);
    if (rest === undefined || fields.length < 16 || name === "lo") return [];
    const [rxBytes = 0, , rxErrors = 0, , , , , , txBytes = 0, , txErrors = 0] = fields;
    return [{ name, rxBytes, rxErrors, txBytes, txErrors }];
  });
}

function cpuFrom(cpu: ContainerStats["cpu"]): CpuStats | undefined {
  if (cpu?.usageCoreNanoSeconds === undefined) return undefined;
  return {
    timeMs: Number(cpu.timestamp) / nanosPerMs,
    usageCoreNanoSeconds: Number(cpu.usageCoreNanoSeconds.value),
    usageNanoCores: cpu.usageNanoCores === undefined ? undefined : Number(cpu.usageNanoCores.value),
  };
}

function memoryOf(memory: ContainerStats["memory"]): MemoryStats | undefined {
  if (memory?.workingSetBytes === undefined) return undefined;
  const available = Number(memory.availableBytes?.value ?? 0n);
  return {
    timeMs: Number(memory.timestamp) / nanosPerMs,
    usageBytes: Number(memory.usageBytes?.value ?? 0n),
    workingSetBytes: Number(memory.workingSetBytes.value),
    rssBytes: Number(memory.rssBytes?.value ?? 0n),
    pageFaults: Number(memory.pageFaults?.value ?? 0n),
    majorPageFaults: Number(memory.majorPageFaults?.value ?? 0n),
    availableBytes: available === 0 ? undefined : available,
  };
}
