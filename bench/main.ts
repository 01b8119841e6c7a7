/** `bun run bench NAME`: measures, prints a table, keeps the numbers in bench/results. */
import { mkdir } from "node:fs/promises";
import { cpus, loadavg, release } from "node:os";
import { join } from "node:path";

/** One number: the median of its runs, and the budget it is held against. */
export interface Measure {
  readonly name: string;
  readonly unit: string;
  readonly runs: readonly number[];
  /** "≥ 30000" or "≤ 5", when there is one. */
  readonly budget?: string;
}

export interface Bench {
  readonly name: string;
  run(): Promise<readonly Measure[]>;
}

/** Loaded on demand: a bench brings along only the code it measures. */
const benches: Readonly<Record<string, () => Promise<Bench>>> = {
  start: async () => (await import("./start.ts")).startBench,
  idle: async () => (await import("./idle.ts")).idleBench,
  pod: async () => (await import("./pod.ts")).podBench,
  api: async () => (await import("./api.ts")).apiBench,
  scale: async () => (await import("./scale.ts")).scaleBench,
  store: async () => (await import("./store.ts")).storeBench,
  crowd: async () => (await import("./crowd.ts")).crowdBench,
  nodes: async () => (await import("./nodes.ts")).nodesBench,
  policy: async () => (await import("./policy.ts")).policyBench,
  proxy: async () => (await import("./proxy.ts")).proxyBench,
  ingress: async () => (await import("./ingress.ts")).ingressBench,
  dns: async () => (await import("./dns.ts")).dnsBench,
  scheduler: async () => (await import("./scheduler.ts")).schedulerBench,
  security: async () => (await import("./security.ts")).securityBench,
};

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** Runs `measure` as often as asked, after one run that only warms up. */
export async function repeat(runs: number, measure: () => Promise<number>): Promise<number[]> {
  await measure();
  const results: number[] = [];
  for (let i = 0; i < runs; i++) results.push(await measure());
  return results;
}

function withinBudget(value: number, budget: string): boolean {
  const limit = Number(budget.slice(1).trim());
  return budget.startsWith("≥") ? value >= limit : value <= limit;
}

function print(measures: readonly Measure[]): void {
  console.table(
    measures.map(({ name, unit, runs, budget }) => {
      const value = median(runs);
      return {
        measure: name,
        median: Number(value.toPrecision(4)),
        unit,
        lowest: Number(Math.min(...runs).toPrecision(4)),
        highest: Number(Math.max(...runs).toPrecision(4)),
        runs: runs.length,
        budget: budget ?? "",
        verdict: budget === undefined ? "" : withinBudget(value, budget) ? "pass" : "MISS",
      };
    }),
  );
}

async function main(names: readonly string[]): Promise<number> {
  const unknown = names.find((name) => !(name in benches));
  if (names.length === 0 || unknown !== undefined) {
    console.error(`usage: bun run bench ${Object.keys(benches).join("|")}`);
    return 2;
  }
  for (const name of names) {
    const bench = await benches[name]?.();
    if (bench === undefined) continue;
    const before = loadavg();
    const measures = await bench.run();
    print(measures);
    const at = new Date().toISOString();
    // A loaded machine makes latencies worse, not processor times: who reads this must know.
    const load = { before, after: loadavg() };
    const machine = { cpus: cpus().length, model: cpus()[0]?.model, kernel: release(), load };
    const dir = join(import.meta.dir, "results");
    await mkdir(dir, { recursive: true });
    const file = join(dir, `${name}-${at.replaceAll(":", "-")}.json`);
    const rows = measures.map((row) => {
      const value = median(row.runs);
      const pass = row.budget === undefined ? undefined : withinBudget(value, row.budget);
      return { ...row, median: value, ...(pass === undefined ? {} : { pass }) };
    });
    const text = JSON.stringify({ bench: name, at, machine, bun: Bun.version, rows }, null, 2);
    await Bun.write(file, `${text}\n`);
    console.log(`load ${before[0]?.toFixed(1)} to ${loadavg()[0]?.toFixed(1)}; written to ${file}`);
  }
  return 0;
}

if (import.meta.main) process.exit(await main(process.argv.slice(2)));
