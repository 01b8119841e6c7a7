import { expect, test } from "bun:test";
import {
  csiDrivers,
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  volumeAttachments,
} from "../../client/resources.ts";
import { attachmentName } from "../../schema/csi-names.ts";
import { World } from "../testing/world.ts";
import { createAttachDetachController } from "./attach-detach.ts";

const driver = "d.example.com";
const unique = `kubernetes.io/csi/${driver}^handle`;
const idOn = (node: string): string => attachmentName("handle", driver, node);

interface Wish {
  readonly attachRequired?: boolean;
  readonly accessMode?: string;
}

/** Two nodes and a bound claim. */
async function start({ attachRequired = true, accessMode = "ReadWriteOnce" }: Wish = {}) {
  const world = new World();
  const { client } = world;
  for (const name of ["a", "b"]) {
    const annotations = { "volumes.kubernetes.io/controller-managed-attach-detach": "true" };
    await client.create(nodes, {
      apiVersion: "v1",
      kind: "Node",
      metadata: { name, annotations },
      spec: {},
      status: { conditions: [{ type: "Ready", status: "True" }] },
    });
  }
  await client.create(csiDrivers, {
    apiVersion: "storage.k8s.io/v1",
    kind: "CSIDriver",
    metadata: { name: driver },
    spec: { attachRequired },
  });
  await client.create(persistentVolumes, {
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: { name: "pv" },
    spec: {
      accessModes: [accessMode],
      claimRef: { namespace: "default", name: "claim" },
      csi: { driver, volumeHandle: "handle" },
    },
  });
  await client.create(persistentVolumeClaims, {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: { name: "claim", namespace: "default" },
    spec: { volumeName: "pv" },
    status: { phase: "Bound" },
  });
  world.run(createAttachDetachController(world.context));
  await world.settle();
  return world;
}

async function addPod(world: World, name: string, nodeName: string): Promise<void> {
  await world.client.create(pods, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default" },
    spec: {
      nodeName,
      containers: [],
      volumes: [{ name: "data", persistentVolumeClaim: { claimName: "claim" } }],
    },
  });
  await world.settle();
}

/** What the driver's attacher does. */
async function attach(world: World, node: string): Promise<void> {
  await world.change(volumeAttachments, idOn(node), (attachment) => {
    attachment.metadata.finalizers = ["attacher"];
    attachment.status = { attached: true };
  });
  await world.settle();
}

async function use(world: World, node: string, names: string[]): Promise<void> {
  await world.change(nodes, node, (found) => {
    found.status = { ...found.status, volumesInUse: names };
  });
  await world.settle();
}

const attached = (world: World, node: string) =>
  world.get(nodes, node).status?.volumesAttached ?? [];
const held = (world: World): readonly string[] =>
  world.list(volumeAttachments).map(({ spec }) => spec.nodeName);

test("a volume is attached for its pod, told of when it is, and detached after use", async () => {
  const world = await start();
  await addPod(world, "one", "a");
  expect(world.get(volumeAttachments, idOn("a")).spec).toEqual({
    attacher: driver,
    nodeName: "a",
    source: { persistentVolumeName: "pv" },
  });
  expect(attached(world, "a")).toEqual([]);
  await world.change(volumeAttachments, idOn("a"), (attachment) => {
    attachment.status = { attached: false, attachError: { message: "no room" } };
  });
  await world.settle();
  await attach(world, "a");
  expect(attached(world, "a")).toEqual([{ name: unique, devicePath: "" }]);
  await use(world, "a", [unique]);
  await world.client.delete(pods, "default", "one");
  await world.settle();
  // The node has it mounted still, and is well: that may take as long as it takes.
  await world.advance(3_600_000);
  expect(held(world)).toEqual(["a"]);
  expect(attached(world, "a")).toHaveLength(1);
  await use(world, "a", []);
  expect(attached(world, "a")).toEqual([]);
  const { metadata } = world.get(volumeAttachments, idOn("a"));
  expect(metadata.deletionTimestamp).toBeDefined();
  expect(world.recorded.map(({ reason, message }) => `${reason}: ${message}`)).toEqual([
    'FailedAttachVolume: AttachVolume.Attach failed for volume "pv" : no room',
    'SuccessfulAttachVolume: AttachVolume.Attach succeeded for volume "pv" ',
  ]);
});

test("a volume for one node is on one at a time; the next pod is told why it waits", async () => {
  const world = await start();
  await addPod(world, "one", "a");
  await attach(world, "a");
  await use(world, "a", [unique]);
  await addPod(world, "two", "b");
  expect(held(world)).toEqual(["a"]);
  await world.client.delete(pods, "default", "one");
  await world.settle();
  await use(world, "a", []);
  expect(held(world)).toEqual(["a"]);
  await world.change(volumeAttachments, idOn("a"), ({ metadata }) => {
    metadata.finalizers = [];
  });
  await world.settle();
  expect(held(world)).toEqual(["b"]);
  expect(world.messages("FailedAttachVolume")).toEqual([
    'Waiting for detach for volume "pv" Volume is already used by pod(s) one',
  ]);
});

test("several nodes have a volume for many, and never two at once one that is not", async () => {
  for (const [accessMode, count] of [
    ["ReadWriteMany", 2],
    ["ReadWriteOncePod", 1],
  ] as const) {
    const world = await start({ accessMode });
    await addPod(world, "one", "a");
    await addPod(world, "two", "b");
    expect(held(world)).toHaveLength(count);
  }
});

test("drivers that need no attaching get none", async () => {
  const world = await start({ attachRequired: false });
  await addPod(world, "one", "a");
  expect(held(world)).toEqual([]);
});

test("a node that is not ready loses its volumes after six minutes, a doomed one now", async () => {
  const doom = async (world: World, taint: boolean): Promise<void> => {
    await addPod(world, "one", "a");
    await attach(world, "a");
    await use(world, "a", [unique]);
    await world.change(nodes, "a", (node) => {
      node.status = { ...node.status, conditions: [{ type: "Ready", status: "Unknown" }] };
      const key = "node.kubernetes.io/out-of-service";
      if (taint) node.spec = { taints: [{ key, effect: "NoExecute" }] };
    });
    await world.client.delete(pods, "default", "one");
    await world.settle();
  };
  const isGoing = (world: World): boolean =>
    world.get(volumeAttachments, idOn("a")).metadata.deletionTimestamp !== undefined;
  const away = await start();
  await doom(away, false);
  await away.advance(359_000);
  expect(isGoing(away)).toBe(false);
  await away.advance(2_000);
  expect(isGoing(away)).toBe(true);
  expect(attached(away, "a")).toEqual([]);
  const doomed = await start();
  await doom(doomed, true);
  expect(isGoing(doomed)).toBe(true);
});

test("an attacher that does nothing is told of every two minutes", async () => {
  const world = await start();
  await addPod(world, "one", "a");
  await world.advance(250_000);
  const text =
    'AttachVolume.Attach failed for volume "pv" : timed out waiting for external-attacher of ' +
    `${driver} CSI driver to attach volume handle`;
  expect(world.messages("FailedAttachVolume")).toEqual([text, text]);
});

test("what a node has without a pod is detached, though the volume's object is gone", async () => {
  const world = await start();
  await addPod(world, "one", "a");
  await attach(world, "a");
  await use(world, "a", [unique]);
  await world.client.delete(persistentVolumes, "", "pv");
  await world.client.delete(pods, "default", "one");
  await world.settle();
  expect(world.get(volumeAttachments, idOn("a")).metadata.deletionTimestamp).toBeUndefined();
  await use(world, "a", []);
  expect(world.get(volumeAttachments, idOn("a")).metadata.deletionTimestamp).toBeDefined();
});

test("a VolumeAttachment that somebody else has made is left alone", async () => {
  const world = await start();
  await world.client.create(volumeAttachments, {
    apiVersion: "storage.k8s.io/v1",
    kind: "VolumeAttachment",
    metadata: { name: "mine" },
    spec: {
      attacher: "e2e-test.example.com",
      nodeName: "a",
      source: { persistentVolumeName: "pv" },
    },
  });
  await world.settle();
  expect(world.get(volumeAttachments, "mine").metadata.deletionTimestamp).toBeUndefined();
});
