/** A node that runs out of disk: what it clears away, which pods it ends, which it takes. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hostArch, imageTar } from "../../scripts/images.ts";
import type { Node } from "../../src/gen/core-v1.ts";
import { binary, Cluster, reasonToSkip } from "./cluster.ts";
import { apply, becomes, events, field, pod, shell, statusOf } from "./pods.ts";

const skip = reasonToSkip();
if (skip !== undefined) console.log(`left out: pressure: ${skip}`);

const mi = 2 ** 20;
const holds = (name: string, mebibytes: number, more = {}) =>
  pod(name, {
    containers: [
      shell("main", `head -c ${mebibytes * mi} /dev/urandom >/data/file; exec sleep 1000`, {
        volumeMounts: [{ name: "data", mountPath: "/data" }],
      }),
    ],
    volumes: [{ name: "data", emptyDir: {} }],
    ...more,
  });

async function command(...words: readonly string[]): Promise<void> {
  const child = Bun.spawn([...words], { stdout: "pipe", stderr: "pipe" });
  const said = await new Response(child.stderr).text();
  if ((await child.exited) !== 0) throw new Error(`${words.join(" ")}: ${said}`);
}

describe.skipIf(skip !== undefined)("node pressure", () => {
  let cluster: Cluster;
  let nodeDir = "";
  let imageDir = "";

  beforeAll(async () => {
    cluster = new Cluster();
    nodeDir = mkdtempSync(join(tmpdir(), "k3-e2e-node-"));
    imageDir = join(cluster.dataDir, "agent/containerd");
    mkdirSync(imageDir);
    await command("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", nodeDir);
    await command("mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", imageDir);
    const args = [
      `root-dir=${nodeDir}/kubelet`,
      "eviction-hard=nodefs.available<40%,imagefs.available<50%",
      "eviction-minimum-reclaim=nodefs.available=2%",
      "eviction-pressure-transition-period=3s",
      "minimum-image-ttl-duration=0s",
      "system-reserved=cpu=100m,memory=64Mi",
    ];
    await cluster.start(...args.map((one) => `--kubelet-arg=${one}`));
  });
  afterAll(async () => {
    await cluster?.stop();
    for (const dir of [nodeDir, imageDir]) await command("umount", "-l", dir).catch(() => {});
    await cluster?.destroy();
    rmSync(nodeDir, { recursive: true, force: true });
  });

  const node = async (): Promise<Node> => JSON.parse(await cluster.run("get node k3-e2e -o json"));
  const hasDiskPressure = async (): Promise<boolean> => {
    const { status, spec } = await node();
    const found = status?.conditions?.find(({ type }) => type === "DiskPressure");
    const isTainted = (spec?.taints ?? []).some(
      ({ key }) => key === "node.kubernetes.io/disk-pressure",
    );
    return found?.status === "True" && found.reason === "KubeletHasDiskPressure" && isTainted;
  };

  test("what is reserved and kept free is not allocatable; the settings are shown", async () => {
    const { status } = await node();
    const kib = (text: string | undefined): number => Number(text?.replace("Ki", ""));
    const { allocatable, capacity } = status ?? {};
    expect(kib(capacity?.memory) - kib(allocatable?.memory)).toBe(64 * 1024);
    expect(allocatable?.cpu).toBe(`${Number(capacity?.cpu) * 1000 - 100}m`);
    expect(allocatable?.["ephemeral-storage"]).toBe(`${64 * mi - Math.floor(64 * mi * 0.4)}`);
    const config = await cluster.run("get --raw /api/v1/nodes/k3-e2e/proxy/configz");
    expect(JSON.parse(config).kubeletconfig).toMatchObject({
      evictionHard: { "nodefs.available": "40%", "imagefs.available": "50%" },
      evictionPressureTransitionPeriod: "3s",
      imageMinimumGCAge: "0s",
      systemReserved: { cpu: "100m", memory: "64Mi" },
    });
  });

  test("unused images go before pods do, those in use and pinned ones stay", async () => {
    await apply(cluster, holds("small", 1));
    await becomes(cluster, "small", "{.status.phase}", "Running");
    const before = await cluster.crictl("images");
    expect(before).toContain("k3-busybox");
    const data = crypto.getRandomValues(new Uint8Array(65_536));
    const blob = Buffer.alloc(80 * mi, data);
    for (let at = 0; at < blob.length; at += 4096) blob.writeUInt32LE(at, at);
    const files = [{ path: "blob", type: "file" as const, mode: 0o644, data: blob }];
    const archive = join(cluster.dataDir, "unused.tar");
    writeFileSync(archive, imageTar({ name: "k3.test/unused:1", arch: hostArch(), files }));
    await command(binary, "ctr", `--data-dir=${cluster.dataDir}`, "images", "import", archive);
    await cluster.until("the image is gone and the pressure over", async () => {
      const listed = await cluster.crictl("images");
      const told = await events(cluster, "k3-e2e");
      return !listed.includes("k3.test/unused") && told.includes("EvictionThresholdMet");
    });
    const after = await cluster.crictl("images");
    expect(after).toBe(before);
    expect(await field(cluster, "small", "{.status.phase}")).toBe("Running");
    await cluster.until("the pressure is over", async () => !(await hasDiskPressure()));
  });

  test("the pod that takes most goes, is told why, and the node takes no others till then", async () => {
    await apply(cluster, holds("hog", 48));
    await cluster.until("the node is under pressure", hasDiskPressure);
    const late = pod("late", { nodeName: "k3-e2e", containers: [shell("main", "sleep 1000")] });
    await apply(cluster, late);
    await becomes(cluster, "late", "{.status.reason}", "Evicted");
    expect(await field(cluster, "late", "{.status.message}")).toBe(
      "Pod was rejected: The node had condition: [DiskPressure]. ",
    );
    await becomes(cluster, "hog", "{.status.phase}", "Failed");
    const { reason, message, conditions } = await statusOf(cluster, "hog");
    expect(reason).toBe("Evicted");
    expect(message).toMatch(
      /^The node was low on resource: ephemeral-storage\. Threshold quantity: \d+, available: \d+(Ki|Mi)?\. /,
    );
    expect(conditions?.find(({ type }) => type === "DisruptionTarget")).toMatchObject({
      status: "True",
      reason: "TerminationByKubelet",
      message,
    });
    expect(await events(cluster, "hog")).toContain(`Evicted: ${message}`);
    expect(await field(cluster, "small", "{.status.phase}")).toBe("Running");
    await cluster.until("what it left is gone", async () => {
      return !(await cluster.crictl("ps -a")).includes("hog");
    });
    // What the status says stays, though nothing is left to read it from.
    const ended = (await statusOf(cluster, "hog")).containerStatuses?.[0]?.state?.terminated;
    expect(ended?.exitCode).toBe(137);
    await cluster.until("the pressure is over", async () => !(await hasDiskPressure()));
    expect(await events(cluster, "k3-e2e")).toContain("NodeHasNoDiskPressure");
  });
});
