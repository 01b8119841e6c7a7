import { expect, test } from "bun:test";
import { endpointSlices, endpoints, pods, services } from "../../client/resources.ts";
import { World } from "../testing/world.ts";
import { createEndpointSliceController, createEndpointsController } from "./endpoints.ts";

async function start() {
  const world = new World();
  world.run(createEndpointSliceController(world.context), createEndpointsController(world.context));
  await world.client.create(services, {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "web", namespace: "default", labels: { team: "a" } },
    spec: {
      selector: { app: "web" },
      ipFamilies: ["IPv4"],
      ports: [{ name: "http", port: 80, targetPort: "http", protocol: "TCP" }],
    },
  });
  await world.settle();
  return world;
}

async function addPod(world: World, name: string, ip: string, ready: boolean) {
  await world.client.create(pods, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default", labels: { app: "web" } },
    spec: {
      nodeName: "n1",
      containers: [
        { name: "c", image: "i", ports: [{ name: "http", containerPort: 8080, protocol: "TCP" }] },
      ],
    },
    status: {
      podIP: ip,
      podIPs: [{ ip }],
      conditions: [{ type: "Ready", status: ready ? "True" : "False" }],
    },
  });
  await world.settle();
}

test("a Service without pods has one empty slice, and Endpoints without subsets", async () => {
  const world = await start();
  const [slice, ...more] = world.list(endpointSlices);
  expect(more).toEqual([]);
  expect(slice).toMatchObject({ addressType: "IPv4", endpoints: [], ports: [] });
  expect(world.get(endpoints, "default/web").subsets).toBeUndefined();
});

test("ready and unready pods show with resolved ports and conditions", async () => {
  const world = await start();
  await addPod(world, "a", "10.42.0.5", true);
  await addPod(world, "b", "10.42.0.6", false);
  const [slice, ...more] = world.list(endpointSlices);
  expect(more).toEqual([]);
  expect(slice?.metadata.labels).toEqual({
    team: "a",
    "kubernetes.io/service-name": "web",
    "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
  });
  expect(slice?.ports).toEqual([{ name: "http", protocol: "TCP", port: 8080 }]);
  const seen = slice?.endpoints?.map(({ addresses, conditions }) => [
    addresses[0],
    conditions?.ready,
  ]);
  expect(seen).toEqual([
    ["10.42.0.5", true],
    ["10.42.0.6", false],
  ]);
  const [subset] = world.get(endpoints, "default/web").subsets ?? [];
  expect(subset?.addresses?.map(({ ip }) => ip)).toEqual(["10.42.0.5"]);
  expect(subset?.notReadyAddresses?.map(({ ip }) => ip)).toEqual(["10.42.0.6"]);
  expect(world.failures).toEqual([]);
});

test("a stopping pod serves but is not ready, and a gone one is dropped", async () => {
  const world = await start();
  await addPod(world, "a", "10.42.0.5", true);
  await world.client.delete(pods, "default", "a");
  await world.settle();
  expect(world.list(endpointSlices)[0]?.endpoints?.[0]?.conditions).toEqual({
    ready: false,
    serving: true,
    terminating: true,
  });
  await world.client.delete(pods, "default", "a", { gracePeriodSeconds: 0 });
  await world.settle();
  expect(world.list(endpointSlices)[0]?.endpoints).toEqual([]);
});

test("more than a hundred pods need a second slice", async () => {
  const world = await start();
  for (let i = 0; i < 101; i++) await addPod(world, `p${i}`, `10.42.1.${i}`, true);
  const sizes = world.list(endpointSlices).map((slice) => slice.endpoints?.length ?? 0);
  expect(sizes.sort()).toEqual([1, 100]);
});
