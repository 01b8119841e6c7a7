import { expect, test } from "bun:test";
import {
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  storageClasses,
} from "../../client/resources.ts";
import type { PersistentVolumeClaimSpec, PersistentVolumeSpec } from "../../gen/core-v1.ts";
import { World } from "../testing/world.ts";
import { createVolumeBinder } from "./binder.ts";
import { createEphemeralVolumeController } from "./ephemeral.ts";
import { createClaimProtectionController, createVolumeProtectionController } from "./protection.ts";

function start(): World {
  const world = new World();
  world.run(
    createVolumeBinder(world.context),
    createEphemeralVolumeController(world.context),
    createClaimProtectionController(world.context),
    createVolumeProtectionController(world.context),
  );
  return world;
}

async function addVolume(world: World, name: string, storage: string, more = {}): Promise<void> {
  const spec: PersistentVolumeSpec = {
    capacity: { storage },
    accessModes: ["ReadWriteOnce"],
    hostPath: { path: "/x" },
    ...more,
  };
  const metadata = { name };
  await world.client.create(persistentVolumes, {
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata,
    spec,
  });
  await world.settle();
}

async function addClaim(
  world: World,
  name: string,
  more: Partial<PersistentVolumeClaimSpec> = {},
): Promise<void> {
  await world.client.create(persistentVolumeClaims, {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: { name, namespace: "default" },
    spec: {
      accessModes: ["ReadWriteOnce"],
      resources: { requests: { storage: "1Gi" } },
      storageClassName: "",
      ...more,
    },
  });
  await world.settle();
}

const claim = (world: World, name: string) => world.get(persistentVolumeClaims, `default/${name}`);
const phases = (world: World) =>
  Object.fromEntries(
    world.list(persistentVolumes).map(({ metadata, status }) => [metadata.name, status?.phase]),
  );

test("a claim takes the smallest volume that fits, and releases it when it goes", async () => {
  const world = start();
  await addVolume(world, "big", "5Gi");
  await addVolume(world, "fits", "2Gi");
  await addVolume(world, "small", "500Mi");
  expect(phases(world)).toEqual({ big: "Available", fits: "Available", small: "Available" });
  await addClaim(world, "data");
  expect(claim(world, "data")).toMatchObject({
    metadata: {
      annotations: {
        "pv.kubernetes.io/bind-completed": "yes",
        "pv.kubernetes.io/bound-by-controller": "yes",
      },
      finalizers: ["kubernetes.io/pvc-protection"],
    },
    spec: { volumeName: "fits" },
    status: { phase: "Bound", capacity: { storage: "2Gi" }, accessModes: ["ReadWriteOnce"] },
  });
  expect(world.get(persistentVolumes, "fits").spec.claimRef).toMatchObject({ name: "data" });
  expect(phases(world)).toEqual({ big: "Available", fits: "Bound", small: "Available" });
  await world.client.delete(persistentVolumeClaims, "default", "data");
  await world.settle();
  expect(world.list(persistentVolumeClaims)).toEqual([]);
  expect(phases(world).fits).toBe("Released");
  expect(world.failures).toEqual([]);
});

test("two claims never share a volume; the second waits until one comes", async () => {
  const world = start();
  await addVolume(world, "one", "1Gi");
  await addClaim(world, "a");
  await addClaim(world, "b");
  expect(claim(world, "b").status?.phase).toBe("Pending");
  expect(world.messages("FailedBinding")[0]).toBe(
    "no persistent volumes available for this claim and no storage class is set",
  );
  await addVolume(world, "two", "1Gi");
  expect(claim(world, "b").spec.volumeName).toBe("two");
});

test("named and reserved volumes go to whom they are meant for", async () => {
  const world = start();
  await addVolume(world, "mine", "1Gi", { claimRef: { namespace: "default", name: "mine" } });
  await addVolume(world, "named", "1Gi");
  await addClaim(world, "other", { volumeName: "mine" });
  expect(claim(world, "other").status?.phase).toBe("Pending");
  await addClaim(world, "mine");
  expect(claim(world, "mine").spec.volumeName).toBe("mine");
  await addClaim(world, "wants", { volumeName: "named" });
  expect(claim(world, "wants").status?.phase).toBe("Bound");
  await addVolume(world, "tiny", "1Mi");
  await addClaim(world, "refused", { volumeName: "tiny" });
  expect(world.messages("VolumeMismatch").at(-1)).toBe(
    'Cannot bind to requested volume "tiny": requested PV is too small',
  );
  await world.client.delete(persistentVolumes, "", "named");
  await world.settle();
  // Protected while it is bound.
  expect(phases(world).named).toBe("Bound");
});

test("a class provisions from outside, at once or for the first consumer", async () => {
  const world = start();
  for (const [name, volumeBindingMode] of [
    ["fast", "Immediate"],
    ["local", "WaitForFirstConsumer"],
  ] as const) {
    await world.client.create(storageClasses, {
      apiVersion: "storage.k8s.io/v1",
      kind: "StorageClass",
      metadata: { name },
      provisioner: "example.com/disk",
      volumeBindingMode,
    });
  }
  await addClaim(world, "a", { storageClassName: "fast" });
  const annotation = "volume.kubernetes.io/storage-provisioner";
  expect(claim(world, "a").metadata.annotations?.[annotation]).toBe("example.com/disk");
  await addClaim(world, "b", { storageClassName: "local" });
  expect(claim(world, "b").metadata.annotations?.[annotation]).toBeUndefined();
  expect(world.messages("WaitForFirstConsumer").at(-1)).toBe(
    "waiting for first consumer to be created before binding",
  );
  await world.change(persistentVolumeClaims, "default/b", (copy) => {
    copy.metadata.annotations = { "volume.kubernetes.io/selected-node": "n1" };
  });
  await world.settle();
  expect(claim(world, "b").metadata.annotations?.[annotation]).toBe("example.com/disk");
  await addVolume(world, "made", "1Gi", {
    storageClassName: "local",
    claimRef: { namespace: "default", name: "b", uid: claim(world, "b").metadata.uid },
  });
  expect(claim(world, "b").status?.phase).toBe("Bound");
});

test("a claim without its volume is lost", async () => {
  const world = start();
  await addVolume(world, "v", "1Gi");
  await addClaim(world, "a");
  await world.change(persistentVolumes, "v", (copy) => {
    copy.metadata.finalizers = [];
  });
  await world.client.delete(persistentVolumes, "", "v");
  await world.settle();
  expect(claim(world, "a").status).toEqual({ phase: "Lost" });
});

test("an ephemeral volume gets its claim, which a pod on a node holds back", async () => {
  const world = start();
  await world.client.create(pods, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p", namespace: "default" },
    spec: {
      nodeName: "n1",
      containers: [{ name: "c", image: "i" }],
      volumes: [
        {
          name: "scratch",
          ephemeral: {
            volumeClaimTemplate: {
              metadata: { labels: { a: "b" } },
              spec: {
                accessModes: ["ReadWriteOnce"],
                resources: { requests: { storage: "1Gi" } },
              },
            },
          },
        },
      ],
    },
  });
  await world.settle();
  expect(claim(world, "p-scratch").metadata).toMatchObject({
    labels: { a: "b" },
    ownerReferences: [{ kind: "Pod", name: "p", controller: true }],
  });
  await world.client.delete(persistentVolumeClaims, "default", "p-scratch");
  await world.settle();
  expect(claim(world, "p-scratch").metadata.deletionTimestamp).toBeDefined();
  await world.client.delete(pods, "default", "p", { gracePeriodSeconds: 0 });
  await world.settle();
  expect(world.list(persistentVolumeClaims)).toEqual([]);
});
