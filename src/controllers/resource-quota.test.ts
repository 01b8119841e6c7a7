import { expect, test } from "bun:test";
import { configMaps, pods, resourceQuotas, services } from "../client/resources.ts";
import type { Pod, ResourceQuotaSpec } from "../gen/core-v1.ts";
import { createResourceQuotaController } from "./resource-quota.ts";
import { World } from "./testing/world.ts";

const resources = [configMaps, pods, services, resourceQuotas];

async function start(...specs: readonly ResourceQuotaSpec[]): Promise<World> {
  const world = new World();
  const options = { collectable: resources, namespacedResources: () => resources };
  for (const [index, spec] of specs.entries()) {
    await world.client.create(resourceQuotas, {
      apiVersion: "v1",
      kind: "ResourceQuota",
      metadata: { name: `q${index}`, namespace: "default" },
      spec,
    });
  }
  world.run(createResourceQuotaController(world.context, options));
  await world.settle();
  return world;
}

async function addPod(world: World, name: string, spec: Partial<Pod["spec"]>): Promise<void> {
  await world.client.create(pods, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default" },
    spec: { containers: [{ name: "c", image: "i" }], ...spec },
  });
}

const used = (world: World, name = "q0") =>
  world.get(resourceQuotas, `default/${name}`).status?.used;

test("a new quota counts what is there, limits and all", async () => {
  const world = await start({
    hard: { pods: "5", "requests.cpu": "1", "count/configmaps": "2", "unknown.io/x": "1" },
  });
  expect(world.get(resourceQuotas, "default/q0").status).toEqual({
    hard: { pods: "5", "requests.cpu": "1", "count/configmaps": "2", "unknown.io/x": "1" },
    used: { pods: "0", "requests.cpu": "0", "count/configmaps": "0" },
  });
});

test("what ends or goes is given back", async () => {
  const world = await start({ hard: { pods: "5", "requests.cpu": "1", "limits.memory": "1Gi" } });
  const asking = (cpu: string) => ({
    containers: [
      { name: "c", image: "i", resources: { requests: { cpu }, limits: { memory: "64Mi" } } },
    ],
  });
  await addPod(world, "a", asking("100m"));
  await addPod(world, "b", asking("200m"));
  await world.advance(301_000);
  expect(used(world)).toEqual({ "limits.memory": "128Mi", pods: "2", "requests.cpu": "300m" });
  await world.change(pods, "default/a", (copy) => {
    copy.status = { phase: "Succeeded" };
  });
  await world.settle();
  expect(used(world)).toEqual({ "limits.memory": "64Mi", pods: "1", "requests.cpu": "200m" });
  await world.client.delete(pods, "default", "b");
  await world.settle();
  expect(used(world)).toEqual({ "limits.memory": "0", pods: "0", "requests.cpu": "0" });
});

test("what goes of a custom resource is given back within seconds", async () => {
  const world = new World();
  const namespacedResources = () => resources;
  const collectable = resources.filter(({ plural }) => plural !== configMaps.plural);
  for (const name of ["a", "b"]) {
    const metadata = { name, namespace: "default" };
    await world.client.create(configMaps, { apiVersion: "v1", kind: "ConfigMap", metadata });
  }
  await world.client.create(resourceQuotas, {
    apiVersion: "v1",
    kind: "ResourceQuota",
    metadata: { name: "q0", namespace: "default" },
    spec: { hard: { "count/configmaps": "5" } },
  });
  world.run(createResourceQuotaController(world.context, { collectable, namespacedResources }));
  await world.settle();
  expect(used(world)).toEqual({ "count/configmaps": "2" });
  await world.client.delete(configMaps, "default", "a");
  await world.advance(5_000);
  expect(used(world)).toEqual({ "count/configmaps": "1" });
});

test("a pod that leaves the scope of a quota is given back", async () => {
  const world = await start({ hard: { pods: "5" }, scopes: ["NotTerminating"] });
  await addPod(world, "a", {});
  await world.advance(301_000);
  expect(used(world)).toEqual({ pods: "1" });
  await world.change(pods, "default/a", (copy) => {
    copy.spec.activeDeadlineSeconds = 10;
  });
  await world.settle();
  expect(used(world)).toEqual({ pods: "0" });
});

test("scopes choose the pods, and Services count their node ports", async () => {
  const world = await start(
    { hard: { pods: "5" }, scopes: ["BestEffort"] },
    { hard: { pods: "5" }, scopes: ["NotTerminating", "NotBestEffort"] },
    { hard: { services: "5", "services.nodeports": "5", "services.loadbalancers": "1" } },
  );
  const resources = { requests: { cpu: "1" } };
  await addPod(world, "a", {});
  await addPod(world, "b", { containers: [{ name: "c", image: "i", resources }] });
  await addPod(world, "c", {
    activeDeadlineSeconds: 10,
    containers: [{ name: "c", image: "i", resources }],
  });
  await world.client.create(services, {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "s", namespace: "default" },
    spec: { type: "LoadBalancer", ports: [{ port: 80 }, { port: 81 }] },
  });
  await world.advance(301_000);
  expect(used(world, "q0")).toEqual({ pods: "1" });
  expect(used(world, "q1")).toEqual({ pods: "1" });
  expect(used(world, "q2")).toEqual({
    services: "1",
    "services.loadbalancers": "1",
    "services.nodeports": "2",
  });
});
