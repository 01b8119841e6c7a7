/** The node as others see it: its object, its kubelet's port, images that are imported. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { busyboxFiles, hostArch, imageTar } from "../../scripts/images.ts";
import type { Node } from "../../src/gen/core-v1.ts";
import { Cluster, reasonToSkip, testImage } from "./cluster.ts";
import { deviceCases } from "./device-cases.ts";
import { apply, becomes, ended, events, field, pod, shell, statusOf } from "./pods.ts";
import { resizeCases } from "./resize-cases.ts";

const skip = reasonToSkip();
if (skip !== undefined) console.log(`left out: node: ${skip}`);

const sleeper = pod("sleeper", {
  restartPolicy: "Always",
  containers: [shell("main", "exec sleep 1000", { ports: [{ containerPort: 80 }] })],
});

describe.skipIf(skip !== undefined)("node", () => {
  let cluster: Cluster;

  beforeAll(async () => {
    cluster = new Cluster();
    await cluster.start();
    await apply(cluster, sleeper);
  });
  afterAll(async () => {
    await cluster?.destroy();
  });

  const node = async (): Promise<Node> => JSON.parse(await cluster.run("get node k3-e2e -o json"));

  test("the Node object tells what the machine is and can", async () => {
    await becomes(cluster, "sleeper", "{.status.phase}", "Running");
    await cluster.until("the images are listed", async () => {
      const images = (await node()).status?.images ?? [];
      return images.some(({ names }) => names?.includes(testImage));
    });
    const { status, spec } = await node();
    expect(spec?.podCIDR).toBe("10.42.0.0/24");
    expect(status?.nodeInfo).toMatchObject({
      kernelVersion: readFileSync("/proc/sys/kernel/osrelease", "utf8").trim(),
      bootID: readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim(),
      operatingSystem: "linux",
    });
    expect(status?.nodeInfo?.containerRuntimeVersion).toMatch(/^containerd:\/\/\d/);
    expect(status?.daemonEndpoints?.kubeletEndpoint?.Port).toBe(10250);
    expect(status?.runtimeHandlers).toContainEqual({
      name: "runc",
      features: expect.objectContaining({ recursiveReadOnlyMounts: expect.any(Boolean) }),
    });
    expect(status?.features).toEqual({ supplementalGroupsPolicy: true });
    const conditions = (status?.conditions ?? []).map(({ type, status: s }) => `${type}=${s}`);
    expect(conditions.toSorted()).toEqual([
      "DiskPressure=False",
      "MemoryPressure=False",
      "PIDPressure=False",
      "Ready=True",
    ]);
    expect(Object.keys(status?.capacity ?? {})).toContain("ephemeral-storage");
    expect(Number(status?.allocatable?.cpu)).toBeGreaterThan(0);
  });

  test("usage and settings, through the API server", async () => {
    const raw = (path: string): Promise<string> =>
      cluster.run(`get --raw /api/v1/nodes/k3-e2e/proxy${path}`);
    const summary = JSON.parse(await raw("/stats/summary"));
    expect(summary.node.memory.workingSetBytes).toBeGreaterThan(2 ** 20);
    const mine = summary.pods.find((one: { podRef: { name: string } }) => {
      return one.podRef.name === "sleeper";
    });
    expect(mine.containers[0]).toMatchObject({
      name: "main",
      memory: { workingSetBytes: expect.any(Number) },
      cpu: { usageCoreNanoSeconds: expect.any(Number) },
      rootfs: { capacityBytes: expect.any(Number) },
    });
    expect(mine.network.interfaces[0].name).toBe("eth0");
    const resource = await raw("/metrics/resource");
    expect(resource).toMatch(/^node_cpu_usage_seconds_total [0-9.]+ \d+$/m);
    const labels = 'container="main",namespace="default",pod="sleeper"';
    expect(resource).toMatch(
      new RegExp(`^container_memory_working_set_bytes{${labels}} \\d+ \\d+$`, "m"),
    );
    expect(resource).toMatch(new RegExp(`^container_start_time_seconds{${labels}} \\d+$`, "m"));
    expect(await raw("/metrics/cadvisor")).toMatch(
      /^container_network_receive_bytes_total{.*interface="eth0".*pod="sleeper"} \d+$/m,
    );
    expect(await raw("/metrics")).toMatch(/^kubelet_running_pods 1$/m);
    expect(JSON.parse(await raw("/configz")).kubeletconfig).toMatchObject({
      maxPods: 110,
      clusterDNS: ["10.43.0.10"],
    });
    const checkpoint = async (path: string): Promise<string> => {
      const place = `/api/v1/nodes/k3-e2e/proxy/checkpoint/default/${path}`;
      const { stdout, stderr } = await cluster.kubectl(`create --raw ${place} -f -`);
      return stdout + stderr;
    };
    expect(await checkpoint("nobody/main")).toContain("(NotFound)");
    // Only a machine with criu can do it; any other says that it cannot.
    expect(await checkpoint("sleeper/main")).toMatch(
      /^{"items":\["\/.*\/checkpoint-sleeper_default-main-|checkpointing of default\/sleeper\/main failed/,
    );
    expect(await raw("/healthz")).toBe("ok");
    expect(JSON.parse(await raw("/pods")).items).toHaveLength(1);
  });

  test("the kubelet's port asks who one is and what one may", async () => {
    const port = "https://127.0.0.1:10250";
    const ca = readFileSync(join(cluster.dataDir, "agent/server-ca.crt"), "utf8");
    const ask = (path: string, headers = {}, tls = {}): Promise<Response> =>
      fetch(`${port}${path}`, { headers, tls: { ca, ...tls } });
    expect((await ask("/pods")).status).toBe(401);
    const folder = join(cluster.dataDir, "server/tls");
    const admin = {
      cert: readFileSync(join(folder, "client-admin.crt"), "utf8"),
      key: readFileSync(join(folder, "client-admin.key"), "utf8"),
    };
    const listed = await ask("/pods", {}, admin);
    expect(listed.status).toBe(200);
    const logs = await ask("/containerLogs/default/sleeper/main", {}, admin);
    expect(logs.status).toBe(200);
    const token = (await cluster.run("create token default")).trim();
    const asDefault = { authorization: `Bearer ${token}` };
    const refused = await ask("/pods", asDefault);
    expect(refused.status).toBe(403);
    expect(await refused.text()).toBe(
      "Forbidden (user=system:serviceaccount:default:default, verb=get, " +
        "resource=nodes, subresource(s)=[pods proxy])",
    );
    await cluster.run("create clusterrole metrics --verb=get --resource=nodes/metrics");
    const binding = "create clusterrolebinding metrics --clusterrole=metrics";
    await cluster.run(`${binding} --serviceaccount=default:default`);
    expect((await ask("/metrics/resource", asDefault)).status).toBe(200);
    expect((await ask("/configz", asDefault)).status).toBe(403);
    expect((await ask("/pods", { authorization: "Bearer wrong" })).status).toBe(401);
    const health = await fetch("http://127.0.0.1:10248/healthz");
    expect([health.status, await health.text()]).toEqual([200, "ok"]);
  });

  test("archives are imported while k3 runs, whatever they are packed with", async () => {
    const folder = join(cluster.dataDir, "agent/images");
    const names = { plain: "k3.test/plain:1", gzip: "k3.test/gzip:1", zstd: "k3.test/zstd:1" };
    const files = await busyboxFiles(hostArch());
    const renamed = (name: string): Uint8Array<ArrayBuffer> =>
      new Uint8Array(imageTar({ name, arch: hostArch(), files }));
    writeFileSync(join(folder, "plain.tar"), renamed(names.plain));
    writeFileSync(join(folder, "gzip.tar.gz"), Bun.gzipSync(renamed(names.gzip)));
    mkdirSync(join(folder, "deeper"));
    writeFileSync(join(folder, "deeper/zstd.tar.zst"), Bun.zstdCompressSync(renamed(names.zstd)));
    writeFileSync(join(folder, "broken.tar"), "not an archive");
    const images = Object.values(names);
    await cluster.until("all are there", async () => {
      const listed = await cluster.crictl("images");
      return images.every((image) => listed.includes(image.split(":")[0] ?? ""));
    });
    await apply(
      cluster,
      ...images.map((image, at) =>
        pod(`imported-${at}`, {
          containers: [{ ...shell("main", "echo hi"), image, imagePullPolicy: "Never" }],
        }),
      ),
    );
    await ended(cluster, "imported-0", "imported-1", "imported-2");
    expect(cluster.logTail(1000)).toMatch(/Cannot import images.*broken\.tar/);
  });

  test("pull policies and images that cannot be had", async () => {
    const wish = (name: string, image: string, policy: string): Record<string, unknown> =>
      pod(name, { containers: [{ name: "main", image, imagePullPolicy: policy }] });
    await apply(
      cluster,
      wish("never", "k3.invalid/none:1", "Never"),
      wish("absent", "127.0.0.1:9/none:1", "IfNotPresent"),
      wish("wrong", "UPPER/case:1", "IfNotPresent"),
    );
    const reason = "{.status.containerStatuses[0].state.waiting.reason}";
    await becomes(cluster, "never", reason, "ErrImageNeverPull");
    await becomes(cluster, "absent", reason, "ImagePullBackOff");
    await becomes(cluster, "wrong", reason, "InvalidImageName");
    const message = "{.status.containerStatuses[0].state.waiting.message}";
    expect(await field(cluster, "absent", message)).toMatch(
      /^Back-off pulling image "127\.0\.0\.1:9\/none:1": ErrImagePull: failed to pull image/,
    );
    const told = await events(cluster, "absent");
    expect(told).toContain('Pulling: Pulling image "127.0.0.1:9/none:1"');
    expect(told).toContain("Failed: Error: ErrImagePull");
    expect(told).toContain('BackOff: Back-off pulling image "127.0.0.1:9/none:1"');
    expect((await statusOf(cluster, "absent")).phase).toBe("Pending");
  });

  test("a runtime class chooses the handler, an unknown one cannot run", async () => {
    const runtimeClass = (name: string, handler: string): Record<string, unknown> => ({
      apiVersion: "node.k8s.io/v1",
      kind: "RuntimeClass",
      metadata: { name },
      handler,
    });
    await apply(cluster, runtimeClass("usual", "runc"), runtimeClass("strange", "strange"));
    const of = (name: string): Record<string, unknown> =>
      pod(name, { runtimeClassName: name, containers: [shell("main", "echo hi")] });
    await apply(cluster, of("usual"), of("strange"));
    await ended(cluster, "usual");
    await cluster.until("the handler is missed", async () => {
      return /FailedCreatePodSandBox: .*strange/.test(await events(cluster, "strange"));
    });
  });

  resizeCases(() => cluster);

  deviceCases(() => cluster);

  test("static pods run from files, with a mirror that cannot be ended by the API", async () => {
    const folder = join(cluster.dataDir, "agent/pod-manifests");
    const file = join(folder, "still.yaml");
    const manifest = (text: string): string => `
apiVersion: v1
kind: Pod
metadata: {name: still, namespace: default}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: ${testImage}
    command: [sh, -c, "echo ${text}; exec sleep 1000"]
`;
    expect(existsSync(folder)).toBe(true);
    writeFileSync(file, manifest("one"));
    await cluster.until("the mirror runs", async () => {
      const path = "jsonpath={.status.phase}";
      return (
        (await cluster.kubectl(["get", "pod", "still-k3-e2e", "-o", path])).stdout === "Running"
      );
    });
    expect(await cluster.run("logs still-k3-e2e")).toBe("one\n");
    const mirror = JSON.parse(await cluster.run("get pod still-k3-e2e -o json"));
    expect(mirror.metadata.annotations).toMatchObject({
      "kubernetes.io/config.source": "file",
      "kubernetes.io/config.mirror": expect.any(String),
    });
    expect(mirror.metadata.ownerReferences[0]).toMatchObject({ kind: "Node", name: "k3-e2e" });
    const id = mirror.status.containerStatuses[0].containerID;
    await cluster.run("delete pod still-k3-e2e --grace-period=1");
    await becomes(cluster, "still-k3-e2e", "{.status.containerStatuses[0].containerID}", id);
    // Static or not, what runs outlives k3; only while it is away nobody can ask.
    const ids = "get pods sleeper still-k3-e2e -o jsonpath={..containerID}{..restartCount}";
    const before = await cluster.run(ids);
    await cluster.stop();
    await cluster.start();
    await becomes(cluster, "sleeper", "{.status.containerStatuses[0].ready}", "true");
    expect(await cluster.run(ids)).toBe(before);
    writeFileSync(file, manifest("two"));
    await cluster.until("the new one runs", async () => {
      return (await cluster.kubectl("logs still-k3-e2e")).stdout === "two\n";
    });
    await Bun.file(file).delete();
    await cluster.until("it is gone", async () => {
      const left = await cluster.kubectl("get pod still-k3-e2e");
      return left.stderr.includes("NotFound") && !(await cluster.crictl("pods")).includes("still");
    });
  });
});
