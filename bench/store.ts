/** The SQLite store alone: durable writes, reads, watch, compaction. */
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRuntime } from "../src/runtime/real.ts";
import { openSqliteStore } from "../src/store/sqlite.ts";
import { prefixRange, type Store } from "../src/store/store.ts";
import { type Bench, type Measure, repeat } from "./main.ts";

const runtime = createRuntime({ logLevel: "error" });
const value = new Uint8Array(1500).fill(120);
const runs = 5;
const range = prefixRange("/registry/");

export const storeBench: Bench = {
  name: "store",
  run: async () => {
    const dir = await mkdtemp(join(tmpdir(), "k3-bench-store-"));
    try {
      return await measureAll(dir);
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  },
};

async function measureAll(dir: string): Promise<readonly Measure[]> {
  const path = join(dir, "state.db");
  const store = await openSqliteStore(path, runtime, { compactEveryMs: 0 });
  let round = 0;
  const p99: number[] = [];
  const rate = (writers: number, each: number) => () => creates(store, round++, writers, each, []);
  const many = async (): Promise<number> => {
    const latencies: number[] = [];
    const result = await creates(store, round++, 64, 400, latencies);
    p99.push(percentile(latencies, 0.99));
    return result;
  };
  const measures: Measure[] = [
    {
      name: "create, 1 writer",
      unit: "1/s",
      budget: "≥ 3000",
      runs: await repeat(runs, rate(1, 3000)),
    },
    {
      name: "create, 64 writers",
      unit: "1/s",
      budget: "≥ 30000",
      runs: await repeat(runs, many),
    },
    {
      name: "create, 64 writers, p99",
      unit: "ms",
      budget: "≤ 5",
      runs: p99.slice(1),
    },
    {
      name: "update, 64 writers",
      unit: "1/s",
      runs: await repeat(runs, () => updates(store, 200)),
    },
    { name: "get", unit: "1/s", runs: await repeat(runs, () => gets(store, 20_000)) },
    { name: "list of 5000", unit: "ms", runs: await repeat(runs, () => lists(store, 5000)) },
    {
      name: "watch, 10000 changes of history",
      unit: "ms",
      runs: await repeat(runs, () => watches(store)),
    },
  ];
  const revision = await store.revision();
  measures.push({
    name: `compact ${revision} revisions`,
    unit: "ms",
    runs: [await compacts(store)],
  });
  await store[Symbol.asyncDispose]();
  measures.push({ name: "reopen", unit: "ms", runs: await repeat(runs, () => reopens(path)) });
  measures.push({ name: "file", unit: "MB", runs: [(await stat(path)).size / 1e6] });
  return measures;
}

async function creates(
  store: Store,
  round: number,
  writers: number,
  each: number,
  latencies: number[],
): Promise<number> {
  const start = performance.now();
  const writer = async (name: number): Promise<void> => {
    for (let n = 0; n < each; n++) {
      const asked = performance.now();
      await store.put(`/registry/pods/r${round}/w${name}-${n}`, value, 0);
      latencies.push(performance.now() - asked);
    }
  };
  await Promise.all(Array.from({ length: writers }, (_, name) => writer(name)));
  return perSecond(writers * each, start);
}

async function updates(store: Store, each: number): Promise<number> {
  const entries = (await store.list(range, { limit: 64 })).entries;
  const start = performance.now();
  const writer = async (key: string, from: number): Promise<void> => {
    let revision = from;
    for (let n = 0; n < each; n++) {
      const result = await store.put(key, value, revision);
      if (result.ok) revision = result.revision;
    }
  };
  await Promise.all(entries.map(({ key, revision }) => writer(key, revision)));
  return perSecond(entries.length * each, start);
}

async function gets(store: Store, count: number): Promise<number> {
  const keys = (await store.list(range, { limit: 1000 })).entries.map(({ key }) => key);
  const start = performance.now();
  for (let i = 0; i < count; i++) await store.get(keys[i % keys.length] ?? "");
  return perSecond(count, start);
}

async function lists(store: Store, limit: number): Promise<number> {
  const start = performance.now();
  await store.list(range, { limit });
  return performance.now() - start;
}

async function watches(store: Store): Promise<number> {
  const start = performance.now();
  let seen = 0;
  for await (const batch of store.watch(range, 0, new AbortController().signal)) {
    seen += batch.length;
    if (seen >= 10_000) break;
  }
  return performance.now() - start;
}

async function compacts(store: Store): Promise<number> {
  const start = performance.now();
  await store.compact(await store.revision());
  return performance.now() - start;
}

async function reopens(path: string): Promise<number> {
  const start = performance.now();
  await using store = await openSqliteStore(path, runtime, { compactEveryMs: 0 });
  await store.revision();
  return performance.now() - start;
}

function perSecond(count: number, start: number): number {
  return (count / (performance.now() - start)) * 1000;
}

function percentile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length * part)] ?? Number.NaN;
}
