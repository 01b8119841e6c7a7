import { expect, test } from "bun:test";
import { pods, resourceClaims, resourceSlices } from "../client/resources.ts";
import type { Pod } from "../gen/core-v1.ts";
import type { DeviceTaint, DeviceToleration, ResourceClaim } from "../gen/resource-v1.ts";
import { createMetrics } from "../runtime/metrics.ts";
import { createDeviceTaintEvictionController } from "./device-taint-eviction.ts";
import { World } from "./testing/world.ts";

const startMs = Date.parse("2026-01-01T00:00:00Z");
const timeAdded = "2026-01-01T00:00:00Z";
const sick: DeviceTaint = { key: "sick", effect: "NoExecute", timeAdded };

/** A running pod with a device. */
async function start(tolerations: readonly DeviceToleration[] = []): Promise<World> {
  const world = new World();
  world.run(createDeviceTaintEvictionController(world.context, createMetrics()));
  const pod = await world.client.create(pods, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p", namespace: "default" },
    spec: {
      nodeName: "n",
      containers: [],
      resourceClaims: [{ name: "gpu", resourceClaimName: "c" }],
    },
  } as Pod);
  const claim = await world.client.create(resourceClaims, {
    apiVersion: "resource.k8s.io/v1",
    kind: "ResourceClaim",
    metadata: { name: "c", namespace: "default" },
    spec: {},
  } as ResourceClaim);
  const result = { request: "r", driver: "d", pool: "p", device: "a" };
  const status = {
    allocation: { devices: { results: [{ ...result, tolerations: [...tolerations] }] } },
    reservedFor: [{ resource: "pods", name: "p", uid: pod.metadata.uid ?? "" }],
  };
  await world.client.update(resourceClaims, { ...claim, status }, { subresource: "status" });
  await taint(world);
  return world;
}

async function taint(world: World, ...taints: readonly DeviceTaint[]): Promise<void> {
  const [known] = world.list(resourceSlices);
  const slice = {
    apiVersion: "resource.k8s.io/v1",
    kind: "ResourceSlice",
    metadata: { ...known?.metadata, name: "s" },
    spec: {
      driver: "d",
      pool: { name: "p", generation: 1, resourceSliceCount: 1 },
      nodeName: "n",
      devices: [{ name: "a", taints: [...taints] }],
    },
  };
  if (known === undefined) await world.client.create(resourceSlices, slice as never);
  else await world.client.update(resourceSlices, slice as never);
  await world.settle();
}

const isThere = (world: World): boolean =>
  world.list(pods).every(({ metadata }) => metadata.deletionTimestamp === undefined) &&
  world.list(pods).length === 1;
const tolerating = (seconds?: number): DeviceToleration => ({
  key: "sick",
  operator: "Exists",
  effect: "NoExecute",
  ...(seconds === undefined ? {} : { tolerationSeconds: seconds }),
});

test("a pod ends when a device that it uses must not be used any more", async () => {
  const world = await start();
  await taint(world, { ...sick, effect: "NoSchedule" });
  expect(isThere(world)).toBe(true);
  await taint(world, sick);
  expect(isThere(world)).toBe(false);
  expect(world.recorded.at(-1)).toMatchObject({
    reason: "DeviceTaintManagerEviction",
    message: "Marking for deletion",
  });
});

test("what is tolerated for a while ends later, or not, when the taint goes before", async () => {
  const world = await start([tolerating(60), tolerating(30)]);
  await taint(world, sick);
  expect([isThere(world), world.nowMs]).toEqual([true, startMs]);
  await world.advance(29_000);
  expect(isThere(world)).toBe(true);
  await taint(world);
  expect(world.recorded.at(-1)?.message).toBe("Cancelling deletion");
  await taint(world, sick);
  await world.advance(2_000);
  expect(isThere(world)).toBe(false);
});

test("what is tolerated for good stays", async () => {
  const world = await start([tolerating()]);
  await taint(world, sick);
  await world.advance(3_600_000);
  expect(isThere(world)).toBe(true);
});
