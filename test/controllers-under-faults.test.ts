/**
 * Controllers under seeded trouble: writes fail at random, pods vanish, sizes and templates change.
 * What must never happen is checked after each step, what must be reached in the end.
 */
import { expect, test } from "bun:test";
import {
  daemonSets,
  deployments,
  jobs,
  nodes,
  pods,
  replicaSets,
  statefulSets,
} from "../src/client/resources.ts";
import { createDaemonSetController } from "../src/controllers/daemon-set/daemon-set.ts";
import { createDeploymentController } from "../src/controllers/deployment/deployment.ts";
import { createGarbageCollector } from "../src/controllers/garbage/collector.ts";
import { createJobController } from "../src/controllers/job/job.ts";
import { createReplicaSetController } from "../src/controllers/replica-set/replica-set.ts";
import { createStatefulSetController } from "../src/controllers/stateful-set/stateful-set.ts";
import { World } from "../src/controllers/testing/world.ts";
import type { Pod } from "../src/gen/core-v1.ts";
import { ApiError } from "../src/lib/api-error.ts";
import type { DeepReadonly } from "../src/lib/deep-readonly.ts";

/** K3_SEEDS runs more of them. */
const seeds = Number(process.env.K3_SEEDS ?? 25);
const steps = 30;
const surge = 2;
const completions = 5;
const nodeNames = ["n1", "n2", "n3"];

/** Mulberry32: small, and the same everywhere. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

const template = (app: string) => ({
  metadata: { labels: { app } },
  spec: { containers: [{ name: "c", image: "v:0" }] },
});
const inDefault = (name: string) => ({ name, namespace: "default" });

async function startWorld(): Promise<World> {
  const world = new World();
  const collectable = [pods, replicaSets, deployments, statefulSets, daemonSets, jobs];
  world.run(
    createDeploymentController(world.context),
    createReplicaSetController(world.context),
    createStatefulSetController(world.context),
    createDaemonSetController(world.context),
    createJobController(world.context),
    createGarbageCollector(world.context, { collectable }),
  );
  const { client } = world;
  for (const name of nodeNames) {
    await client.create(nodes, { apiVersion: "v1", kind: "Node", metadata: { name }, spec: {} });
  }
  const apps = "apps/v1";
  await client.create(deployments, {
    apiVersion: apps,
    kind: "Deployment",
    metadata: inDefault("web"),
    spec: {
      replicas: 4,
      strategy: { rollingUpdate: { maxSurge: surge, maxUnavailable: 1 } },
      selector: { matchLabels: { app: "web" } },
      template: template("web"),
    },
  });
  await client.create(statefulSets, {
    apiVersion: apps,
    kind: "StatefulSet",
    metadata: inDefault("db"),
    spec: {
      replicas: 3,
      serviceName: "db",
      selector: { matchLabels: { app: "db" } },
      template: template("db"),
    },
  });
  await client.create(daemonSets, {
    apiVersion: apps,
    kind: "DaemonSet",
    metadata: inDefault("agent"),
    spec: { selector: { matchLabels: { app: "agent" } }, template: template("agent") },
  });
  await client.create(jobs, {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: inDefault("sum"),
    spec: {
      completions,
      parallelism: 2,
      backoffLimit: 1000,
      selector: { matchLabels: { app: "sum" } },
      template: template("sum"),
    },
  });
  return world;
}

/** A kubelet of few words: pods come up, end or stop when the seed says so. */
async function live(world: World, random: (below: number) => number, always: boolean) {
  for (const pod of world.list(pods)) {
    const { name = "", namespace = "" } = pod.metadata;
    if (!always && random(3) > 0) continue;
    if (pod.metadata.deletionTimestamp !== undefined) {
      await world.client.delete(pods, namespace, name, { gracePeriodSeconds: 0 }).catch(() => {});
    } else if ((pod.status?.phase ?? "Pending") === "Pending") {
      await world.change(pods, `${namespace}/${name}`, (copy) => come(copy, world.nowMs));
    } else if (pod.metadata.labels?.app === "sum" && pod.status?.phase === "Running") {
      const phase = random(4) === 0 ? "Failed" : "Succeeded";
      succeeded.add(phase === "Succeeded" ? (pod.metadata.uid ?? "") : "");
      await world.change(pods, `${namespace}/${name}`, (copy) => {
        copy.status = { ...copy.status, phase };
      });
    }
  }
}
const succeeded = new Set<string>();

/** The node that a daemon pod is for. */
function namedNode({ spec }: DeepReadonly<Pod>): string {
  const required = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return required?.nodeSelectorTerms[0]?.matchFields?.[0]?.values?.[0] ?? "";
}

function come(copy: Pod, nowMs: number): void {
  const lastTransitionTime = new Date(nowMs).toISOString();
  copy.spec.nodeName ??= namedNode(copy) || (nodeNames[0] ?? "");
  copy.status = {
    phase: "Running",
    startTime: lastTransitionTime,
    conditions: [{ type: "Ready", status: "True", lastTransitionTime }],
  };
}

async function disturb(world: World, random: (below: number) => number): Promise<void> {
  const image = (copy: { spec: { template: { spec: { containers: { image?: string }[] } } } }) => {
    const [container] = copy.spec.template.spec.containers;
    if (container) container.image = `v:${random(3)}`;
  };
  const all = world.list(pods);
  const victim = all[random(Math.max(1, all.length))];
  switch (random(6)) {
    case 0:
      await world.change(deployments, "default/web", (copy) => {
        copy.spec.replicas = random(6);
      });
      return;
    case 1:
      await world.change(deployments, "default/web", image);
      return;
    case 2:
      await world.change(statefulSets, "default/db", (copy) => {
        copy.spec.replicas = random(4);
        image(copy);
      });
      return;
    case 3:
      await world.change(daemonSets, "default/agent", image);
      return;
    case 4:
      if (victim === undefined || victim.metadata.labels?.app === "sum") return;
      await world.client.delete(pods, "default", victim.metadata.name ?? "").catch(() => {});
      return;
    default:
      return;
  }
}

const of = (world: World, app: string) =>
  world.list(pods).filter(({ metadata }) => metadata.labels?.app === app);
const isActive = ({ metadata, status }: DeepReadonly<Pod>) =>
  metadata.deletionTimestamp === undefined &&
  status?.phase !== "Succeeded" &&
  status?.phase !== "Failed";

/** What may never be seen, whatever failed. */
function check(world: World, largest: number): void {
  const web = of(world, "web").filter(isActive);
  expect(web.length).toBeLessThanOrEqual(largest + surge);
  const job = world.get(jobs, "default/sum");
  const { succeeded: counted = 0, uncountedTerminatedPods } = job.status ?? {};
  const noted = uncountedTerminatedPods?.succeeded?.length ?? 0;
  expect(counted + noted).toBeLessThanOrEqual(succeeded.size);
  const running = of(world, "sum").filter(isActive);
  expect(running.length).toBeLessThanOrEqual(2);
  const perNode = new Map<string, number>();
  for (const pod of of(world, "agent").filter(isActive)) {
    const node = namedNode(pod);
    perNode.set(node, (perNode.get(node) ?? 0) + 1);
  }
  expect(Math.max(0, ...perNode.values())).toBeLessThanOrEqual(1);
}

/** What must be reached once nothing fails any more. */
function checkEnd(world: World): void {
  const { spec, status } = world.get(deployments, "default/web");
  const image = spec.template.spec.containers[0]?.image;
  const web = of(world, "web").filter(isActive);
  expect(web.map((pod) => pod.spec.containers[0]?.image)).toEqual(
    Array.from({ length: spec.replicas ?? 0 }, () => image),
  );
  expect(status?.observedGeneration).toBe(
    world.get(deployments, "default/web").metadata.generation,
  );
  const set = world.get(statefulSets, "default/db");
  expect(of(world, "db").map(({ metadata }) => metadata.name)).toEqual(
    Array.from({ length: set.spec.replicas ?? 0 }, (_, ordinal) => `db-${ordinal}`),
  );
  const stateful = set.spec.template.spec.containers[0]?.image;
  expect(of(world, "db").every((pod) => pod.spec.containers[0]?.image === stateful)).toBe(true);
  expect(of(world, "agent").filter(isActive)).toHaveLength(nodeNames.length);
  const job = world.get(jobs, "default/sum").status;
  expect(job?.succeeded).toBe(completions);
  expect(job?.conditions?.at(-1)).toMatchObject({ type: "Complete", status: "True" });
}

function unmetPromise(world: World): unknown {
  try {
    checkEnd(world);
    return undefined;
  } catch (error) {
    return error;
  }
}

async function run(seed: number): Promise<void> {
  const random = randomOf(seed);
  succeeded.clear();
  const world = await startWorld();
  let isFaulty = true;
  const reasons = ["Conflict", "ServerTimeout", "InternalError"] as const;
  let isController = true;
  world.api.refuse = () => {
    if (!isFaulty || !isController || random(5) > 0) return undefined;
    return new ApiError(reasons[random(reasons.length)] ?? "Conflict", "on purpose");
  };
  const quietly = async (work: () => Promise<void>) => {
    isController = false;
    await work();
    isController = true;
  };
  let largest = 6;
  for (let step = 0; step < steps; step++) {
    await quietly(() => disturb(world, random));
    await quietly(() => live(world, random, false));
    await world.advance(1_000);
    largest = Math.max(largest, world.get(deployments, "default/web").spec.replicas ?? 0);
    check(world, largest);
  }
  isFaulty = false;
  let unmet: unknown;
  for (let round = 0; round < 60; round++) {
    // A key that failed for long waits for its next try, as it would behind a real queue.
    world.wakeAll();
    await quietly(() => live(world, random, true));
    await world.advance(60_000);
    unmet = unmetPromise(world);
    if (unmet === undefined) return;
  }
  throw unmet;
}

test.each(Array.from({ length: seeds }, (_, seed) => seed))(
  "controllers keep their promises under the faults of seed %i",
  (seed) => run(seed),
  60_000,
);
