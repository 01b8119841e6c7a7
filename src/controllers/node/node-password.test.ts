import { expect, test } from "bun:test";
import { nodes, secrets } from "../../client/resources.ts";
import { World } from "../testing/world.ts";
import { createNodePasswordController } from "./node-password.ts";

const name = "a.node-password.k3s";

async function start(): Promise<World> {
  const world = new World();
  world.run(createNodePasswordController(world.context));
  await world.client.create(secrets, {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name, namespace: "kube-system" },
    type: "k3s.cattle.io/node-password",
  });
  await world.settle();
  return world;
}

test("a node's password belongs to the node once that has registered", async () => {
  const world = await start();
  expect(world.list(secrets)[0]?.metadata.ownerReferences).toBeUndefined();
  await world.client.create(nodes, {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: "a" },
    spec: {},
  });
  await world.settle();
  const { uid } = world.get(nodes, "a").metadata;
  expect(world.list(secrets)[0]?.metadata.ownerReferences).toEqual([
    { apiVersion: "v1", kind: "Node", name: "a", uid: uid ?? "" },
  ]);
});

test("the password of a node that never came is forgotten after ten minutes", async () => {
  const world = await start();
  await world.advance(9 * 60_000);
  expect(world.list(secrets)).toHaveLength(1);
  await world.advance(2 * 60_000);
  expect(world.list(secrets)).toHaveLength(0);
  expect(world.failures).toEqual([]);
});
