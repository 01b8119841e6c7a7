/** Creation of a pod until its status says Running, with the image present. */
import { cpSync } from "node:fs";
import { join } from "node:path";
import type { Bench, Measure } from "./main.ts";
import { BenchServer, testImage } from "./server.ts";

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
    const gone: number[] = [];
    try {
      await server.start();
      // The first pod waits for the image's import: it only warms up.
      for (let run = 0; run <= runs; run++) {
        const took = await onePod(server, `pod-${run}`);
        if (run === 0) continue;
        running.push(took.runningMs);
        gone.push(took.goneMs);
      }
    } finally {
      await server.destroy();
    }
    return [
      { name: "create → Running", unit: "ms", runs: running, budget: "≤ 250" },
      { name: "delete → gone (no grace)", unit: "ms", runs: gone },
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
  const begin = performance.now();
  await server.until(async () => (await server.request("POST", pods, pod)).status === 201);
  await server.until(async () => {
    const { body } = await server.get(`${pods}/${name}`);
    return JSON.parse(body).status.phase === "Running";
  });
  const runningMs = performance.now() - begin;
  const deleted = performance.now();
  await server.request("DELETE", `${pods}/${name}?gracePeriodSeconds=1`);
  await server.until(async () => (await server.get(`${pods}/${name}`)).status === 404);
  return { runningMs, goneMs: performance.now() - deleted };
}
