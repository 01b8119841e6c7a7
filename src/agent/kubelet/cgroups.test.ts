import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { realHost } from "../../runtime/host.ts";
import { createRuntime } from "../../runtime/real.ts";
import {
  burstableShares,
  type CgroupOptions,
  createPodCgroup,
  podsInCgroups,
  prepareCgroups,
  removePodCgroup,
  weighBurstable,
} from "./cgroups.ts";
import type { Pod } from "./types.ts";

const { log, clock } = createRuntime({ logLevel: "error" });
let mountPoint = "";
beforeAll(async () => {
  mountPoint = await mkdtemp(`${tmpdir()}/k3-cgroups-`);
});
afterAll(async () => {
  await rm(mountPoint, { recursive: true });
});

function pod(uid: string, spec: Partial<Pod["spec"]>): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: uid, uid },
    spec: { containers: [{ name: "c" }], ...spec },
  };
}

const guaranteed = pod("g", {
  containers: [{ name: "c", resources: { limits: { cpu: "500m", memory: "64Mi" } } }],
});
const burstable = pod("b", {
  containers: [
    { name: "c", resources: { requests: { cpu: "100m" } } },
    { name: "d", resources: { requests: { cpu: "50m" } } },
  ],
  initContainers: [
    { name: "side", restartPolicy: "Always", resources: { requests: { cpu: "50m" } } },
    { name: "once", resources: { requests: { cpu: "350m" } } },
  ],
});
const whole = pod("w", {
  containers: [{ name: "c" }],
  resources: { requests: { cpu: "1" }, limits: { cpu: "2", memory: "1Gi" } },
  overhead: { cpu: "100m", memory: "1Mi" },
});

function optionsFor(dir: string, v2: boolean): CgroupOptions {
  return { host: realHost, log, clock, mountPoint: dir, v2, systemd: false };
}

async function fill(v2: boolean): Promise<(file: string) => Promise<string>> {
  const dir = `${mountPoint}/${v2 ? "v2" : "v1"}`;
  const options = optionsFor(dir, v2);
  await prepareCgroups(options, { milliCpu: 4000, memoryBytes: 2 ** 32 });
  for (const one of [guaranteed, burstable, whole]) await createPodCgroup(options, one);
  await weighBurstable(options, burstableShares([guaranteed, burstable, whole]));
  return (file) => readFile(`${dir}/${file}`, "utf8");
}

test("version 1: shares, quotas and limits go to their controllers", async () => {
  const read = await fill(false);
  expect(await read("cpu/kubepods/cpu.shares")).toBe("4096");
  expect(await read("memory/kubepods/memory.limit_in_bytes")).toBe(`${2 ** 32}`);
  expect(await read("cpu/kubepods/besteffort/cpu.shares")).toBe("2");
  expect(await read("cpu/kubepods/podg/cpu.shares")).toBe("512");
  expect(await read("cpu/kubepods/podg/cpu.cfs_period_us")).toBe("100000");
  expect(await read("cpu/kubepods/podg/cpu.cfs_quota_us")).toBe("50000");
  expect(await read("memory/kubepods/podg/memory.limit_in_bytes")).toBe(`${64 * 2 ** 20}`);
  // The init container beside its sidecar asks for more than what runs later.
  expect(await read("cpu/kubepods/burstable/podb/cpu.shares")).toBe("409");
  expect(read("cpu/kubepods/burstable/podb/cpu.cfs_quota_us")).rejects.toThrow("ENOENT");
  expect(await read("cpu/kubepods/burstable/podw/cpu.shares")).toBe("1126");
  expect(await read("cpu/kubepods/burstable/podw/cpu.cfs_quota_us")).toBe("210000");
  expect(await read("cpu/kubepods/burstable/cpu.shares")).toBe("1536");
});

test("version 2: weights, one tree, controllers handed down", async () => {
  const read = await fill(true);
  expect(await read("kubepods/cpu.weight")).toBe("157");
  expect(await read("kubepods/memory.max")).toBe(`${2 ** 32}`);
  expect(await read("kubepods/besteffort/cpu.weight")).toBe("1");
  expect(await read("kubepods/podg/cpu.weight")).toBe("20");
  expect(await read("kubepods/podg/cpu.max")).toBe("50000 100000");
  expect(await read("kubepods/podg/memory.max")).toBe(`${64 * 2 ** 20}`);
  expect(await read("kubepods/burstable/podb/cpu.weight")).toBe("16");
  expect(await read("kubepods/burstable/podw/cpu.max")).toBe("210000 100000");
  expect(await read("kubepods/burstable/podw/memory.max")).toBe(`${2 ** 30 + 2 ** 20}`);
  expect(await read("kubepods/burstable/cpu.weight")).toBe("59");
  const handedDown = (await read("kubepods/burstable/cgroup.subtree_control")).split("\n");
  expect(handedDown.slice(0, 4)).toEqual(["+cpu", "+cpuset", "+memory", "+pids"]);
});

const uid = "1a67d91b-d5e4-474a-958c-680112a3483f";

test("a pod's cgroup is found in whatever hierarchy it is left", async () => {
  const dir = `${mountPoint}/left`;
  await mkdir(`${dir}/memory/kubepods`, { recursive: true });
  await mkdir(`${dir}/systemd/kubepods/besteffort/pod${uid}/container`, { recursive: true });
  await mkdir(`${dir}/systemd/kubepods/besteffort/podless`);
  expect(await podsInCgroups(optionsFor(dir, false))).toEqual(new Set([uid]));
});

test("the cgroup of a process that has to be killed goes once the process has", async () => {
  const place = `${mountPoint}/dying`;
  const dir = `${place}/systemd/kubepods/pod${uid}`;
  await mkdir(dir, { recursive: true });
  let tries = 0;
  const killed: number[] = [];
  const host: CgroupOptions["host"] = {
    ...realHost,
    readAt: async () => new TextEncoder().encode("4242\n"),
    signal: (pid) => void killed.push(pid),
    removeDirectory: async (path) => {
      if (killed.length === 0 || ++tries < 4) throw new Error(`EBUSY: ${path}`);
      await realHost.removeDirectory(path);
    },
  };
  const gone = pod(uid, { containers: [] });
  await removePodCgroup({ ...optionsFor(place, false), host }, gone);
  expect(killed).toEqual([4242]);
  expect(await podsInCgroups(optionsFor(place, false))).toEqual(new Set());
});
