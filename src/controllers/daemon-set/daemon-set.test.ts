import { expect, test } from "bun:test";
import { controllerRevisions, daemonSets, nodes, pods } from "../../client/resources.ts";
import { World } from "../testing/world.ts";
import { createDaemonSetController } from "./daemon-set.ts";
import { targetNode } from "./plan.ts";

async function start(names: readonly string[]) {
  const world = new World();
  world.run(createDaemonSetController(world.context));
  for (const name of names) {
    await world.client.create(nodes, {
      apiVersion: "v1",
      kind: "Node",
      metadata: { name },
      spec: {},
    });
  }
  await world.client.create(daemonSets, {
    apiVersion: "apps/v1",
    kind: "DaemonSet",
    metadata: { name: "agent", namespace: "default", annotations: { cause: "a test" } },
    spec: {
      selector: { matchLabels: { app: "agent" } },
      updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 1 } },
      template: {
        metadata: { labels: { app: "agent" } },
        spec: { containers: [{ name: "c", image: "agent:1" }] },
      },
    },
  });
  await world.settle();
  return world;
}

async function makeReady(world: World): Promise<void> {
  for (const pod of world.list(pods)) {
    await world.change(pods, `default/${pod.metadata.name}`, (copy) => {
      copy.status = { phase: "Running", conditions: [{ type: "Ready", status: "True" }] };
    });
  }
  await world.settle();
}

const placed = (world: World) => world.list(pods).map(targetNode).sort();

test("every node gets one pod, a new node too, a tainted one loses its", async () => {
  const world = await start(["a", "b"]);
  expect(placed(world)).toEqual(["a", "b"]);
  await world.client.create(nodes, {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: "c" },
    spec: {},
  });
  await world.settle();
  expect(placed(world)).toEqual(["a", "b", "c"]);
  await world.change(nodes, "b", (copy) => {
    copy.spec = { taints: [{ key: "gone", effect: "NoExecute" }] };
  });
  await world.settle();
  expect(placed(world)).toEqual(["a", "c"]);
  await makeReady(world);
  expect(world.get(daemonSets, "default/agent").status).toMatchObject({
    desiredNumberScheduled: 2,
    currentNumberScheduled: 2,
    numberReady: 2,
    numberAvailable: 2,
    updatedNumberScheduled: 2,
    numberMisscheduled: 0,
  });
  expect(world.failures).toEqual([]);
});

test("a new template goes from node to node, with its revision", async () => {
  const world = await start(["a", "b"]);
  await makeReady(world);
  await world.change(daemonSets, "default/agent", (copy) => {
    const [container] = copy.spec.template.spec.containers;
    if (container) container.image = "agent:2";
  });
  await world.settle();
  const images = () =>
    world
      .list(pods)
      .map(({ spec }) => spec.containers[0]?.image)
      .sort();
  expect(images()).toEqual(["agent:1", "agent:2"]);
  await makeReady(world);
  expect(images()).toEqual(["agent:2", "agent:2"]);
  expect(
    world
      .list(controllerRevisions)
      .map(({ revision }) => revision)
      .sort(),
  ).toEqual([1, 2]);
});

test("a revision is written byte by byte as Go would", async () => {
  const world = await start(["a"]);
  const [revision] = world.list(controllerRevisions);
  expect(revision?.metadata.annotations).toEqual({ cause: "a test" });
  expect(JSON.stringify(revision?.data)).toBe(
    '{"spec":{"template":{"$patch":"replace","metadata":{"labels":{"app":"agent"}},' +
      '"spec":{"containers":[{"image":"agent:1","name":"c","resources":{}}]}}}}',
  );
});

test("revisions are counted on beyond 2^53", async () => {
  const world = await start(["a"]);
  const [first] = world.list(controllerRevisions);
  const key = `default/${first?.metadata.name}`;
  const large = 2n ** 53n + 1n;
  await world.change(controllerRevisions, key, (copy) => {
    copy.revision = large as unknown as number;
  });
  await world.change(daemonSets, "default/agent", (copy) => {
    copy.spec.template.metadata = { labels: { app: "agent" }, annotations: { n: "1" } };
  });
  await world.settle();
  const revisions = world.list(controllerRevisions).map(({ revision }) => BigInt(revision));
  expect(revisions.toSorted()).toEqual([large, large + 1n]);
});
