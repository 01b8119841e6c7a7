import { expect, test } from "bun:test";
import { configMaps, nodes, pods, replicaSets } from "../../client/resources.ts";
import type { OwnerReference } from "../../gen/meta-v1.ts";
import { World } from "../testing/world.ts";
import { createGarbageCollector } from "./collector.ts";

async function family() {
  const world = new World();
  world.run(
    createGarbageCollector(world.context, { collectable: [configMaps, pods, replicaSets] }),
  );
  const owner = await world.client.create(configMaps, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "owner", namespace: "default" },
  });
  const reference: OwnerReference = {
    apiVersion: "v1",
    kind: "ConfigMap",
    name: "owner",
    uid: owner.metadata.uid ?? "",
    blockOwnerDeletion: true,
  };
  const child = async (name: string, ownerReferences: OwnerReference[]) =>
    await world.client.create(configMaps, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name, namespace: "default", ownerReferences },
    });
  await child("child", [reference]);
  await world.settle();
  const names = () => world.list(configMaps).map(({ metadata }) => metadata.name);
  return { world, reference, child, names };
}

test("background: dependents follow their owner", async () => {
  const { world, names } = await family();
  await world.client.delete(configMaps, "default", "owner");
  await world.settle();
  expect(names()).toEqual([]);
});

test("foreground: the owner stays until blocking dependents are gone", async () => {
  const { world, names } = await family();
  await world.change(configMaps, "default/child", (copy) => {
    copy.metadata.finalizers = ["example.com/hold"];
  });
  await world.client.delete(configMaps, "default", "owner", { propagationPolicy: "Foreground" });
  await world.settle();
  expect(names()).toEqual(["child", "owner"]);
  expect(world.get(configMaps, "default/child").metadata.deletionTimestamp).toBeDefined();
  await world.change(configMaps, "default/child", (copy) => {
    copy.metadata.finalizers = [];
  });
  await world.settle();
  expect(names()).toEqual([]);
});

test("orphan: dependents stay and lose the reference", async () => {
  const { world, names } = await family();
  await world.client.delete(configMaps, "default", "owner", { propagationPolicy: "Orphan" });
  await world.settle();
  expect(names()).toEqual(["child"]);
  expect(world.get(configMaps, "default/child").metadata.ownerReferences).toEqual([]);
});

test("dependents of an owner that never was go, unless another owner is there", async () => {
  const { world, reference, child, names } = await family();
  const absent = { ...reference, name: "nobody", uid: "gone" };
  await child("lost", [absent]);
  await child("kept", [absent, reference]);
  await world.settle();
  expect(names()).toEqual(["child", "kept", "owner"]);
  expect(world.get(configMaps, "default/kept").metadata.ownerReferences).toEqual([reference]);
  expect(world.failures).toEqual([]);
});

test("foreground: a circle of owners goes as a whole", async () => {
  const { world, names } = await family();
  const names3 = ["one", "two", "three"];
  for (const name of names3) {
    await world.client.create(configMaps, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name, namespace: "default" },
    });
  }
  for (const [index, name] of names3.entries()) {
    const owner = names3[(index + 2) % 3] ?? "";
    const { uid = "" } = world.get(configMaps, `default/${owner}`).metadata;
    const reference = { apiVersion: "v1", kind: "ConfigMap", name: owner, uid };
    await world.change(configMaps, `default/${name}`, (copy) => {
      copy.metadata.ownerReferences = [{ ...reference, blockOwnerDeletion: true }];
    });
  }
  await world.settle();
  await world.client.delete(configMaps, "default", "one", { propagationPolicy: "Foreground" });
  await world.settle();
  expect(names()).toEqual(["child", "owner"]);
  expect(world.failures).toEqual([]);
});

test("an object without a namespace is not collected for an owner in one", async () => {
  const world = new World();
  world.run(createGarbageCollector(world.context, { collectable: [configMaps, nodes] }));
  const owner = { apiVersion: "v1", kind: "ConfigMap", name: "nobody", uid: "gone" };
  await world.client.create(nodes, {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: "n1", ownerReferences: [owner] },
    spec: {},
  });
  await world.settle();
  expect(world.list(nodes)).toHaveLength(1);
  expect(world.messages("OwnerRefInvalidNamespace")).toHaveLength(1);
});
