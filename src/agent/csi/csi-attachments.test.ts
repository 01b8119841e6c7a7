import { beforeEach, expect, test } from "bun:test";
import { nodes, volumeAttachments } from "../../client/resources.ts";
import { createRuntime } from "../../runtime/real.ts";
import { attachmentName, uniqueName } from "../../schema/csi-names.ts";
import { MemoryApi } from "../testing/memory-api.ts";
import { CsiAttachments } from "./csi-attachments.ts";
import { claimedVolume } from "./csi-volume.ts";

const signal = new AbortController().signal;
const real = createRuntime({ logLevel: "error" });
let nowMs = 0;
/** Every wait takes twenty seconds at once. */
const clock = {
  ...real.clock,
  monotonicMs: () => nowMs,
  sleep: async () => {
    nowMs += 20_000;
  },
};
const spec = { accessModes: ["ReadWriteOnce"], csi: { driver: "d", volumeHandle: "h" } };
const persistent = { apiVersion: "v1", kind: "PersistentVolume", metadata: { name: "pv" }, spec };
const volume = claimedVolume({ name: "data" }, persistent);
if (volume === undefined) throw new Error("It is a CSI volume.");
const wait = (attachments: CsiAttachments) => attachments.attached(volume, "data", signal);

let api = new MemoryApi();
let told: (readonly string[])[] = [];
let attachments: CsiAttachments;
beforeEach(async () => {
  api = new MemoryApi();
  nowMs = 0;
  told = [];
  attachments = new CsiAttachments({
    runtime: { ...real, clock },
    client: api,
    nodeName: "n",
    onInUse: async () => void told.push(attachments.inUse()),
  });
  await api.create(nodes, { apiVersion: "v1", kind: "Node", metadata: { name: "n" }, spec: {} });
});

async function addAttachment(status: object): Promise<void> {
  await api.create(volumeAttachments, {
    apiVersion: "storage.k8s.io/v1",
    kind: "VolumeAttachment",
    metadata: { name: attachmentName("h", "d", "n") },
    spec: { attacher: "d", nodeName: "n", source: { persistentVolumeName: "pv" } },
    status: { attached: false, ...status },
  });
}

async function report(): Promise<void> {
  const volumesAttached = [{ name: uniqueName("d", "h"), devicePath: "" }];
  await api.patch(nodes, "", "n", "merge", { status: { volumesAttached } });
}

const text = "unmounted volumes=[data], unattached volumes=[data], failed to process volumes=[]";

test("a volume that is attached comes with what its driver says", async () => {
  await addAttachment({ attached: true, attachmentMetadata: { lun: "7" } });
  await report();
  expect(await wait(attachments)).toEqual({ lun: "7" });
});

test("waiting ends after two minutes; a full node is told apart", async () => {
  await expect(wait(attachments)).rejects.toThrow(
    `Unable to attach or mount volumes: ${text}: context deadline exceeded`,
  );
  await addAttachment({ attachError: { message: "full", errorCode: 8 } });
  nowMs = 0;
  await expect(wait(attachments)).rejects.toThrow(
    `Node has reached its volume attachment limit, rejecting pod. ${text}: ` +
      "context deadline exceeded",
  );
});

test("a driver's refusal is the pod's", async () => {
  await report();
  await addAttachment({ attachError: { message: "no such disk" } });
  await expect(wait(attachments)).rejects.toThrow(
    'MountVolume.WaitForAttach failed for volume "pv" : no such disk',
  );
});

test("the node tells what it uses from the first wish until nothing is left of it", async () => {
  await attachments.want("a", "one");
  await attachments.want("a", "two");
  await attachments.want("b", "one");
  expect(told).toEqual([["a"], ["a", "b"]]);
  attachments.leave("one");
  expect([attachments.isWanted("a"), attachments.isWanted("b")]).toEqual([true, false]);
  expect(attachments.inUse()).toEqual(["a", "b"]);
  await attachments.drop("b");
  await attachments.drop("b");
  expect(told.slice(2)).toEqual([["a"]]);
});
