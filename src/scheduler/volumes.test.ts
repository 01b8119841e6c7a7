import { expect, test } from "bun:test";
import type { Node, PersistentVolume, PersistentVolumeClaim, Pod } from "../gen/core-v1.ts";
import type { StorageClass } from "../gen/storage-v1.ts";
import { decide } from "./decide.ts";
import { emptyNodeInfo, snapshotOf, withPod } from "./node-info.ts";
import { defaultProfile } from "./profile.ts";
import { emptyView, type VolumeView } from "./view.ts";
import { chooseVolumes } from "./volumes.ts";

const node = (name: string, zone = "a"): Node => ({
  apiVersion: "v1",
  kind: "Node",
  metadata: { name, labels: { host: name, "topology.kubernetes.io/zone": zone } },
  spec: {},
  status: { allocatable: { cpu: "2", memory: "4Gi", pods: "10" } },
});

const using = (...claims: string[]): Pod => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "p", namespace: "default", uid: "p" },
  spec: {
    containers: [{ name: "c", image: "i" }],
    volumes: claims.map((claimName) => ({
      name: claimName,
      persistentVolumeClaim: { claimName },
    })),
  },
});

const claim = (name: string, more: Partial<PersistentVolumeClaim["spec"]> = {}, bound = false) => ({
  apiVersion: "v1",
  kind: "PersistentVolumeClaim",
  metadata: {
    name,
    namespace: "default",
    uid: name,
    ...(bound ? { annotations: { "pv.kubernetes.io/bind-completed": "yes" } } : {}),
  },
  spec: {
    accessModes: ["ReadWriteOnce"],
    resources: { requests: { storage: "1Gi" } },
    storageClassName: "late",
    ...more,
  },
});

const volume = (name: string, host: string, storage = "1Gi"): PersistentVolume => ({
  apiVersion: "v1",
  kind: "PersistentVolume",
  metadata: { name },
  spec: {
    capacity: { storage },
    accessModes: ["ReadWriteOnce"],
    storageClassName: "late",
    nodeAffinity: {
      required: {
        nodeSelectorTerms: [
          { matchExpressions: [{ key: "host", operator: "In", values: [host] }] },
        ],
      },
    },
  },
  status: { phase: "Available" },
});

const late = (provisioner: string, more: Partial<StorageClass> = {}): StorageClass => ({
  apiVersion: "storage.k8s.io/v1",
  kind: "StorageClass",
  metadata: { name: "late" },
  provisioner,
  volumeBindingMode: "WaitForFirstConsumer",
  ...more,
});

function viewOf(parts: {
  claims: readonly PersistentVolumeClaim[];
  volumes?: readonly PersistentVolume[];
  storageClass?: StorageClass;
  taken?: readonly string[];
}): VolumeView {
  const { claims, volumes = [], storageClass, taken = [] } = parts;
  return {
    ...emptyView.volumes,
    claim: (_namespace, name) => claims.find((one) => one.metadata.name === name),
    volume: (name) => volumes.find((one) => one.metadata.name === name),
    volumes: () => volumes,
    storageClass: () => storageClass,
    taken: new Set(taken),
  };
}

function run(pod: Pod, volumes: VolumeView, ...infos: readonly (readonly [Node, ...Pod[]])[]) {
  return decide({
    pod,
    snapshot: snapshotOf(infos.map(([n, ...on]) => on.reduce(withPod, emptyNodeInfo(n)))),
    view: { ...emptyView, volumes },
    profile: defaultProfile,
    nominations: new Map(),
    startIndex: 0,
    random: () => 0,
  });
}

test("an open claim goes where a volume is that fits, each volume once", () => {
  const claims = [claim("a"), claim("b")];
  const volumes = [volume("v1", "n1"), volume("v2", "n2"), volume("v3", "n2", "2Gi")];
  const storageClass = late("kubernetes.io/no-provisioner");
  const view = viewOf({ claims, volumes, storageClass });
  expect(run(using("a", "b"), view, [node("n1")], [node("n2")])).toMatchObject({ node: "n2" });
  const choice = chooseVolumes(claims, emptyNodeInfo(node("n2")), view);
  if (typeof choice === "string") throw new Error(choice);
  expect(choice.bind.map((one) => one.volume.metadata.name)).toEqual(["v2", "v3"]);
  const taken = viewOf({ claims, volumes, storageClass, taken: ["v1", "v2", "v3"] });
  expect(run(using("a"), taken, [node("n1")], [node("n2")])).toMatchObject({
    message: "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind.",
  });
});

test("a class that provisions does so in the topologies it allows", () => {
  const allowedTopologies = [
    { matchLabelExpressions: [{ key: "topology.kubernetes.io/zone", values: ["b"] }] },
  ];
  const storageClass = late("example.com/disk", { allowedTopologies });
  const view = viewOf({ claims: [claim("a")], storageClass });
  expect(run(using("a"), view, [node("n1", "a")], [node("n2", "b")])).toMatchObject({ node: "n2" });
});

test("bound claims tie the pod to their volume, lost and missing ones to nothing", () => {
  const claims = [claim("a", { volumeName: "v1" }, true)];
  const view = viewOf({ claims, volumes: [volume("v1", "n1")] });
  expect(run(using("a"), view, [node("n1")], [node("n2")])).toMatchObject({ node: "n1" });
  expect(run(using("a"), view, [node("n2")])).toMatchObject({
    message: "0/1 nodes are available: 1 node(s) didn't match PersistentVolume's node affinity.",
  });
  expect(run(using("missing"), view, [node("n1")])).toMatchObject({
    message: '0/1 nodes are available: persistentvolumeclaim "missing" not found.',
  });
  const immediate = viewOf({ claims: [claim("a")] });
  expect(run(using("a"), immediate, [node("n1")])).toMatchObject({
    message: "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
  });
});

test("a claim for one pod only is not shared", () => {
  const accessModes = ["ReadWriteOncePod"];
  const claims = [claim("a", { volumeName: "v1", accessModes }, true)];
  const view = viewOf({ claims, volumes: [volume("v1", "n1")] });
  const other = { ...using("a"), metadata: { name: "o", namespace: "default", uid: "o" } };
  expect(run(using("a"), view, [node("n1"), other])).toMatchObject({
    rejectedBy: ["VolumeRestrictions"],
  });
});

const driver = "d.example.com";

/** A bound claim of the driver's volume of the same name. */
function driven(name: string): readonly [PersistentVolumeClaim, PersistentVolume] {
  const spec = { accessModes: ["ReadWriteOnce"], csi: { driver, volumeHandle: name } };
  return [
    claim(name, { volumeName: name }, true),
    { apiVersion: "v1", kind: "PersistentVolume", metadata: { name }, spec },
  ];
}

test("a node takes as many volumes of a driver as it says, attached ones without a pod too", () => {
  const both = ["a", "b", "c"].map(driven);
  const claims = both.map(([one]) => one);
  const volumes = both.map(([, one]) => one);
  const limited = (count: number, attached: readonly string[] = []): VolumeView => ({
    ...viewOf({ claims, volumes }),
    csiNode: (name) => ({
      apiVersion: "storage.k8s.io/v1",
      kind: "CSINode",
      metadata: { name },
      spec: { drivers: [{ name: driver, nodeID: "n", allocatable: { count } }] },
    }),
    attachments: (nodeName) =>
      attached.map((persistentVolumeName) => ({
        apiVersion: "storage.k8s.io/v1",
        kind: "VolumeAttachment",
        metadata: { name: persistentVolumeName },
        spec: { attacher: driver, nodeName, source: { persistentVolumeName } },
      })),
  });
  const other = (...names: string[]): Pod => {
    const pod = using(...names);
    return { ...pod, metadata: { ...pod.metadata, name: "other", uid: "other" } };
  };
  const full = "0/1 nodes are available: 1 node(s) exceed max volume count.";
  const answer = (...args: Parameters<typeof run>): string => JSON.stringify(run(...args));
  const fits = { node: "n1" };
  expect(run(using("a", "b"), limited(2), [node("n1")])).toMatchObject(fits);
  expect(answer(using("b"), limited(1), [node("n1"), other("a")])).toContain(full);
  // What is there already needs no more room, even on a node that has too much.
  expect(run(using("a"), limited(1), [node("n1"), other("a", "b")])).toMatchObject(fits);
  expect(run(using("b"), limited(2, ["a"]), [node("n1"), other("a")])).toMatchObject(fits);
  expect(answer(using("b"), limited(2, ["a", "c"]), [node("n1")])).toContain(full);
});

test("a driver that tells its capacity gets only claims that fit", () => {
  const storageClass = late(driver);
  const capacity = (quantity: string, host: string) => ({
    apiVersion: "storage.k8s.io/v1",
    kind: "CSIStorageCapacity",
    metadata: { name: host },
    storageClassName: "late",
    nodeTopology: { matchLabels: { host } },
    capacity: quantity,
  });
  const view: VolumeView = {
    ...viewOf({ claims: [claim("a")], storageClass }),
    csiDriver: (name) => ({
      apiVersion: "storage.k8s.io/v1",
      kind: "CSIDriver",
      metadata: { name },
      spec: { storageCapacity: true },
    }),
    capacities: () => [capacity("512Mi", "n1"), capacity("2Gi", "n2")],
  };
  expect(run(using("a"), view, [node("n1")], [node("n2")])).toMatchObject({ node: "n2" });
  expect(run(using("a"), view, [node("n1")])).toMatchObject({
    message: "0/1 nodes are available: 1 node(s) did not have enough free storage.",
  });
});
