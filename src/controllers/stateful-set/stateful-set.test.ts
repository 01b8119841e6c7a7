import { expect, test } from "bun:test";
import { persistentVolumeClaims, pods, statefulSets } from "../../client/resources.ts";
import { World } from "../testing/world.ts";
import { createStatefulSetController } from "./stateful-set.ts";

async function start() {
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
