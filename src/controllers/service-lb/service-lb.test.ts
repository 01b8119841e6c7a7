import { describe, expect, test } from "bun:test";
import { endpointSlices, nodes, services } from "../../client/resources.ts";
import type { Node, Service } from "../../gen/core-v1.ts";
import { World } from "../testing/world.ts";
import { createServiceLbController } from "./service-lb.ts";

const pool = "svccontroller.k3s.cattle.io/lbpool";
const enable = "svccontroller.k3s.cattle.io/enablelb";

function node(name: string, ip: string, more: { labels?: object; taints?: object[] } = {}): Node {
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, labels: { ...more.labels } },
    spec: { taints: (more.taints ?? []) as never },
    status: {
      addresses: [{ type: "InternalIP", address: ip }],
      conditions: [{ type: "Ready", status: "True" }],
    },
  };
}

function balancer(name: string, more: Partial<Service["spec"]> = {}, labels = {}): Service {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "default", labels },
    spec: { type: "LoadBalancer", ports: [{ port: 80, protocol: "TCP" }], ...more },
  };
}

async function started(...some: readonly Node[]): Promise<World> {
  const world = new World();
  for (const one of some) await world.client.create(nodes, one);
  world.run(createServiceLbController(world.context));
  return world;
}

async function ipsOf(world: World, name: string): Promise<readonly (string | undefined)[]> {
  await world.settle();
  const { status } = await world.client.get(services, "default", name);
  return (status?.loadBalancer?.ingress ?? []).map(({ ip }) => ip);
}

describe("ServiceLB", () => {
  const taint = { key: "dedicated", effect: "NoSchedule" };
  const both = [node("a", "192.0.2.1"), node("b", "192.0.2.2", { taints: [taint] })];

  test("gives the addresses of nodes that are ready and not tainted", async () => {
    const world = await started(...both);
    await world.client.create(services, balancer("web"));
    expect(await ipsOf(world, "web")).toEqual(["192.0.2.1"]);
    const ready = await world.client.get(nodes, "", "a");
    const conditions = [{ type: "Ready", status: "Unknown" }];
    await world.client.update(
      nodes,
      { ...ready, status: { ...ready.status, conditions } },
      { subresource: "status" },
    );
    expect(await ipsOf(world, "web")).toEqual([]);
  });

  test("reads K3s's tolerations annotation", async () => {
    const world = await started(...both);
    const web = balancer("web");
    web.metadata.annotations = {
      "svccontroller.k3s.cattle.io/tolerations": "- {key: dedicated, operator: Exists}\n",
    };
    await world.client.create(services, web);
    expect(await ipsOf(world, "web")).toEqual(["192.0.2.1", "192.0.2.2"]);
  });

  test("keeps to the labelled nodes and to the Service's pool", async () => {
    const world = await started(
      node("a", "192.0.2.1"),
      node("b", "192.0.2.2", { labels: { [enable]: "true", [pool]: "one" } }),
      node("c", "192.0.2.3", { labels: { [enable]: "true", [pool]: "two" } }),
    );
    await world.client.create(services, balancer("any"));
    await world.client.create(
      services,
      balancer("two", { ports: [{ port: 81 }] }, { [pool]: "two" }),
    );
    expect(await ipsOf(world, "any")).toEqual(["192.0.2.2", "192.0.2.3"]);
    expect(await ipsOf(world, "two")).toEqual(["192.0.2.3"]);
  });

  test("a port belongs to whoever came first; the other is told, and gets it later", async () => {
    const world = await started(node("a", "192.0.2.1"));
    await world.client.create(services, balancer("first"));
    world.nowMs += 5000;
    await world.client.create(services, balancer("second"));
    expect(await ipsOf(world, "first")).toEqual(["192.0.2.1"]);
    expect(await ipsOf(world, "second")).toEqual([]);
    const message = "port 80/TCP on node a is held by Service default/first";
    const { status } = await world.client.get(services, "default", "second");
    expect(status?.conditions).toMatchObject([{ type: "LoadBalancerPortsError", message }]);
    expect(world.recorded).toContainEqual({
      about: "default/second",
      type: "Warning",
      reason: "PortConflict",
      message,
    });
    await world.client.delete(services, "default", "first");
    expect(await ipsOf(world, "second")).toEqual(["192.0.2.1"]);
    const after = await world.client.get(services, "default", "second");
    expect(after.status?.conditions ?? []).toEqual([]);
  });

  test("two Services share a port on different nodes", async () => {
    const world = await started(
      node("a", "192.0.2.1", { labels: { [pool]: "one" } }),
      node("b", "192.0.2.2", { labels: { [pool]: "two" } }),
    );
    await world.client.create(services, balancer("one", {}, { [pool]: "one" }));
    await world.client.create(services, balancer("two", {}, { [pool]: "two" }));
    expect(await ipsOf(world, "one")).toEqual(["192.0.2.1"]);
    expect(await ipsOf(world, "two")).toEqual(["192.0.2.2"]);
  });

  test("a Local policy names the nodes that have endpoints", async () => {
    const world = await started(node("a", "192.0.2.1"), node("b", "192.0.2.2"));
    await world.client.create(services, balancer("web", { externalTrafficPolicy: "Local" }));
    expect(await ipsOf(world, "web")).toEqual([]);
    await world.client.create(endpointSlices, {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: {
        name: "web-1",
        namespace: "default",
        labels: { "kubernetes.io/service-name": "web" },
      },
      addressType: "IPv4",
      endpoints: [{ addresses: ["10.42.1.2"], nodeName: "b", conditions: { ready: true } }],
    });
    expect(await ipsOf(world, "web")).toEqual(["192.0.2.2"]);
  });

  test("another class is left alone; a changed type gives the address back", async () => {
    const world = await started(node("a", "192.0.2.1"));
    await world.client.create(services, balancer("other", { loadBalancerClass: "example.com/x" }));
    await world.client.create(services, balancer("web"));
    expect(await ipsOf(world, "other")).toEqual([]);
    expect(await ipsOf(world, "web")).toEqual(["192.0.2.1"]);
    const web = await world.client.get(services, "default", "web");
    await world.client.update(services, { ...web, spec: { ...web.spec, type: "ClusterIP" } });
    expect(await ipsOf(world, "web")).toEqual([]);
  });
});
