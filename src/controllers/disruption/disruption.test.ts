import { expect, test } from "bun:test";
import { deployments, podDisruptionBudgets, pods, replicaSets } from "../../client/resources.ts";
import type { PodDisruptionBudget } from "../../gen/policy-v1.ts";
import { createDeploymentController } from "../deployment/deployment.ts";
import { createReplicaSetController } from "../replica-set/replica-set.ts";
import { World } from "../testing/world.ts";
import { createDisruptionController, createStaleDisruptionController } from "./disruption.ts";

const selector = { matchLabels: { app: "web" } };

async function start(spec: Partial<PodDisruptionBudget["spec"]>, replicas = 4): Promise<World> {
  const world = new World();
  world.run(
    createDeploymentController(world.context),
    createReplicaSetController(world.context),
    createDisruptionController(world.context, {
      namespacedResources: () => [deployments, replicaSets, pods],
    }),
    createStaleDisruptionController(world.context),
  );
  await world.client.create(deployments, {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "web", namespace: "default" },
    spec: {
      replicas,
      selector,
      template: {
        metadata: { labels: { app: "web" } },
        spec: { containers: [{ name: "c", image: "i" }] },
      },
    },
  });
  await world.client.create(podDisruptionBudgets, {
    apiVersion: "policy/v1",
    kind: "PodDisruptionBudget",
    metadata: { name: "web", namespace: "default" },
    spec: { selector, ...spec },
  });
  await world.settle();
  return world;
}

async function makeReady(world: World, count: number): Promise<void> {
  for (const pod of world.list(pods).slice(0, count)) {
    await world.change(pods, `default/${pod.metadata.name}`, (copy) => {
      copy.status = { phase: "Running", conditions: [{ type: "Ready", status: "True" }] };
    });
  }
  await world.settle();
}

const status = (world: World) => world.get(podDisruptionBudgets, "default/web").status;

test("minAvailable counts ready pods, a percentage is of what the Deployment wants", async () => {
  const world = await start({ minAvailable: "50%" });
  await makeReady(world, 3);
  expect(status(world)).toMatchObject({
    currentHealthy: 3,
    desiredHealthy: 2,
    expectedPods: 4,
    disruptionsAllowed: 1,
    observedGeneration: 1,
    conditions: [{ type: "DisruptionAllowed", status: "True", reason: "SufficientPods" }],
  });
  const fixed = await start({ minAvailable: 3 });
  await makeReady(fixed, 3);
  expect(status(fixed)).toMatchObject({
    desiredHealthy: 3,
    disruptionsAllowed: 0,
    conditions: [{ type: "DisruptionAllowed", status: "False", reason: "InsufficientPods" }],
  });
});

test("maxUnavailable leaves the rest; a granted eviction counts until it times out", async () => {
  const world = await start({ maxUnavailable: 1 });
  await makeReady(world, 4);
  expect(status(world)).toMatchObject({ desiredHealthy: 3, disruptionsAllowed: 1 });
  const [pod] = world.list(pods);
  await world.change(podDisruptionBudgets, "default/web", (copy) => {
    copy.status = {
      ...copy.status,
      currentHealthy: 4,
      desiredHealthy: 3,
      expectedPods: 4,
      disruptionsAllowed: 0,
      disruptedPods: { [pod?.metadata.name ?? ""]: "2026-01-01T00:00:00Z" },
    };
  });
  await world.settle();
  expect(status(world)).toMatchObject({ currentHealthy: 3, disruptionsAllowed: 0 });
  await world.advance(121_000);
  expect(status(world)).toMatchObject({ currentHealthy: 4, disruptionsAllowed: 1 });
  expect(status(world)?.disruptedPods).toBeUndefined();
  expect(world.messages("NotDeleted")).toEqual([
    "Pod was expected by PDB default/web to be deleted but it wasn't",
  ]);
});

test("a budget over pods of nobody says so", async () => {
  const world = await start({ maxUnavailable: 1 }, 0);
  await world.client.create(pods, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "alone", namespace: "default", labels: { app: "web" } },
    spec: { containers: [{ name: "c", image: "i" }] },
  });
  await world.client.create(pods, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: "odd",
      namespace: "default",
      labels: { app: "web" },
      ownerReferences: [
        { apiVersion: "x.io/v1", kind: "Odd", name: "o", uid: "u", controller: true },
      ],
    },
    spec: { containers: [{ name: "c", image: "i" }] },
  });
  await world.settle();
  expect(status(world)).toMatchObject({
    disruptionsAllowed: 0,
    conditions: [{ status: "False", reason: "SyncFailed" }],
  });
  await world.client.delete(pods, "default", "odd", { gracePeriodSeconds: 0 });
  await world.settle();
  expect(world.messages("UnmanagedPods")[0]).toContain("(selector: app=web) were found to be");
});

test("DisruptionTarget turns false when no disruption followed", async () => {
  const world = await start({ maxUnavailable: 1 });
  const [pod] = world.list(pods);
  const key = `default/${pod?.metadata.name}`;
  await world.change(pods, key, (copy) => {
    copy.status = {
      phase: "Running",
      conditions: [
        {
          type: "DisruptionTarget",
          status: "True",
          reason: "EvictionByEvictionAPI",
          lastTransitionTime: "2026-01-01T00:00:00Z",
        },
      ],
    };
  });
  await world.advance(60_000);
  expect(world.get(pods, key).status?.conditions?.[0]?.status).toBe("True");
  await world.advance(61_000);
  expect(world.get(pods, key).status?.conditions?.[0]?.status).toBe("False");
});
