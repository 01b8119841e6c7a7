/**
 * A node full of pods: 110 at once beside what containerd alone needs for as many sandboxes and
 * containers, their end, what the node uses meanwhile, and how soon an exit shows in the API.
 */
import { cpSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type CriClient, openCri } from "../src/agent/cri/client.ts";
import type { Bench, Measure } from "./main.ts";
import { BenchServer, testImage, usageOf, type WatchEvent } from "./server.ts";

const podsAtOnce = 110;
const exits = 100;
const exitsAtOnce = 10;
const architecture = process.arch === "arm64" ? "arm64" : "amd64";
const archive = join(import.meta.dir, `../build/images/busybox-${architecture}.tar`);
const pods = "/api/v1/namespaces/default/pods";
const socket = "/run/k3s/containerd/containerd.sock";

export const crowdBench: Bench = {
  name: "crowd",
  async run(): Promise<readonly Measure[]> {
    const server = new BenchServer();
    cpSync(archive, join(server.dataDir, "agent/images/busybox.tar"));
    try {
      await server.start();
      await warmUp(server);
      const bareMs = await bareContainerd();
      const crowd = await fillNode(server);
      const exitMs = await exitsToStatus(server);
      return [
        { name: "110 sandboxes and containers, containerd alone", unit: "ms", runs: [bareMs] },
        { name: "110 pods at once → all Running", unit: "ms", runs: [crowd.runningMs] },
        { name: "their ratio", unit: "", runs: [crowd.runningMs / bareMs], budget: "≤ 1.3" },
        { name: "k3 resident with 110 pods", unit: "MB", runs: [crowd.residentMb] },
        { name: "delete 110 → all gone", unit: "ms", runs: [crowd.goneMs], budget: "≤ 6000" },
        { name: "exit → status, p50", unit: "ms", runs: [percentile(exitMs, 50)] },
        { name: "exit → status, p99", unit: "ms", runs: [percentile(exitMs, 99)], budget: "≤ 100" },
      ];
    } finally {
      await server.destroy();
    }
  },
};

function podOf(name: string, command: readonly string[]) {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name },
    spec: {
      restartPolicy: "Never",
      terminationGracePeriodSeconds: 1,
      containers: [{ name: "main", image: testImage, command }],
    },
  };
}

/** Resolves once `count` pods have been seen for which `holds` says so; tells when each was. */
function seen(server: BenchServer, count: number, holds: (event: WatchEvent) => boolean) {
  const at = new Map<string, number>();
  const all = Promise.withResolvers<void>();
  const watch = server.watch(`${pods}?watch=true`, (event) => {
    const { name } = event.object.metadata;
    if (!holds(event) || at.has(name)) return;
    at.set(name, performance.now());
    if (at.size === count) all.resolve();
  });
  return { at, done: all.promise.finally(() => watch.destroy()) };
}

const isRunning = ({ object }: WatchEvent): boolean => object.status?.phase === "Running";
const isGone = ({ type }: WatchEvent): boolean => type === "DELETED";

/** One pod that has run and gone: image imported, account there, code warm. */
async function warmUp(server: BenchServer): Promise<void> {
  const running = seen(server, 1, isRunning);
  const body = podOf("first", ["sleep", "3600"]);
  await server.until(async () => (await server.request("POST", pods, body)).status === 201);
  await running.done;
  const gone = seen(server, 1, isGone);
  await server.request("DELETE", `${pods}/first`);
  await gone.done;
}

async function fillNode(server: BenchServer) {
  const names = Array.from({ length: podsAtOnce }, (_, index) => `pod-${index}`);
  const running = seen(server, podsAtOnce, isRunning);
  const begin = performance.now();
  await Promise.all(
    names.map((name) => server.request("POST", pods, podOf(name, ["sleep", "3600"]))),
  );
  await running.done;
  const runningMs = performance.now() - begin;
  const { residentMb } = usageOf(server.pid);
  const gone = seen(server, podsAtOnce, isGone);
  const deleted = performance.now();
  await server.request("DELETE", pods);
  await gone.done;
  return { runningMs, residentMb, goneMs: performance.now() - deleted };
}

/** Milliseconds since the machine started, as its containers see them too (to 10 ms). */
function uptimeMs(): number {
  return Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]) * 1000;
}

/** The container writes the time of its end as its last words, which the status then carries. */
async function exitsToStatus(server: BenchServer): Promise<readonly number[]> {
  const took: number[] = [];
  const words = "cat /proc/uptime > /dev/termination-log";
  const bootAt = performance.now() - uptimeMs();
  for (let at = 0; at < exits; at += exitsAtOnce) {
    const names = Array.from({ length: exitsAtOnce }, (_, index) => `exit-${at + index}`);
    const over = seen(server, exitsAtOnce, ({ object }) => object.status?.phase === "Succeeded");
    const command = ["sh", "-c", `sleep 1; ${words}`];
    await Promise.all(names.map((name) => server.request("POST", pods, podOf(name, command))));
    await over.done;
    for (const name of names) {
      const { body } = await server.get(`${pods}/${name}`);
      const message = JSON.parse(body).status.containerStatuses[0].state.terminated.message;
      const endedAt = bootAt + Number(message.split(" ")[0]) * 1000;
      took.push((over.at.get(name) ?? 0) - endedAt);
    }
    const gone = seen(server, exitsAtOnce, isGone);
    await server.request("DELETE", pods);
    await gone.done;
  }
  return took;
}

/** The same sandboxes and containers, asked of the same containerd by nobody but us. */
async function bareContainerd(): Promise<number> {
  const cri = openCri(socket);
  try {
    const ids = Array.from({ length: podsAtOnce }, (_, index) => `bare-${index}`);
    const begin = performance.now();
    const sandboxes = await Promise.all(ids.map((id) => startBare(cri, id)));
    const tookMs = performance.now() - begin;
    await Promise.all(
      sandboxes.map(async (podSandboxId) => {
        await cri.runtime.stopPodSandbox({ podSandboxId });
        await cri.runtime.removePodSandbox({ podSandboxId });
      }),
    );
    return tookMs;
  } finally {
    cri.close();
  }
}

async function startBare(cri: CriClient, id: string): Promise<string> {
  const metadata = { name: id, namespace: "bench", uid: id, attempt: 0 };
  const sandbox = { metadata, hostname: id, linux: {} };
  const { podSandboxId } = await cri.runtime.runPodSandbox({ config: sandbox });
  const { containerId } = await cri.runtime.createContainer({
    podSandboxId,
    config: {
      metadata: { name: "main", attempt: 0 },
      image: { image: testImage },
      command: ["sleep", "3600"],
      linux: {},
    },
    sandboxConfig: sandbox,
  });
  await cri.runtime.startContainer({ containerId });
  return podSandboxId;
}

function percentile(values: readonly number[], percent: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * percent) / 100))] ?? 0;
}
