/** One run: a cluster, a workload, trouble by the seed, then quiet, and the end of it all. */

import { ApiError } from "../../src/lib/api-error.ts";
import { SimCluster } from "./cluster.ts";
import { Invariants } from "./invariants.ts";
import { leftOver, nodesAway, unmet } from "./rest.ts";
import {
  type App,
  chooseApps,
  createApps,
  deleteApps,
  deleteNamespace,
  deleteSomePod,
  evictSomePod,
  forceAwaySomePod,
} from "./workload.ts";

const limits = {
  nodesMax: 3,
  stepsMin: 4,
  stepsMax: 10,
  /** Virtual time within which all must be as wanted once nothing goes wrong any more. */
  settleMs: 15 * 60 * 1000,
  lookEveryMs: 1000,
} as const;

export interface Outcome {
  /** What was broken, did not come about or was left behind; empty when all is well. */
  readonly problems: readonly string[];
  readonly trace: readonly string[];
  /** How long it took after the trouble until all was as wanted, and until all was gone. */
  readonly settledMs: number;
  readonly goneMs: number;
}

/** The size of the cluster, what runs in it and what happens to it are all by the seed. */
export async function simulate(seed: number): Promise<Outcome> {
  let now = (): number => 0;
  const isOneProcess = seed % 2 === 0;
  const checks = new Invariants(() => now(), isOneProcess);
  await using cluster = new SimCluster(seed, {
    nodeCount: 1 + (seed % limits.nodesMax),
    witnessOf: (node) => checks.witness(node),
    isOneProcess,
  });
  now = () => cluster.runtime.clock.monotonicMs();
  checks.follow(cluster.store);
  const apps = chooseApps(cluster.runtime.random);
  const { nodes } = cluster;
  const problems: string[] = [];
  let [settledMs, goneMs] = [0, 0];
  try {
    await inTime(cluster, cluster.start());
    await reached(cluster, "up", () => nodesAway(cluster.client, nodes));
    await inTime(cluster, createApps(cluster.client, apps));
    await trouble(cluster, apps, checks);
    cluster.chance.off();
    settledMs = await reached(cluster, "wanted", () => unmet(cluster.client, nodes, apps));
    const isWhole = cluster.runtime.random.int(2) === 0;
    const { client } = cluster;
    await inTime(cluster, isWhole ? deleteNamespace(client) : deleteApps(client, apps));
    goneMs = await reached(cluster, "gone", () => leftOver(client, nodes));
  } catch (error) {
    problems.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
  }
  problems.unshift(...checks.broken, ...cluster.failures);
  return { problems, trace: checks.trace, settledMs, goneMs };
}

/** Users change things while parts of the cluster fail; resolves when all parts are back. */
async function trouble(
  cluster: SimCluster,
  apps: readonly App[],
  checks: Invariants,
): Promise<void> {
  const { clock, random } = cluster.runtime;
  const under: Promise<void>[] = [];
  const steps = limits.stepsMin + random.int(limits.stepsMax - limits.stepsMin + 1);
  for (let step = 0; step < steps; step += 1) {
    await clock.advance(random.int(2) === 0 ? random.int(500) : random.int(4000));
    if (random.int(2) === 0) under.push(fault(cluster));
    else if (cluster.hasServer) await inTime(cluster, change(cluster, apps, checks));
  }
  await inTime(cluster, Promise.all(under));
}

async function change(
  cluster: SimCluster,
  apps: readonly App[],
  checks: Invariants,
): Promise<void> {
  const { client, runtime } = cluster;
  const { random } = runtime;
  const kind = random.int(6);
  try {
    if (kind === 0) await deleteSomePod(client, random);
    else if (kind === 1) await evictSomePod(client, random);
    else if (kind === 2) await forceAwaySomePod(client, random, (name) => checks.force(name));
    else await apps[random.int(apps.length)]?.change(client, random);
  } catch (error) {
    // The budget allows no eviction now, or somebody was faster.
    if (!(error instanceof ApiError)) throw error;
  }
}

async function fault(cluster: SimCluster): Promise<void> {
  const { random } = cluster.runtime;
  const node = cluster.nodes[random.int(cluster.nodes.length)];
  if (node === undefined) return;
  const shortMs = 100 + random.int(5000);
  const longMs = 1000 + random.int(60_000);
  const faults = [
    () => cluster.crashServer(shortMs),
    () => cluster.crashControllers(shortMs),
    () => cluster.crashScheduler(shortMs),
    () => cluster.crashKubelet(node, shortMs),
    () => cluster.crashKubelet(node, 0),
    () => cluster.partition(node, random.int(2) === 0 ? shortMs : longMs),
    () => node.cri.restart(shortMs),
    async () => node.cri.crashOne(),
    async () => cluster.cutWatches(),
    // Whoever watched before is told that the past is gone.
    async () => cluster.store.compact(await cluster.store.revision()),
  ];
  await faults[random.int(faults.length)]?.();
}

/** Moves time on until `work` is done. */
async function inTime<T>(cluster: SimCluster, work: Promise<T>): Promise<T> {
  let isOver = false;
  const over = (): void => {
    isOver = true;
  };
  work.then(over, over);
  await cluster.runtime.clock.until(() => isOver);
  return await work;
}

/** Moves time on until `look` finds nothing missing; answers how long that took. */
async function reached(
  cluster: SimCluster,
  what: string,
  look: () => Promise<readonly string[]>,
): Promise<number> {
  const { clock } = cluster.runtime;
  const fromMs = clock.monotonicMs();
  for (;;) {
    const missing = await inTime(cluster, look());
    const tookMs = clock.monotonicMs() - fromMs;
    if (missing.length === 0) return tookMs;
    if (tookMs > limits.settleMs) throw new Error(`not ${what}: ${missing.join("; ")}`);
    await clock.advance(limits.lookEveryMs);
  }
}
