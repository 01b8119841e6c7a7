import { expect, test } from "bun:test";
import { configMaps, pods, replicaSets } from "../../client/resources.ts";
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
