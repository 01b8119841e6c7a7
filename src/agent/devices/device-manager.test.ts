import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { DevicePlugin, Registration } from "../../gen/cri/deviceplugin_pb.ts";
import { PodResourcesLister } from "../../gen/cri/podresources_pb.ts";
import { realHost } from "../../runtime/host.ts";
import { createRuntime } from "../../runtime/real.ts";
import type { Scope } from "../../runtime/scope.ts";
import { openSocket } from "../cri/client.ts";
import type { Pod } from "../kubelet/types.ts";
import { DeviceManager } from "./device-manager.ts";
import { servePodResources } from "./pod-resources.ts";
import { serveSocket } from "./socket-server.ts";

const runtime = createRuntime({ logLevel: "error" });
const rootDir = mkdtempSync(join(tmpdir(), "k3-devices-"));
const resource = "example.com/widget";

class Life implements Scope {
  readonly #stop = new AbortController();
  readonly #ends: (() => Promise<void> | void)[] = [];
  readonly #tasks: Promise<void>[] = [];
  readonly signal = this.#stop.signal;

  task(_name: string, run: (signal: AbortSignal) => Promise<void>): void {
    this.#tasks.push(run(this.signal));
  }

  defer(end: () => Promise<void> | void): void {
    this.#ends.push(end);
  }

  async end(): Promise<void> {
    this.#stop.abort();
    for (const end of this.#ends.toReversed()) await end();
    await Promise.all(this.#tasks);
  }
}

function pod(uid: string, count: number, initCount = 0): Pod {
  const resources = (amount: number) => ({ limits: { [resource]: `${amount}` } });
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: uid, namespace: "n", uid },
    spec: {
      initContainers: initCount === 0 ? [] : [{ name: "i", resources: resources(initCount) }],
      containers: [{ name: "c", resources: resources(count) }],
    },
  };
}

let health = ["Healthy", "Healthy", "Healthy"];
let tell = (): void => {};
let started: readonly string[] = [];
let life = new Life();
let manager: DeviceManager;
let changed = Promise.withResolvers<void>();
let closePlugin = async (): Promise<void> => {};

/** A plugin with three widgets, which prefers those with the highest numbers. */
async function servePlugin(): Promise<() => Promise<void>> {
  return await serveSocket(`${rootDir}/device-plugins/widget.sock`, (router) => {
    router.service(DevicePlugin, {
      getDevicePluginOptions: () => ({}),
      listAndWatch: async function* () {
        for (;;) {
          const next = Promise.withResolvers<void>();
          tell = next.resolve;
          const topology = { nodes: [{ ID: 1n }] };
          yield { devices: health.map((one, at) => ({ ID: `w${at}`, health: one, topology })) };
          await next.promise;
        }
      },
      getPreferredAllocation: ({ containerRequests: [request] }) => {
        const ids = request?.availableDeviceIDs.toReversed() ?? [];
        return { containerResponses: [{ deviceIDs: ids.slice(0, request?.allocationSize) }] };
      },
      allocate: ({ containerRequests: [request] }) => ({
        containerResponses: [{ envs: { WIDGETS: request?.devicesIds.join(",") ?? "" } }],
      }),
      preStartContainer: ({ devicesIds }) => {
        started = devicesIds;
        return {};
      },
    });
  });
}

async function startManager(): Promise<void> {
  life = new Life();
  changed = Promise.withResolvers<void>();
  const onChange = (): void => changed.resolve();
  manager = new DeviceManager({ runtime, host: realHost, scope: life, rootDir, onChange });
  await manager.start();
}

async function register(version = "v1beta1", resourceName = resource): Promise<void> {
  const { transport, close } = openSocket(`${rootDir}/device-plugins/kubelet.sock`);
  const options = { preStartRequired: true, getPreferredAllocationAvailable: true };
  const request = { version, endpoint: "widget.sock", resourceName, options };
  await createClient(Registration, transport).register(request).finally(close);
}

/** Waits for the refusal: both ends are in this process, and `rejects` would let neither go on. */
async function said(call: Promise<unknown>): Promise<string> {
  return await call.then(
    () => "nothing was refused",
    (error: unknown) => `${error}`,
  );
}

async function change(act: () => void): Promise<void> {
  changed = Promise.withResolvers<void>();
  act();
  await changed.promise;
}

beforeAll(async () => {
  await startManager();
  closePlugin = await servePlugin();
  await register();
  await changed.promise;
});
afterAll(async () => {
  await life.end();
  await closePlugin();
  rmSync(rootDir, { recursive: true });
});

test("a plugin's devices are counted, given as it prefers, and given back", async () => {
  expect(manager.store.totals()).toEqual({
    capacity: { [resource]: "3" },
    allocatable: { [resource]: "3" },
  });
  expect(await manager.allocate(pod("a", 2))).toBeUndefined();
  const [grant] = await manager.grantsFor("a", "c");
  expect(grant?.envs).toEqual({ WIDGETS: "w2,w1" });
  expect(started).toEqual(["w2", "w1"]);
  expect(await manager.allocate(pod("b", 2))).toBe(
    "Allocate failed due to requested number of devices unavailable for example.com/widget. " +
      "Requested: 2, Available: 1, which is unexpected",
  );
  // Asked again it is given the same.
  expect(await manager.allocate(pod("a", 2))).toBeUndefined();
  expect(manager.store.holdings()).toHaveLength(1);
  await manager.release("a");
  expect(await manager.allocate(pod("b", 2))).toBeUndefined();
  await manager.release("b");
});

test("containers take over what init containers held", async () => {
  expect(await manager.allocate(pod("i", 3, 2))).toBeUndefined();
  expect(manager.store.held("i", "i")[0]?.ids).toEqual(["w2", "w1"]);
  expect(manager.store.held("i", "c")[0]?.ids.toSorted()).toEqual(["w0", "w1", "w2"]);
  await manager.release("i");
});

test("what is unhealthy is not given away", async () => {
  await change(() => {
    health = ["Unhealthy", "Healthy", "Unhealthy"];
    tell();
  });
  expect(manager.store.totals().allocatable).toEqual({ [resource]: "1" });
  expect(await manager.allocate(pod("a", 2))).toContain("Requested: 2, Available: 1");
  await change(() => {
    health = ["Healthy", "Healthy", "Healthy"];
    tell();
  });
});

test("the pod resources API tells who holds what", async () => {
  const holder = pod("a", 1);
  await manager.allocate(holder);
  const options = { host: realHost, scope: life, rootDir, store: manager.store };
  const claims = { usedBy: () => [] };
  await servePodResources({ ...options, claims, pods: () => [holder] });
  const { transport, close } = openSocket(`${rootDir}/pod-resources/kubelet.sock`);
  const lister = createClient(PodResourcesLister, transport);
  const devices = [
    { resourceName: resource, deviceIds: ["w2"], topology: { nodes: [{ ID: 1n }] } },
  ];
  const { podResources } = await lister.list({});
  expect(podResources).toMatchObject([
    { name: "a", namespace: "n", containers: [{ name: "c", devices }] },
  ]);
  expect((await lister.getAllocatableResources({})).devices).toHaveLength(3);
  expect(await said(lister.get({ podName: "x", podNamespace: "n" }))).toContain(
    "pod x in namespace n not found",
  );
  close();
  await manager.release("a");
});

test("registrations that make no sense are refused", async () => {
  expect(await said(register("v1alpha1"))).toContain(
    `requested API version "v1alpha1" is not supported by kubelet. ` +
      `Supported version is ["v1beta1"]`,
  );
  for (const name of ["widget", "kubernetes.io/widget", "node.kubernetes.io/widget"]) {
    const refusal = `the ResourceName "${name}" is invalid`;
    expect(await said(register("v1beta1", name))).toContain(refusal);
  }
});

test("what pods hold outlives the kubelet; without its plugin nothing more is given", async () => {
  await manager.allocate(pod("a", 1));
  await life.end();
  await startManager();
  expect(manager.store.held("a", "c")[0]?.grant.envs).toEqual({ WIDGETS: "w2" });
  expect(manager.store.totals().capacity).toEqual({ [resource]: "0" });
  expect(await manager.allocate(pod("b", 1))).toBe(
    "Allocate failed due to cannot allocate unregistered device example.com/widget, " +
      "which is unexpected",
  );
  // The socket is new: the plugin, which watches for that, registers again.
  await closePlugin();
  closePlugin = await servePlugin();
  await register();
  await changed.promise;
  expect(await manager.allocate(pod("b", 2))).toBeUndefined();
  expect(manager.store.held("b", "c")[0]?.ids).toEqual(["w1", "w0"]);
  await change(() => void closePlugin());
  expect(manager.store.totals()).toEqual({
    capacity: { [resource]: "3" },
    allocatable: { [resource]: "0" },
  });
});
