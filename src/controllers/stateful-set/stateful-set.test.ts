import { expect, test } from "bun:test";
import { persistentVolumeClaims, pods, statefulSets } from "../../client/resources.ts";
import type { StatefulSet } from "../../gen/apps-v1.ts";
import { World } from "../testing/world.ts";
import { createStatefulSetController } from "./stateful-set.ts";

async function start(spec: Partial<StatefulSet["spec"]> = {}) {
  const world = new World();
  world.run(createStatefulSetController(world.context));
  await world.client.create(statefulSets, {
    apiVersion: "apps/v1",
    kind: "StatefulSet",
    metadata: { name: "db", namespace: "default" },
    spec: {
      replicas: 2,
      serviceName: "db",
      selector: { matchLabels: { app: "db" } },
      volumeClaimTemplates: [
        {
          apiVersion: "v1",
          kind: "PersistentVolumeClaim",
          metadata: { name: "data" },
          spec: { accessModes: ["ReadWriteOnce"] },
        },
      ],
      template: {
        metadata: { labels: { app: "db" } },
        spec: { containers: [{ name: "c", image: "db:1" }] },
      },
      ...spec,
    },
  });
  await world.settle();
  return world;
}

async function makeReady(world: World): Promise<void> {
  for (const pod of world.list(pods)) {
    if (pod.status?.phase === "Running") continue;
    await world.change(pods, `default/${pod.metadata.name}`, (copy) => {
      copy.status = { phase: "Running", conditions: [{ type: "Ready", status: "True" }] };
    });
  }
  await world.settle();
}

const names = (world: World) => world.list(pods).map(({ metadata }) => metadata.name);
const images = (world: World) => world.list(pods).map(({ spec }) => spec.containers[0]?.image);

test("pods come in order, each with its claim, and go in reverse", async () => {
  const world = await start();
  expect(names(world)).toEqual(["db-0"]);
  await makeReady(world);
  expect(names(world)).toEqual(["db-0", "db-1"]);
  await makeReady(world);
  expect(world.list(persistentVolumeClaims).map(({ metadata }) => metadata.name)).toEqual([
    "data-db-0",
    "data-db-1",
  ]);
  const { status } = world.get(statefulSets, "default/db");
  expect(status).toMatchObject({ replicas: 2, readyReplicas: 2, currentReplicas: 2 });
  expect(status?.currentRevision).toBe(status?.updateRevision as string);
  await world.change(statefulSets, "default/db", (copy) => {
    copy.spec.replicas = 1;
  });
  await world.settle();
  expect(names(world)).toEqual(["db-0"]);
  expect(world.failures).toEqual([]);
});

test("a new template replaces the highest ordinal first and waits for it", async () => {
  const world = await start();
  await makeReady(world);
  await makeReady(world);
  await world.change(statefulSets, "default/db", (copy) => {
    const [container] = copy.spec.template.spec.containers;
    if (container) container.image = "db:2";
  });
  await world.settle();
  expect(images(world)).toEqual(["db:1", "db:2"]);
  await makeReady(world);
  expect(images(world)).toEqual(["db:2", "db:2"]);
});

async function setImage(world: World, image: string): Promise<void> {
  await world.change(statefulSets, "default/db", (copy) => {
    const [container] = copy.spec.template.spec.containers;
    if (container) container.image = image;
  });
  await world.settle();
}

test("a parallel set makes and removes all at once, from its first ordinal on", async () => {
  const world = await start({
    replicas: 3,
    podManagementPolicy: "Parallel",
    ordinals: { start: 5 },
  });
  expect(names(world)).toEqual(["db-5", "db-6", "db-7"]);
  expect(world.get(pods, "default/db-6").metadata.labels).toMatchObject({
    "statefulset.kubernetes.io/pod-name": "db-6",
    "apps.kubernetes.io/pod-index": "6",
  });
  await world.change(statefulSets, "default/db", (copy) => {
    copy.spec.replicas = 0;
  });
  await world.settle();
  expect(names(world)).toEqual([]);
});

test("a partition keeps lower pods on the former template, even when they come again", async () => {
  const world = await start({
    replicas: 3,
    podManagementPolicy: "Parallel",
    updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: 2 } },
  });
  await makeReady(world);
  await setImage(world, "db:2");
  await makeReady(world);
  expect(images(world)).toEqual(["db:1", "db:1", "db:2"]);
  await world.client.delete(pods, "default", "db-0", { gracePeriodSeconds: 0 });
  await world.client.delete(pods, "default", "db-2", { gracePeriodSeconds: 0 });
  await world.settle();
  await makeReady(world);
  expect(images(world)).toEqual(["db:1", "db:1", "db:2"]);
  const { status } = world.get(statefulSets, "default/db");
  expect(status).toMatchObject({ currentReplicas: 2, updatedReplicas: 1 });
  await world.change(statefulSets, "default/db", (copy) => {
    copy.spec.updateStrategy = { type: "RollingUpdate", rollingUpdate: { partition: 0 } };
  });
  await world.settle();
  await makeReady(world);
  await makeReady(world);
  expect(images(world)).toEqual(["db:2", "db:2", "db:2"]);
});

test("maxUnavailable lets several pods be replaced at once, OnDelete none", async () => {
  const world = await start({
    replicas: 4,
    podManagementPolicy: "Parallel",
    updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 2 } },
  });
  await makeReady(world);
  await setImage(world, "db:2");
  expect(images(world)).toEqual(["db:1", "db:1", "db:2", "db:2"]);
  await makeReady(world);
  expect(images(world)).toEqual(["db:2", "db:2", "db:2", "db:2"]);
  const onDelete = await start({ updateStrategy: { type: "OnDelete" } });
  await makeReady(onDelete);
  await makeReady(onDelete);
  await setImage(onDelete, "db:2");
  expect(images(onDelete)).toEqual(["db:1", "db:1"]);
});

test("minReadySeconds holds the next pod back", async () => {
  const world = await start({ minReadySeconds: 30 });
  const lastTransitionTime = "2026-01-01T00:00:00Z";
  await world.change(pods, "default/db-0", (copy) => {
    copy.status = {
      phase: "Running",
      conditions: [{ type: "Ready", status: "True", lastTransitionTime }],
    };
  });
  await world.advance(29_000);
  expect(names(world)).toEqual(["db-0"]);
  await world.advance(2_000);
  expect(names(world)).toEqual(["db-0", "db-1"]);
});

test("a pod that ended comes again, and scaling down waits for the well", async () => {
  const world = await start();
  await makeReady(world);
  await makeReady(world);
  await world.change(pods, "default/db-0", (copy) => {
    copy.status = { phase: "Failed" };
  });
  await world.settle();
  expect(world.get(pods, "default/db-0").status?.phase).toBe("Pending");
  expect(world.messages("RecreatingFailedPod")).toEqual([
    "StatefulSet default/db is recreating failed Pod db-0",
  ]);
  await world.change(statefulSets, "default/db", (copy) => {
    copy.spec.replicas = 1;
  });
  await world.settle();
  expect(names(world)).toEqual(["db-0", "db-1"]);
  await makeReady(world);
  expect(names(world)).toEqual(["db-0"]);
});

const owners = (world: World, name: string) =>
  world
    .get(persistentVolumeClaims, `default/${name}`)
    .metadata.ownerReferences?.map((owner) => owner.kind) ?? [];

test("retention hands claims to the set, or to the pod that scaling removes", async () => {
  const world = await start({
    podManagementPolicy: "Parallel",
    persistentVolumeClaimRetentionPolicy: { whenDeleted: "Delete", whenScaled: "Delete" },
  });
  await makeReady(world);
  expect(owners(world, "data-db-1")).toEqual(["StatefulSet"]);
  await world.change(pods, "default/db-1", (copy) => {
    copy.spec.nodeName = "n1";
  });
  await world.change(statefulSets, "default/db", (copy) => {
    copy.spec.replicas = 1;
  });
  await world.settle();
  expect(owners(world, "data-db-1")).toEqual(["Pod"]);
  expect(owners(world, "data-db-0")).toEqual(["StatefulSet"]);
  await world.change(statefulSets, "default/db", (copy) => {
    copy.spec.persistentVolumeClaimRetentionPolicy = {
      whenDeleted: "Retain",
      whenScaled: "Retain",
    };
  });
  await world.settle();
  expect(owners(world, "data-db-0")).toEqual([]);
});
