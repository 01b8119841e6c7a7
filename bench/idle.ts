/** What a server with its node costs at rest: resident memory, processor, writes. */
import { readFileSync } from "node:fs";
import type { Bench, Measure } from "./main.ts";
import { BenchServer } from "./server.ts";

const samples = 5;
const settleMs = 10_000;
const sampleMs = 6_000;
const ticksPerSecond = 100;

interface Usage {
  readonly residentMb: number;
  readonly cpuSeconds: number;
  readonly writtenBytes: number;
}

function usageOf(pid: number): Usage {
  const field = (file: string, name: string): number =>
    Number(
      new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(
        readFileSync(`/proc/${pid}/${file}`, "utf8"),
      )?.[1],
    );
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return {
    residentMb: field("status", "VmRSS") / 1024,
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / ticksPerSecond,
    writtenBytes: field("io", "write_bytes"),
  };
}

export const idleBench: Bench = {
  name: "idle",
  async run(): Promise<readonly Measure[]> {
    const server = new BenchServer();
    const memory: number[] = [];
    const cpu: number[] = [];
    const writes: number[] = [];
    try {
      await server.start();
      await Bun.sleep(settleMs);
      for (let i = 0; i < samples; i++) {
        const before = usageOf(server.pid);
        await Bun.sleep(sampleMs);
        const after = usageOf(server.pid);
        const seconds = sampleMs / 1000;
        memory.push(after.residentMb);
        cpu.push(((after.cpuSeconds - before.cpuSeconds) / seconds) * 100);
        writes.push(((after.writtenBytes - before.writtenBytes) / seconds) * (86_400 / 1e6));
      }
    } finally {
      await server.destroy();
    }
    return [
      { name: "resident memory, server and agent", unit: "MB", runs: memory, budget: "≤ 120" },
      { name: "processor at rest", unit: "% of a core", runs: cpu, budget: "≤ 0.8" },
      { name: "writes at rest", unit: "MB/day", runs: writes, budget: "≤ 20" },
    ];
  },
};
