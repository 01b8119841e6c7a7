/** What this machine is: processors, memory, kernel, identity, read once from /proc and /sys. */
import type { Host } from "../../runtime/host.ts";
import type { Runtime } from "../../runtime/runtime.ts";

export interface Machine {
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly swapBytes: number;
  readonly machineId: string;
  readonly systemUuid: string;
  readonly bootId: string;
  readonly kernelVersion: string;
  readonly osImage: string;
  readonly architecture: string;
  readonly hugepages: readonly { readonly size: string; readonly bytes: number }[];
}

const architectures: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };

export async function readMachine(runtime: Runtime, host: Host): Promise<Machine> {
  const text = async (path: string): Promise<string> =>
    (await runtime.files.readText(path).catch(() => undefined))?.trim() ?? "";
  const [cpu, memory, machineId, uuid, bootId, kernel, osRelease] = await Promise.all([
    text("/proc/cpuinfo"),
    text("/proc/meminfo"),
    text("/etc/machine-id"),
    text("/sys/class/dmi/id/product_uuid"),
    text("/proc/sys/kernel/random/boot_id"),
    text("/proc/sys/kernel/osrelease"),
    text("/etc/os-release"),
  ]);
  const kib = (key: string): number =>
    Number(memory.match(new RegExp(`^${key}:\\s+(\\d+) kB`, "m"))?.[1] ?? 0) * 1024;
  return {
    cpus: Math.max(1, cpu.match(/^processor\s*:/gm)?.length ?? 1),
    memoryBytes: kib("MemTotal"),
    swapBytes: kib("SwapTotal"),
    machineId,
    systemUuid: uuid === "" ? machineId : uuid,
    bootId,
    kernelVersion: kernel,
    osImage: osRelease.match(/^PRETTY_NAME="?([^"\n]*)/m)?.[1] ?? "Linux",
    architecture: architectures[process.arch] ?? process.arch,
    hugepages: await readHugepages(runtime, host),
  };
}

async function readHugepages(runtime: Runtime, host: Host): Promise<Machine["hugepages"]> {
  const dir = "/sys/kernel/mm/hugepages";
  const names = await host.list(dir);
  return await Promise.all(
    names.map(async (name) => {
      const kib = Number(name.match(/(\d+)kB/)?.[1] ?? 0);
      const count = Number((await runtime.files.readText(`${dir}/${name}/nr_hugepages`)) ?? 0);
      const size = kib >= 2 ** 20 ? `${kib / 2 ** 20}Gi` : `${kib / 1024}Mi`;
      return { size, bytes: count * kib * 1024 };
    }),
  );
}
