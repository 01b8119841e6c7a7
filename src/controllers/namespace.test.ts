import { expect, test } from "bun:test";
import { configMaps, namespaces, pods, serviceAccounts } from "../client/resources.ts";
import { createMetrics } from "../runtime/metrics.ts";
import { allControllers } from "./all.ts";
import { World } from "./testing/world.ts";

test("a namespace gets its account and CA, and empties before it goes", async () => {
  const world = new World();
  const controllers = allControllers(world.context, {
    rootCa: "PEM",
    metrics: createMetrics(),
    serviceLb: true,
    servesIngress: false,
    clusterCidrs: ["10.42.0.0/16"],
    allocatesNodeCidrs: true,
    collectable: [configMaps, pods, serviceAccounts],
    namespacedResources: () => [configMaps, pods, serviceAccounts],
  });
  world.run(...controllers.filter(({ name }) => name !== "pod-garbage-collector"));
  await world.client.create(namespaces, {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: "team" },
    spec: {},
  });
  await world.settle();
  expect(world.get(serviceAccounts, "team/default").metadata.name).toBe("default");
  expect(world.get(configMaps, "team/kube-root-ca.crt").data).toEqual({ "ca.crt": "PEM" });
  await world.client.create(pods, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "slow", namespace: "team" },
    spec: { nodeName: "n", containers: [{ name: "c", image: "i" }] },
  });
  await world.client.delete(namespaces, "", "team");
  await world.settle();
  const { status } = world.get(namespaces, "team");
  expect(status?.phase).toBe("Terminating");
  expect(
    status?.conditions?.find(({ type }) => type === "NamespaceContentRemaining"),
  ).toMatchObject({
    status: "True",
    message: "Some resources are remaining: pods. has 1 resource instances",
  });
  expect(world.list(configMaps)).toHaveLength(1);
  await world.client.delete(pods, "team", "slow", { gracePeriodSeconds: 0 });
  await world.advance(10_000);
  expect(world.list(namespaces)).toEqual([]);
  expect(world.list(configMaps)).toEqual([]);
});
