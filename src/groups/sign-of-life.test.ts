import { afterAll, beforeAll, expect, spyOn, test } from "bun:test";
import { events, leases, nodes } from "../client/resources.ts";
import type { Lease } from "../gen/coordination-v1.ts";
import type { Node } from "../gen/core-v1.ts";
import { openWorld, type World } from "./test-world.ts";

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world[Symbol.asyncDispose]());

/** How durable each write was that `work` made. */
async function durabilities(work: () => Promise<unknown>): Promise<unknown[]> {
  using put = spyOn(world.store, "put");
  await work();
  return put.mock.calls.map(([, , , , durability]) => durability);
}

const lease: Lease = {
  apiVersion: "coordination.k8s.io/v1",
  kind: "Lease",
  metadata: { name: "leader", namespace: "default" },
  spec: { holderIdentity: "a", leaseDurationSeconds: 40, renewTime: "2026-01-01T00:00:00.000000Z" },
};

test("a renewed lease is durable soon; one that changes hands is durable now", async () => {
  const change = (spec: object) =>
    world.client.patch(leases, "default", "leader", "merge", { spec });
  expect(await durabilities(() => world.client.create(leases, lease))).toEqual(["now"]);
  const renewed = { renewTime: "2026-01-01T00:00:10.000000Z" };
  expect(await durabilities(() => change(renewed))).toEqual(["soon"]);
  const taken = { renewTime: "2026-01-01T00:00:20.000000Z", holderIdentity: "b" };
  expect(await durabilities(() => change(taken))).toEqual(["now"]);
  const labels = () =>
    world.client.patch(leases, "default", "leader", "merge", { metadata: { labels: { a: "b" } } });
  expect(await durabilities(labels)).toEqual(["now"]);
});

test("what vanishes by itself is durable soon", async () => {
  const create = () =>
    world.client.create(events, {
      apiVersion: "v1",
      kind: "Event",
      metadata: { name: "e", namespace: "default" },
      involvedObject: { kind: "Pod", namespace: "default", name: "a" },
    });
  expect(await durabilities(create)).toEqual(["soon"]);
});

test("a node's heartbeat is durable soon; a changed condition is durable now", async () => {
  const condition = (status: string, minute: number) => ({
    type: "Ready",
    status,
    reason: "KubeletReady",
    message: "kubelet is posting ready status",
    lastTransitionTime: "2026-01-01T00:00:00Z",
    lastHeartbeatTime: `2026-01-01T00:0${minute}:00Z`,
  });
  const node: Node = {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: "a" },
    spec: {},
    status: { conditions: [condition("True", 0)] },
  };
  const change = (status: Node["status"]) =>
    world.client.patch(nodes, "", "a", "strategic", { status }, { subresource: "status" });
  expect(await durabilities(() => world.client.create(nodes, node))).toEqual(["now"]);
  const heartbeat = () => change({ conditions: [condition("True", 5)] });
  expect(await durabilities(heartbeat)).toEqual(["soon"]);
  const failed = () => change({ conditions: [condition("False", 6)] });
  expect(await durabilities(failed)).toEqual(["now"]);
});
