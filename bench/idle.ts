/** What a server with its node costs at rest: resident memory, processor, writes. */
import type { Bench, Measure } from "./main.ts";
import { BenchServer, usageOf } from "./server.ts";

const settleMs = 30_000;
const samples = 13;
/** Together longer than the longest pause between two writes of the store at rest. */
const sampleMs = 60_000;

export const idleBench: Bench = {
  name: "idle",
  async run(): Promise<readonly Measure[]> {
    const server = new BenchServer();
    const memory: number[] = [];
    const cpu: number[] = [];
    let written = 0;
    try {
      await server.start();
      console.log(`This takes ${Math.round((settleMs + samples * sampleMs) / 60_000)} minutes`);
      await Bun.sleep(settleMs);
      const first = usageOf(server.pid);
      let before = first;
      for (let i = 0; i < samples; i++) {
        await Bun.sleep(sampleMs);
        const after = usageOf(server.pid);
        memory.push(after.residentMb);
        cpu.push(((after.cpuSeconds - before.cpuSeconds) / sampleMs) * 1000 * 100);
        before = after;
      }
      written = before.writtenBytes - first.writtenBytes;
    } finally {
      await server.destroy();
    }
    const perDay = (written / ((samples * sampleMs) / 1000)) * (86_400 / 1e6);
    return [
      { name: "resident memory, server and agent", unit: "MB", runs: memory, budget: "≤ 120" },
      { name: "processor at rest", unit: "% of a core", runs: cpu, budget: "≤ 0.8" },
      {
        name: `writes at rest, over ${(samples * sampleMs) / 60_000} minutes`,
        unit: "MB/day",
        runs: [perDay],
        budget: "≤ 20",
      },
    ];
  },
};
