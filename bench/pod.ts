/** Creation of a pod until its status says Running, with the image present. */
import { cpSync } from "node:fs";
import { join } from "node:path";
import type { Bench, Measure } from "./main.ts";
import { BenchServer, testImage, usageOf } from "./server.ts";

const runs = 20;
const architecture = process.arch === "arm64" ? "arm64" : "amd64";
const archive = join(import.meta.dir, `../build/images/busybox-${architecture}.tar`);
const pods = "/api/v1/namespaces/default/pods";

export const podBench: Bench = {
  name: "pod",
  async run(): Promise<readonly Measure[]> {
    const server = new BenchServer();
    cpSync(archive, join(server.dataDir, "agent/images/busybox.tar"));
    const running: number[] = [];
    const own: number[] = [];
    const gone: number[] = [];
    try {
      await server.start();
      // The first pod waits for the image's import: it only warms up.
      for (let run = 0; run <= runs; run++) {
        const took = await onePod(server, `pod-${run}`);
        if (run === 0) continue;
        running.push(took.runningMs);
        own.push(took.ownMs);
        gone.push(took.goneMs);
      }
    } finally {
      await server.destroy();
    }
    return [
      { name: "create → Running", unit: "ms", runs: running, budget: "≤ 250" },
      {
        name: "processor time of k3 itself in it, mean",
        unit: "ms",
        runs: [own.reduce((sum, ms) => sum + ms, 0) / own.length],
      },
      { name: "delete → gone (grace period of 1 s)", unit: "ms", runs: gone },
    ];
  },
};

async function onePod(server: BenchServer, name: string) {
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name },
    spec: { containers: [{ name: "main", image: testImage, command: ["sleep", "3600"] }] },
  };
  await server.until(async () => {
    return (await server.get("/api/v1/namespaces/default/serviceaccounts/default")).status === 200;
  });
  const [running, gone] = [Promise.withResolvers<number>(), Promise.withResolvers<number>()];
  const watch = server.watch(`${pods}?watch=true`, ({ type, object }) => {
    if (object.metadata.name !== name) return;
    if (object.status?.phase === "Running") running.resolve(performance.now());
    if (type === "DELETED") gone.resolve(performance.now());
  });
  const { cpuSeconds } = usageOf(server.pid);
  const begin = performance.now();
  await server.until(async () => (await server.request("POST", pods, pod)).status === 201);
  const runningMs = (await running.promise) - begin;
  const ownMs = (usageOf(server.pid).cpuSeconds - cpuSeconds) * 1000;
  const deleted = performance.now();
  await server.request("DELETE", `${pods}/${name}?gracePeriodSeconds=1`);
  const goneMs = (await gone.promise) - deleted;
  watch.destroy();
  return { runningMs, ownMs, goneMs };
}
