import { expect, test } from "bun:test";
import { nodes } from "../../client/resources.ts";
import { realHost } from "../../runtime/host.ts";
import { createSimulatedRuntime } from "../../runtime/simulated.ts";
import type { CriClient } from "../cri/client.ts";
import { MemoryApi } from "../testing/memory-api.ts";
import { defaultSettings } from "./kubelet-settings.ts";
import { NodeReporter } from "./node-reporter.ts";

function setUp() {
  const runtime = createSimulatedRuntime(1);
  const api = new MemoryApi();
  const conditions = ["RuntimeReady", "NetworkReady"].map((type) => ({ type, status: true }));
  const cri = {
    runtime: { version: async () => ({}), status: async () => ({ status: { conditions } }) },
    images: { listImages: async () => ({ images: [] }) },
  };
  const reporter = new NodeReporter({
    runtime,
    host: { ...realHost, fileSystem: async () => ({ ...disk }) },
    client: api,
    cri: cri as unknown as CriClient,
    events: api.recorder,
    identity: {
      name: "n1",
      ips: ["10.0.0.1"],
      addresses: { externalIps: [], internalDns: [], externalDns: [] },
      isServer: false,
      labels: {},
      taints: [],
      annotations: {},
      kubeletVersion: "v1.36.4",
      kubeletPort: 10250,
      settings: defaultSettings,
    },
    machine: { ...machine, hugepages: [] },
    pressures: () => [],
    isShuttingDown: () => false,
    volumesInUse: () => [],
    devices: () => ({ capacity: {}, allocatable: {} }),
  });
  return { runtime, api, reporter };
}

const disk = { totalBytes: 1e9, freeBytes: 1e9, totalInodes: 1e6, freeInodes: 1e6 };
const machine = {
  cpus: 2,
  memoryBytes: 1e9,
  swapBytes: 0,
  machineId: "m",
  systemUuid: "s",
  bootId: "b",
  kernelVersion: "k",
  osImage: "o",
  architecture: "amd64",
};

test("a node that was given up or deleted in vain tells so within seconds", async () => {
  const { runtime, api, reporter } = setUp();
  const over = new AbortController();
  await reporter.register(over.signal);
  const run = reporter.run(over.signal);
  const readiness = async (): Promise<string | undefined> => {
    const { status } = await api.get(nodes, "", "n1");
    return status?.conditions?.find(({ type }) => type === "Ready")?.status;
  };
  expect(await readiness()).toBe("True");
  const conditions = [{ type: "Ready", status: "Unknown" }];
  await api.patch(nodes, "", "n1", "strategic", { status: { conditions } });
  expect(await readiness()).toBe("Unknown");
  await runtime.clock.advance(10_000);
  expect(await readiness()).toBe("True");
  await api.delete(nodes, "", "n1");
  await runtime.clock.advance(10_000);
  expect(await readiness()).toBe("True");
  over.abort();
  await run;
});
