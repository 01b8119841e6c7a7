import { expect, test } from "bun:test";
import { deployments, pods, replicaSets } from "../../client/resources.ts";
import type { Deployment } from "../../gen/apps-v1.ts";
import { createReplicaSetController } from "../replica-set/replica-set.ts";
import { World } from "../testing/world.ts";
import { createDeploymentController } from "./deployment.ts";
import { fenceposts, newReplicaCount, nextRevision, scaledValue } from "./replica-sets.ts";

function web(replicas: number, image = "web:1"): Deployment {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "web", namespace: "default", labels: { app: "web" } },
    spec: {
      replicas,
      selector: { matchLabels: { app: "web" } },
      progressDeadlineSeconds: 600,
      revisionHistoryLimit: 2,
      strategy: {
        type: "RollingUpdate",
        rollingUpdate: { maxSurge: "25%", maxUnavailable: "25%" },
      },
      template: {
        metadata: { labels: { app: "web" } },
        spec: { containers: [{ name: "web", image }] },
      },
    },
  };
}

async function makeReady(world: World, only: (image: string) => boolean = () => true) {
  for (const pod of world.list(pods)) {
    if (pod.metadata.deletionTimestamp !== undefined || pod.status?.phase === "Running") continue;
    if (!only(pod.spec.containers[0]?.image ?? "")) continue;
    await world.change(pods, `default/${pod.metadata.name}`, (copy) => {
      copy.status = {
        phase: "Running",
        conditions: [{ type: "Ready", status: "True", lastTransitionTime: "2026-01-01T00:00:00Z" }],
      };
    });
  }
  await world.settle();
}

/** Lets pods become ready until nothing changes any more. */
async function rollOut(world: World): Promise<void> {
  for (let round = 0; round < 20; round++) await makeReady(world);
}

async function start(deployment: Deployment): Promise<World> {
  const world = new World();
  world.run(createDeploymentController(world.context), createReplicaSetController(world.context));
  await world.client.create(deployments, deployment);
  await world.settle();
  return world;
}

const imageSizes = (world: World) =>
  Object.fromEntries(
    world
      .list(replicaSets)
      .map((rs) => [rs.spec.template?.spec.containers[0]?.image, rs.spec.replicas]),
  );

test("the controller makes one ReplicaSet and its pods", async () => {
  const world = await start(web(3));
  expect(world.failures).toEqual([]);
  const [rs] = world.list(replicaSets);
  expect(rs?.metadata.name).toMatch(/^web-[bcdfghjklmnpqrstvwxz2456789]+$/);
  expect(rs?.metadata.annotations).toEqual({
    "deployment.kubernetes.io/revision": "1",
    "deployment.kubernetes.io/desired-replicas": "3",
    "deployment.kubernetes.io/max-replicas": "4",
  });
  expect(world.list(pods)).toHaveLength(3);
  expect(world.list(pods)[0]?.metadata.labels?.["pod-template-hash"]).toBe(
    rs?.metadata.labels?.["pod-template-hash"] as string,
  );
  expect(world.messages("ScalingReplicaSet")).toEqual([
    `Scaled up replica set ${rs?.metadata.name} from 0 to 3`,
  ]);
  await rollOut(world);
  const web1 = world.get(deployments, "default/web");
  expect(web1.metadata.annotations?.["deployment.kubernetes.io/revision"]).toBe("1");
  expect(web1.status).toMatchObject({
    observedGeneration: 1,
    replicas: 3,
    updatedReplicas: 3,
    readyReplicas: 3,
    availableReplicas: 3,
  });
  expect(web1.status?.unavailableReplicas).toBeUndefined();
  const reasons = web1.status?.conditions?.map(({ type, status, reason }) => [
    type,
    status,
    reason,
  ]);
  expect(reasons).toEqual([
    ["Available", "True", "MinimumReplicasAvailable"],
    ["Progressing", "True", "NewReplicaSetAvailable"],
  ]);
});

test("a new template rolls out within the fenceposts, and undo reuses the old set", async () => {
  const world = await start(web(4));
  await rollOut(world);
  await world.change(deployments, "default/web", (copy) => {
    const [container] = copy.spec.template.spec.containers;
    if (container) container.image = "web:2";
  });
  await world.settle();
  expect(imageSizes(world)).toEqual({ "web:1": 3, "web:2": 2 });
  await rollOut(world);
  expect(imageSizes(world)).toEqual({ "web:1": 0, "web:2": 4 });
  expect(world.list(pods)).toHaveLength(4);
  await world.change(deployments, "default/web", (copy) => {
    const [container] = copy.spec.template.spec.containers;
    if (container) container.image = "web:1";
  });
  await world.settle();
  await rollOut(world);
  expect(imageSizes(world)).toEqual({ "web:1": 4, "web:2": 0 });
  const back = world.list(replicaSets).find((rs) => rs.spec.replicas === 4);
  expect(back?.metadata.annotations).toMatchObject({
    "deployment.kubernetes.io/revision": "3",
    "deployment.kubernetes.io/revision-history": "1",
  });
  expect(world.failures).toEqual([]);
});

test("Recreate waits until the last old pod is gone", async () => {
  const recreate = web(2);
  recreate.spec.strategy = { type: "Recreate" };
  const world = await start(recreate);
  for (const pod of world.list(pods)) {
    await world.change(pods, `default/${pod.metadata.name}`, (copy) => {
      copy.spec.nodeName = "node-1";
    });
  }
  await rollOut(world);
  await world.change(deployments, "default/web", (copy) => {
    const [container] = copy.spec.template.spec.containers;
    if (container) container.image = "web:2";
  });
  await world.settle();
  expect(imageSizes(world)).toEqual({ "web:1": 0 });
  for (const pod of world.list(pods)) {
    await world.client.delete(pods, "default", pod.metadata.name ?? "", { gracePeriodSeconds: 0 });
  }
  await world.settle();
  expect(imageSizes(world)).toEqual({ "web:1": 0, "web:2": 2 });
});

test("a paused Deployment scales but does not roll", async () => {
  const world = await start(web(2));
  await rollOut(world);
  await world.change(deployments, "default/web", (copy) => {
    copy.spec.paused = true;
    copy.spec.replicas = 3;
    const [container] = copy.spec.template.spec.containers;
    if (container) container.image = "web:2";
  });
  await world.settle();
  expect(imageSizes(world)).toEqual({ "web:1": 3 });
  const { status } = world.get(deployments, "default/web");
  expect(status?.conditions?.find(({ type }) => type === "Progressing")).toMatchObject({
    status: "Unknown",
    reason: "DeploymentPaused",
    message: "Deployment is paused",
  });
});

test("scaling in the middle of a rollout is shared in proportion", async () => {
  const world = await start(web(10));
  await rollOut(world);
  await world.change(deployments, "default/web", (copy) => {
    copy.spec.strategy = {
      type: "RollingUpdate",
      rollingUpdate: { maxSurge: 3, maxUnavailable: 2 },
    };
    const [container] = copy.spec.template.spec.containers;
    if (container) container.image = "web:2";
  });
  await world.settle();
  expect(imageSizes(world)).toEqual({ "web:1": 8, "web:2": 5 });
  await world.change(deployments, "default/web", (copy) => {
    copy.spec.replicas = 30;
  });
  await world.settle();
  expect(imageSizes(world)).toEqual({ "web:1": 20, "web:2": 13 });
});

test("the history limit drops the oldest sets", async () => {
  const world = await start(web(1));
  for (const version of [2, 3, 4, 5]) {
    await rollOut(world);
    await world.change(deployments, "default/web", (copy) => {
      const [container] = copy.spec.template.spec.containers;
      if (container) container.image = `web:${version}`;
    });
    await world.settle();
  }
  await rollOut(world);
  expect(Object.keys(imageSizes(world)).sort()).toEqual(["web:3", "web:4", "web:5"]);
});

test("a rollout that does not move in time is told to have failed", async () => {
  const world = await start(web(1));
  await world.advance(602_000);
  const { status } = world.get(deployments, "default/web");
  expect(status?.conditions?.find(({ type }) => type === "Progressing")).toMatchObject({
    status: "False",
    reason: "ProgressDeadlineExceeded",
    message: expect.stringMatching(/^ReplicaSet "web-.*" has timed out progressing\.$/),
  });
});

test("fenceposts() rounds surge up and unavailability down, never to a standstill", () => {
  expect(scaledValue("25%", 10, "up")).toBe(3);
  expect(scaledValue("25%", 10, "down")).toBe(2);
  expect(fenceposts(web(1))).toEqual({ maxSurge: 1, maxUnavailable: 0 });
  const stuck = web(5);
  stuck.spec.strategy = { rollingUpdate: { maxSurge: "1%", maxUnavailable: 0 } };
  expect(fenceposts(stuck)).toEqual({ maxSurge: 1, maxUnavailable: 0 });
  stuck.spec.strategy = { rollingUpdate: { maxSurge: 0, maxUnavailable: "1%" } };
  expect(fenceposts(stuck)).toEqual({ maxSurge: 0, maxUnavailable: 1 });
  expect(newReplicaCount(web(4), [], 0)).toBe(4);
});

test("nextRevision() counts exactly beyond 2^53", () => {
  const set = (revision: string) => ({
    metadata: { annotations: { "deployment.kubernetes.io/revision": revision } },
  });
  const sets = [set("3546343826724305832"), set("7"), set("none")] as never;
  expect(nextRevision(sets)).toBe(3546343826724305833n);
  expect(nextRevision([])).toBe(1n);
});
