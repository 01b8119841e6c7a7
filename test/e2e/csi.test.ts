/** CSI volumes with a real driver on this machine: what it is asked for, and what pods get. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Cluster, reasonToSkip } from "./cluster.ts";
import { CsiDriver, loopsOver } from "./csi-driver.ts";
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
    await driver.destroy();
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

  test("a volume that its driver attaches is waited for, and let go before it is detached", async () => {
    const attaching = new CsiDriver({
      name: "attached.example.com",
      dir,
      capabilities: ["STAGE_UNSTAGE_VOLUME"],
    });
    await attaching.start();
    const volume = "handle-attached";
    const name = `csi-${sha256(`${volume}attached.example.comk3-e2e`)}`;
    const unique = `kubernetes.io/csi/attached.example.com^${volume}`;
    const uses = pod("attached", {
      containers: [shell("main", "exec sleep 1000", { volumeMounts })],
      volumes: ofClaim("attached"),
    });
    await apply(cluster, ...claimed("attached", { driver: "attached.example.com" }), uses);
    const isThere = async () => (await cluster.kubectl(`get volumeattachment ${name}`)).code === 0;
    await cluster.until("it is to be attached", isThere);
    await cluster.until("the node waits for it", async () => {
      return (await json("node k3-e2e")).status.volumesInUse?.includes(unique) === true;
    });
    expect(attaching.calls).toEqual([]);
    const status = { attached: true, attachmentMetadata: { device: "/dev/seventh" } };
    const line = `patch volumeattachment ${name} --subresource=status --type=merge -p`;
    await cluster.run([...line.split(" "), JSON.stringify({ status })]);
    await becomes(cluster, "attached", "{.status.phase}", "Running");
    expect(attaching.staged.get(volume)?.publishContext).toEqual({ device: "/dev/seventh" });
    expect((await json("node k3-e2e")).status.volumesAttached).toEqual([
      { name: unique, devicePath: "" },
    ]);
    expect(await events(cluster, "attached")).toContain(
      'SuccessfulAttachVolume: AttachVolume.Attach succeeded for volume "attached"',
    );
    await cluster.run("delete pod attached");
    await cluster.until("it is detached", async () => !(await isThere()));
    expect(attaching.count("unstage", volume)).toBe(1);
    const node = await json("node k3-e2e");
    expect([node.status.volumesInUse, node.status.volumesAttached]).toEqual([undefined, undefined]);
    await attaching.stop();
    await cluster.until("the driver is gone", async () => {
      return (await json("csinode k3-e2e")).spec.drivers.length === 1;
    });
  });

  test("a raw block volume is a device of its container", async () => {
    const script =
      "echo written | dd of=/dev/xvda conv=fsync 2>/dev/null; head -n 1 /dev/xvda; exec sleep 1000";
    const volumeDevices = [{ name: "data", devicePath: "/dev/xvda" }];
    const more = { volumeMode: "Block" };
    const uses = (name: string, use: Readonly<Record<string, unknown>>) =>
      pod(name, { containers: [shell("main", script, use)], volumes: ofClaim("block") });
    await apply(cluster, ...claimed("block", {}, more), uses("block", { volumeDevices }));
    await becomes(cluster, "block", "{.status.phase}", "Running");
    await cluster.until("it was written to", async () => {
      return (await lines(cluster, "block"))[0] === "written";
    });
    const image = `${driver.folderOf("handle-block")}.img`;
    expect(readFileSync(image, "utf8").slice(0, 7)).toBe("written");
    const uid = await uidOf("block");
    const devices = `${kubeletDir}/plugins/kubernetes.io/csi/volumeDevices`;
    const link = `${kubeletDir}/pods/${uid}/volumeDevices/kubernetes.io~csi/block`;
    expect(readlinkSync(link)).toBe(`${devices}/publish/block/${uid}`);
    const bound = `${devices}/block/dev/${uid}`;
    expect(statSync(bound).isBlockDevice()).toBe(true);
    expect(driver.staged.get("handle-block")?.stagingTargetPath).toBe(`${devices}/staging/block`);
    expect(loopsOver(bound)).not.toBe("");
    await apply(cluster, uses("wrong", { volumeMounts }));
    await cluster.until("a device cannot be mounted", async () => {
      return (await events(cluster, "wrong")).includes(
        "volume data has volumeMode Block, but is specified in volumeMounts",
      );
    });
    await cluster.run("delete pod block wrong");
    await gone("it is unstaged", () => driver.count("unstage", "handle-block") === 1);
    await gone("nothing is left", () => !existsSync(`${devices}/block`));
    expect(existsSync(`${devices}/publish/block`)).toBe(false);
    expect([loopsOver(bound), loopsOver(image)]).toEqual(["", ""]);
  });

  test("a volume that has grown grows on the node too", async () => {
    const uses = pod("growing", {
      containers: [shell("main", "exec sleep 1000", { volumeMounts })],
      volumes: ofClaim("growing"),
    });
    await apply(cluster, ...claimed("growing"), uses);
    await becomes(cluster, "growing", "{.status.phase}", "Running");
    const patch = async (line: string, body: object) =>
      await cluster.run([...`patch ${line} --type=merge -p`.split(" "), JSON.stringify(body)]);
    const capacity = { storage: "2Mi" };
    await patch("pv growing", { spec: { capacity } });
    // What the driver's resizer does once the volume itself has grown.
    await patch("pvc growing --subresource=status", {
      status: {
        allocatedResources: capacity,
        allocatedResourceStatuses: { storage: "NodeResizePending" },
        conditions: [{ type: "FileSystemResizePending", status: "True" }],
      },
    });
    await cluster.run("label pod growing looked=at");
    await gone("the driver is asked", () => driver.count("expand", "handle-growing") === 1);
    await cluster.until("the claim has its size", async () => {
      const { status } = await json("pvc growing");
      return status.capacity.storage === "2Mi" && status.allocatedResourceStatuses === undefined;
    });
    expect((await json("pvc growing")).status.conditions).toBeUndefined();
    expect(await events(cluster, "growing")).toContain(
      'FileSystemResizeSuccessful: MountVolume.NodeExpandVolume succeeded for volume "growing" k3-e2e',
    );
    await cluster.run("delete pod growing");
  });

  test("a kubelet that was killed goes on: nothing twice, and nothing forgotten", async () => {
    const { Code, ConnectError } = await import("@connectrpc/connect");
    const uses = (name: string) =>
      pod(name, {
        containers: [shell("main", "exec sleep 1000", { volumeMounts })],
        volumes: ofClaim(name),
      });
    await apply(cluster, ...claimed("kept"), ...claimed("lost"), uses("kept"), uses("lost"));
    await becomes(cluster, "kept", "{.status.phase}", "Running");
    await becomes(cluster, "lost", "{.status.phase}", "Running");
    const container = () => field(cluster, "kept", "{.status.containerStatuses[0].containerID}");
    const before = await container();
    driver.failures.set("unpublish", new ConnectError("not now", Code.Internal));
    await cluster.run("delete pod lost --wait=false");
    await gone("its end is begun", () => driver.count("unpublish", "handle-lost") === 1);
    await cluster.crash();
    await driver.stop();
    await cluster.start();
    await driver.start();
    await gone("what was begun is ended", () => driver.count("unstage", "handle-lost") === 1);
    await becomes(cluster, "kept", "{.status.conditions[?(@.type=='Ready')].status}", "True");
    expect(await container()).toBe(before);
    expect(driver.count("stage", "handle-kept")).toBe(1);
    await cluster.run("delete pod kept");
    await gone("it is taken back", () => driver.count("unstage", "handle-kept") === 1);
    const mounts = readFileSync("/proc/self/mountinfo", "utf8");
    expect(mounts.split("\n").filter((mount) => mount.includes("/csi/"))).toEqual([]);
  });
});

function sha256(text: string): string {
  return new Bun.CryptoHasher("sha256").update(text).digest("hex");
}
