import { expect, test } from "bun:test";
import { leases, nodes, pods } from "../../client/resources.ts";
import { World } from "../testing/world.ts";
import { createNodeIpamController, nextCidr } from "./ipam.ts";
import { createNodeLifecycleController } from "./lifecycle.ts";

async function start() {
  const world = new World();
  world.run(
    createNodeLifecycleController(world.context),
    createNodeIpamController(world.context, { clusterCidr: "10.42.0.0/16" }),
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
  await world.advance(60_000);
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
  await world.advance(40_000);
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
