/** From exec to /readyz, to a Ready node and to the first running pod. */
import { cpSync } from "node:fs";
import { join } from "node:path";
import type { Bench, Measure } from "./main.ts";
import { BenchServer, testImage } from "./server.ts";

const runs = 5;
const architecture = process.arch === "arm64" ? "arm64" : "amd64";
const archive = join(import.meta.dir, `../build/images/busybox-${architecture}.tar`);

const pod = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "first" },
  spec: {
    terminationGracePeriodSeconds: 0,
    containers: [{ name: "main", image: testImage, command: ["sleep", "3600"] }],
  },
};

export const startBench: Bench = {
  name: "start",
  async run(): Promise<readonly Measure[]> {
    const ready: number[] = [];
    const nodeReady: number[] = [];
    const podRuns: number[] = [];
    const again: number[] = [];
    for (let run = 0; run < runs; run++) {
      const server = new BenchServer();
      cpSync(archive, join(server.dataDir, "agent/images/busybox.tar"));
      const begin = performance.now();
      try {
        ready.push(await server.start());
        await server.until(async () => {
          const { body } = await server.get("/api/v1/nodes/k3-bench");
          const { conditions } = JSON.parse(body).status;
          return conditions.some(
            (one: { type: string; status: string }) =>
              one.type === "Ready" && one.status === "True",
          );
        });
        nodeReady.push(performance.now() - begin);
        await server.until(async () => {
          const made = await server.request("POST", "/api/v1/namespaces/default/pods", pod);
          return made.status === 201;
        });
        await server.until(async () => {
          const { body } = await server.get("/api/v1/namespaces/default/pods/first");
          return JSON.parse(body).status.phase === "Running";
        });
        podRuns.push(performance.now() - begin);
        await server.stop();
        again.push(await server.start());
      } finally {
        await server.destroy();
      }
    }
    return [
      { name: "first start to /readyz", unit: "ms", runs: ready, budget: "≤ 1000" },
      { name: "first start to node Ready", unit: "ms", runs: nodeReady, budget: "≤ 2000" },
      { name: "first start to first pod Running", unit: "ms", runs: podRuns, budget: "≤ 3000" },
      { name: "restart to /readyz", unit: "ms", runs: again, budget: "≤ 400" },
    ];
  },
};
