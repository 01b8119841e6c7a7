import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { realHost } from "../../runtime/host.ts";
import { createRuntime } from "../../runtime/real.ts";
import type { Pod } from "./types.ts";
import { volumeMetrics } from "./usage-metrics.ts";
import { VolumeStats } from "./volume-stats.ts";

const dir = mkdtempSync(join(tmpdir(), "k3-volumes-"));
afterAll(() => rmSync(dir, { recursive: true }));

const pod: Pod = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "p", namespace: "n", uid: "u" },
  spec: {
    containers: [],
    volumes: [
      { name: "scratch", emptyDir: {} },
      { name: "memory", emptyDir: { medium: "Memory" } },
      { name: "data", persistentVolumeClaim: { claimName: "mine" } },
      { name: "own", ephemeral: {} },
      { name: "host", hostPath: { path: "/" } },
      { name: "absent", emptyDir: {} },
      { name: "driven", persistentVolumeClaim: { claimName: "driven" } },
      { name: "silent", persistentVolumeClaim: { claimName: "silent" } },
    ],
  },
};

test("volumes are measured file by file, once in a while, those of the host never", async () => {
  for (const name of ["scratch/deep", "memory", "data", "own"]) {
    mkdirSync(join(dir, name), { recursive: true });
  }
  writeFileSync(join(dir, "scratch/deep/file"), "12345");
  writeFileSync(join(dir, "data/file"), "123");
  const runtime = createRuntime({ logLevel: "error" });
  const driverUse = {
    used: { bytes: 7, inodes: 1 },
    fs: { totalBytes: 9, freeBytes: 2, totalInodes: 5, freeInodes: 4 },
  };
  const volumes = {
    pathOf: (_pod: Pod, { name }: { name: string }) => join(dir, name),
    usageOf: (_pod: Pod, { name }: { name: string }) =>
      ({ driven: Promise.resolve(driverUse), silent: Promise.resolve(undefined) })[name],
  };
  const stats = new VolumeStats({ runtime, host: realHost, volumes });
  const found = await stats.read([pod]);
  const rows = (found.get("u") ?? []).map(({ name, claim, isEphemeral, used }) => {
    return [name, claim?.name, isEphemeral, used.bytes, used.inodes];
  });
  expect(rows).toEqual([
    ["scratch", undefined, true, 5, 2],
    ["memory", undefined, false, 0, 0],
    ["data", "mine", false, 3, 1],
    ["own", "p-own", false, 0, 0],
    ["driven", "driven", false, 7, 1],
  ]);
  const page = volumeMetrics(found);
  const labels = 'namespace="n",persistentvolumeclaim="mine"';
  expect(page).toContain(`kubelet_volume_stats_used_bytes{${labels}} 3\n`);
  expect(page).toContain(`kubelet_volume_stats_inodes_used{${labels}} 1\n`);
  expect(page.match(/^kubelet_volume_stats_capacity_bytes\{/gm)).toHaveLength(3);
  writeFileSync(join(dir, "data/more"), "123");
  expect(await stats.read([pod])).toEqual(found);
  expect(await stats.read([])).toEqual(new Map());
  expect(volumeMetrics(new Map())).toBe("");
  expect((await stats.read([pod])).get("u")?.[2]?.used.bytes).toBe(6);
});
