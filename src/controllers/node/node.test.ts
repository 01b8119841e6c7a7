import { expect, test } from "bun:test";
import { leases, nodes, pods } from "../../client/resources.ts";
import { createMetrics } from "../../runtime/metrics.ts";
import { World } from "../testing/world.ts";
import { createNodeIpamController, nextCidr } from "./ipam.ts";
import { createNodeLifecycleController } from "./lifecycle.ts";
import { evictionsPerSecond, zoneState } from "./zones.ts";

/** A second node beats all the time, so that the first is not the whole cluster. */
async function beat(world: World): Promise<void> {
  await world.change(nodes, "n2", (copy) => {
    const at = new Date(world.nowMs).toISOString();
    copy.status = { conditions: [{ type: "Ready", status: "True", lastHeartbeatTime: at }] };
  });
}

async function passing(world: World, seconds: number): Promise<void> {
  for (let passed = 0; passed < seconds; passed += 10) {
    await world.advance(10_000);
    if (world.list(nodes).length > 1) await beat(world);
  }
}

async function start(isAlone = false) {
  const world = new World();
  world.run(
    createNodeLifecycleController(world.context, createMetrics()),
    createNodeIpamController(world.context, { clusterCidrs: ["10.42.0.0/16"] }),
  );
  await world.client.create(leases, {
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    metadata: { name: "n1", namespace: "kube-node-lease" },
    spec: { renewTime: "2026-01-01T00:00:00.000000Z" },
  });
  await world.client.create(nodes, {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: "n1" },
    spec: { taints: [{ key: "node.kubernetes.io/not-ready", effect: "NoSchedule" }] },
    status: { conditions: [{ type: "Ready", status: "True", lastHeartbeatTime: "a" }] },
  });
  if (!isAlone) {
    await world.client.create(nodes, {
      apiVersion: "v1",
      kind: "Node",
      metadata: { name: "n2" },
      spec: {},
      status: { conditions: [{ type: "Ready", status: "True", lastHeartbeatTime: "a" }] },
    });
  }
  await world.settle();
  return world;
}

test("a ready node gets addresses and loses its not-ready taint", async () => {
  const world = await start();
  const { spec } = world.get(nodes, "n1");
  expect(spec).toMatchObject({ podCIDR: "10.42.0.0/24", podCIDRs: ["10.42.0.0/24"] });
  expect(spec?.taints ?? []).toEqual([]);
  expect(world.failures).toEqual([]);
});

test("a silent node becomes Unknown, is tainted, and pods leave in time", async () => {
  const world = await start();
  const create = async (name: string, tolerationSeconds?: number) =>
    await world.client.create(pods, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace: "default" },
      spec: {
        nodeName: "n1",
        containers: [{ name: "c", image: "i" }],
        tolerations: [
          {
            key: "node.kubernetes.io/unreachable",
            operator: "Exists",
            effect: "NoExecute",
            ...(tolerationSeconds === undefined ? {} : { tolerationSeconds }),
          },
        ],
      },
    });
  await create("patient");
  await create("hasty", 30);
  await passing(world, 60);
  const node = world.get(nodes, "n1");
  expect(node.status?.conditions?.find(({ type }) => type === "Ready")).toMatchObject({
    status: "Unknown",
    reason: "NodeStatusUnknown",
    message: "Kubelet stopped posting node status.",
  });
  expect(node.spec?.taints?.map(({ key, effect }) => [key, effect])).toEqual([
    ["node.kubernetes.io/unreachable", "NoSchedule"],
    ["node.kubernetes.io/unreachable", "NoExecute"],
  ]);
  const isLeaving = (name: string) =>
    world.get(pods, `default/${name}`).metadata.deletionTimestamp !== undefined;
  expect([isLeaving("hasty"), isLeaving("patient")]).toEqual([false, false]);
  await passing(world, 40);
  expect([isLeaving("hasty"), isLeaving("patient")]).toEqual([true, false]);
  await world.change(nodes, "n1", (copy) => {
    copy.status = { conditions: [{ type: "Ready", status: "True", lastHeartbeatTime: "b" }] };
  });
  await world.settle();
  expect(world.get(nodes, "n1").spec?.taints ?? []).toEqual([]);
});

test("nextCidr() gives the first free part and none when all are used", () => {
  expect(nextCidr("10.42.0.0/16", 24, new Set(["10.42.0.0/24"]))).toBe("10.42.1.0/24");
  expect(nextCidr("10.0.0.0/31", 32, new Set(["10.0.0.0/32", "10.0.0.1/32"]))).toBeUndefined();
});

test("a clock that jumps makes no node silent, and hides none that is", async () => {
  const world = await start();
  const readiness = (): string | undefined =>
    world.get(nodes, "n1").status?.conditions?.find(({ type }) => type === "Ready")?.status;
  world.aheadMs = 3_600_000;
  await passing(world, 20);
  expect(readiness()).toBe("True");
  world.aheadMs = -3_600_000;
  await passing(world, 20);
  expect(readiness()).toBe("True");
  await passing(world, 20);
  expect(readiness()).toBe("Unknown");
});

test("when every node is silent nobody is driven away", async () => {
  const world = await start(true);
  await passing(world, 60);
  expect(world.get(nodes, "n1").spec?.taints?.map(({ key, effect }) => [key, effect])).toEqual([
    ["node.kubernetes.io/unreachable", "NoSchedule"],
  ]);
});

test("zones with much trouble are slow to evict, small ones do not at all", () => {
  const node = (status: string) => ({
    apiVersion: "v1",
    kind: "Node",
    metadata: {},
    spec: {},
    status: { conditions: [{ type: "Ready", status }] },
  });
  const zone = (up: number, down: number) =>
    zoneState([
      ...Array.from({ length: up }, () => node("True")),
      ...Array.from({ length: down }, () => node("Unknown")),
    ]);
  expect([zone(3, 0), zone(1, 2), zone(2, 3), zone(0, 1)]).toEqual([
    "normal",
    "normal",
    "partial",
    "full",
  ]);
  expect(evictionsPerSecond({ size: 10, state: "normal" })).toBe(0.1);
  expect(evictionsPerSecond({ size: 10, state: "partial" })).toBe(0);
  expect(evictionsPerSecond({ size: 60, state: "partial" })).toBe(0.01);
});

test("the older labels of a machine follow the newer ones", async () => {
  const world = await start();
  await world.change(nodes, "n1", (copy) => {
    copy.metadata.labels = { "kubernetes.io/os": "linux", "kubernetes.io/arch": "arm64" };
  });
  await world.settle();
  expect(world.get(nodes, "n1").metadata.labels).toMatchObject({
    "beta.kubernetes.io/os": "linux",
    "beta.kubernetes.io/arch": "arm64",
  });
});

test("a taint that does not say when it came is counted from when it is seen", async () => {
  const world = await start();
  const toleration = { key: "k", operator: "Exists", effect: "NoExecute" };
  for (const seconds of [5, 25]) {
    await world.client.create(pods, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: `p${seconds}`, namespace: "default" },
      spec: {
        nodeName: "n1",
        containers: [{ name: "c", image: "i" }],
        tolerations: [{ ...toleration, tolerationSeconds: seconds }],
      },
    });
  }
  await world.change(nodes, "n1", (copy) => {
    copy.spec = { ...copy.spec, taints: [{ key: "k", value: "v", effect: "NoExecute" }] };
  });
  await world.advance(4_000);
  const leaving = () =>
    world.list(pods).map(({ metadata }) => metadata.deletionTimestamp !== undefined);
  expect(leaving()).toEqual([false, false]);
  await world.advance(6_000);
  expect(leaving()).toEqual([false, true]);
  await world.advance(16_000);
  expect(leaving()).toEqual([true, true]);
});

test("a node of a cluster of both families gets a part of each range", async () => {
  const clusterCidrs = ["10.42.0.0/16", "fd00:42::/56"];
  const world = new World();
  world.run(createNodeIpamController(world.context, { clusterCidrs }));
  for (const name of ["n1", "n2"])
    await world.client.create(nodes, {
      apiVersion: "v1",
      kind: "Node",
      metadata: { name },
      spec: {},
    });
  await world.settle();
  const given = world.list(nodes).map(({ spec }) => spec?.podCIDRs?.join());
  expect(given).toEqual(["10.42.0.0/24,fd00:42::/64", "10.42.1.0/24,fd00:42:0:1::/64"]);
  expect(world.get(nodes, "n2").spec?.podCIDR).toBe("10.42.1.0/24");
});

test("nextCidr() counts in IPv6, too", () => {
  expect(nextCidr("fd00:42::/56", undefined, new Set(["fd00:42::/64"]))).toBe("fd00:42:0:1::/64");
  const two = new Set(["fd00:42::/64", "fd00:42:0:1::/64"]);
  expect(nextCidr("fd00:42::/63", 64, two)).toBeUndefined();
});
