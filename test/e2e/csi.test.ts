/** CSI volumes with a real driver on this machine: what it is asked for, and what pods get. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Cluster, reasonToSkip } from "./cluster.ts";
import { CsiDriver } from "./csi-driver.ts";
import { apply, becomes, ended, events, field, lines, pod, shell } from "./pods.ts";

const skip = reasonToSkip();
if (skip !== undefined) console.log(`left out: csi: ${skip}`);

const driverName = "folders.example.com";
const kubeletDir = "/var/lib/kubelet";

function driverObject(spec: Readonly<Record<string, unknown>>) {
  return {
    apiVersion: "storage.k8s.io/v1",
    kind: "CSIDriver",
    metadata: { name: driverName },
    spec: { attachRequired: false, ...spec },
  };
}

/** A claim and the volume that is made for it. */
function claimed(name: string, csi: Readonly<Record<string, unknown>> = {}, more = {}) {
  const common = { accessModes: ["ReadWriteOnce"], storageClassName: "", ...more };
  return [
    {
      apiVersion: "v1",
      kind: "PersistentVolume",
      metadata: { name },
      spec: {
        ...common,
        capacity: { storage: "1Mi" },
        claimRef: { namespace: "default", name },
        csi: { driver: driverName, volumeHandle: `handle-${name}`, ...csi },
      },
    },
    {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: { name },
      spec: { ...common, volumeName: name, resources: { requests: { storage: "1Mi" } } },
    },
  ];
}

const volumeMounts = [{ name: "data", mountPath: "/data" }];
const ofClaim = (claimName: string) => [{ name: "data", persistentVolumeClaim: { claimName } }];

describe.skipIf(skip !== undefined)("csi", () => {
  let cluster: Cluster;
  const dir = mkdtempSync(join(tmpdir(), "k3-csi-driver-"));
  const driver = new CsiDriver({
    name: driverName,
    dir,
    volumesMax: 7,
    capabilities: ["STAGE_UNSTAGE_VOLUME", "GET_VOLUME_STATS", "EXPAND_VOLUME"],
  });

  beforeAll(async () => {
    cluster = new Cluster();
    await cluster.start();
    await apply(
      cluster,
      driverObject({
        podInfoOnMount: true,
        requiresRepublish: true,
        fsGroupPolicy: "File",
        volumeLifecycleModes: ["Persistent", "Ephemeral"],
        tokenRequests: [{ audience: "vault", expirationSeconds: 600 }],
      }),
    );
    await driver.start();
  });
  afterAll(async () => {
    await cluster?.destroy();
    await driver.stop();
    rmSync(dir, { recursive: true });
  });

  const json = async (line: string) => JSON.parse(await cluster.run(`get ${line} -o json`));
  const uidOf = (name: string) => field(cluster, name, "{.metadata.uid}");
  const gone = (what: string, condition: () => boolean) =>
    cluster.until(what, async () => condition());

  test("what the driver says of the node is told", async () => {
    const { spec, metadata } = await json("csinode k3-e2e");
    expect(spec.drivers).toEqual([
      {
        name: driverName,
        nodeID: `${driverName}-node`,
        topologyKeys: [`topology.${driverName}/node`],
        allocatable: { count: 7 },
      },
    ]);
    expect(metadata.ownerReferences[0].kind).toBe("Node");
    const node = await json("node k3-e2e");
    expect(node.metadata.labels[`topology.${driverName}/node`]).toBe("here");
    expect(node.metadata.annotations["csi.volume.kubernetes.io/nodeid"]).toBe(
      `{"${driverName}":"${driverName}-node"}`,
    );
  });

  test("pods share what is staged once; each is published for itself and taken back", async () => {
    const secret = {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "csi" },
      stringData: { password: "s3cret" },
    };
    const secretRef = { name: "csi", namespace: "default" };
    const csi = {
      fsType: "ext4",
      volumeAttributes: { colour: "red" },
      nodeStageSecretRef: secretRef,
      nodePublishSecretRef: secretRef,
    };
    const writes = (name: string) =>
      pod(name, {
        securityContext: { runAsUser: 1000, fsGroup: 4321 },
        containers: [
          shell("main", `echo ${name} >>/data/lines; exec sleep 1000`, { volumeMounts }),
        ],
        volumes: ofClaim("shared"),
      });
    await apply(cluster, secret, ...claimed("shared", csi), writes("one"));
    await becomes(cluster, "one", "{.status.phase}", "Running");
    await apply(cluster, writes("two"));
    await becomes(cluster, "two", "{.status.phase}", "Running");
    const volume = "handle-shared";
    await cluster.until("both wrote", async () => {
      return readFileSync(`${driver.folderOf(volume)}/lines`, "utf8") === "one\ntwo\n";
    });
    expect(driver.count("stage", volume)).toBe(1);
    expect(statSync(driver.folderOf(volume)).gid).toBe(4321);
    expect(statSync(driver.folderOf(volume)).mode & 0o7777).toBe(0o2775);
    const staging = driver.staged.get(volume);
    expect(staging?.secrets).toEqual({ password: "s3cret" });
    expect(staging?.volumeContext).toEqual({ colour: "red" });
    expect(staging?.volumeCapability?.accessType.value).toMatchObject({ fsType: "ext4" });
    const globalDir = `${kubeletDir}/plugins/kubernetes.io/csi/${driverName}/${sha256(volume)}`;
    expect(staging?.stagingTargetPath).toBe(`${globalDir}/globalmount`);
    expect(JSON.parse(readFileSync(`${globalDir}/vol_data.json`, "utf8"))).toEqual({
      driverName,
      volumeHandle: volume,
    });
    const uid = await uidOf("one");
    const podVolumeDir = `${kubeletDir}/pods/${uid}/volumes/kubernetes.io~csi/shared`;
    const published = driver.published.get(`${podVolumeDir}/mount`);
    const { "csi.storage.k8s.io/serviceAccount.tokens": tokens = "", ...context } =
      published?.volumeContext ?? {};
    expect(context).toEqual({
      colour: "red",
      "csi.storage.k8s.io/pod.name": "one",
      "csi.storage.k8s.io/pod.namespace": "default",
      "csi.storage.k8s.io/pod.uid": uid,
      "csi.storage.k8s.io/serviceAccount.name": "default",
      "csi.storage.k8s.io/ephemeral": "false",
    });
    expect(JSON.parse(tokens).vault.token).toMatch(/^ey.*\..*\./);
    expect(JSON.parse(readFileSync(`${podVolumeDir}/vol_data.json`, "utf8"))).toMatchObject({
      specVolID: "shared",
      volumeHandle: volume,
      driverName,
      nodeName: "k3-e2e",
      volumeLifecycleMode: "Persistent",
    });
    const proxy = "get --raw /api/v1/nodes/k3-e2e/proxy";
    const { pods } = JSON.parse(await cluster.run(`${proxy}/stats/summary`));
    const one = pods.find((found: { podRef: { uid: string } }) => found.podRef.uid === uid);
    expect(one.volume[0]).toMatchObject({ name: "data", usedBytes: 4711, inodesUsed: 42 });
    const before = driver.count("publish", volume);
    await cluster.run("label pod one seen=yes");
    await gone("it is published again", () => driver.count("publish", volume) > before);
    await cluster.run("delete pod one");
    expect(driver.count("unstage", volume)).toBe(0);
    expect(existsSync(podVolumeDir)).toBe(false);
    await cluster.run("delete pod two");
    await gone("it is unstaged", () => driver.count("unstage", volume) === 1);
    await gone("its directory is gone", () => !existsSync(globalDir));
    const calls = driver.calls.filter((call) => call.volume === volume && call.name !== "stats");
    // A publish may be repeated at any time: the driver wants that.
    const order = new Map(calls.map(({ name, path }) => [`${name} ${path}`, name]));
    expect([...order.values()]).toEqual([
      "stage",
      "publish",
      "publish",
      "unpublish",
      "unpublish",
      "unstage",
    ]);
  });

  test("an inline volume lives as long as its pod", async () => {
    const inline = pod("inline", {
      containers: [shell("main", "cat /proc/mounts | grep ' /data '", { volumeMounts })],
      volumes: [
        { name: "data", csi: { driver: driverName, readOnly: true, volumeAttributes: { a: "b" } } },
      ],
    });
    await apply(cluster, inline);
    await ended(cluster, "inline");
    expect((await lines(cluster, "inline"))[0]).toMatch(/ ro,/);
    const uid = await uidOf("inline");
    const volume = `csi-${sha256(`${uid}data`)}`;
    const call = driver.calls.find(({ name, volume: of }) => name === "publish" && of === volume);
    expect(call?.path).toBe(`${kubeletDir}/pods/${uid}/volumes/kubernetes.io~csi/data/mount`);
    expect(driver.count("stage", volume)).toBe(0);
    await cluster.run("delete pod inline");
    await gone("it is unpublished", () => driver.count("unpublish", volume) === 1);
  });

  test("a driver that is not there, and one that refuses, are told of in events", async () => {
    const { Code, ConnectError } = await import("@connectrpc/connect");
    driver.failures.set("stage", new ConnectError("the disk is on fire", Code.Internal));
    const uses = (name: string, claim: string) =>
      pod(name, { containers: [shell("main", "true", { volumeMounts })], volumes: ofClaim(claim) });
    await apply(
      cluster,
      ...claimed("burning"),
      ...claimed("absent", { driver: "absent.example.com" }),
      uses("burning", "burning"),
      {
        ...driverObject({}),
        metadata: { name: "absent.example.com" },
      },
      uses("absent", "absent"),
    );
    await ended(cluster, "burning");
    expect(await events(cluster, "burning")).toContain(
      'FailedMount: MountVolume.MountDevice failed for volume "burning" : rpc error: code = ' +
        "Internal desc = the disk is on fire",
    );
    await cluster.until("it is told that there is no driver", async () => {
      return (await events(cluster, "absent")).includes(
        'FailedMount: MountVolume.MountDevice failed for volume "absent" : kubernetes.io/csi: ' +
          "attacher.MountDevice failed to create newCsiDriverClient: driver name " +
          "absent.example.com not found in the list of registered CSI drivers",
      );
    });
    await cluster.run("delete pod burning absent");
  });
});

function sha256(text: string): string {
  return new Bun.CryptoHasher("sha256").update(text).digest("hex");
}
