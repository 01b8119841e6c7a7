import { expect, test } from "bun:test";
import { configMaps, nodes } from "../../client/resources.ts";
import type { Node } from "../../gen/core-v1.ts";
import { World } from "../testing/world.ts";
import { createNodeHostsController, nodeHostsWith } from "./node-hosts.ts";

function node(name: string, ...ips: readonly string[]): Node {
  const addresses = ips.map((address) => ({ type: "InternalIP", address }));
  const status = { addresses: [...addresses, { type: "Hostname", address: name }] };
  return { apiVersion: "v1", kind: "Node", metadata: { name }, spec: {}, status };
}

function hostsOf(world: World): string | undefined {
  return world.get(configMaps, "kube-system/coredns").data?.NodeHosts;
}

test("lines of other names stay, a node has a line for each address", () => {
  const text = "10.0.0.9 nas\n10.0.0.1 a\n";
  expect(nodeHostsWith(text, "a", node("a", "10.0.0.2", "fd00::2"))).toBe(
    "10.0.0.2 a\n10.0.0.9 nas\nfd00::2 a\n",
  );
  expect(nodeHostsWith(text, "a", undefined)).toBe("10.0.0.9 nas\n");
});

test("nodes come and go, and what others wrote or deleted is mended", async () => {
  const world = new World();
  world.run(createNodeHostsController(world.context));
  await world.client.create(nodes, node("a", "10.0.0.1"));
  await world.client.create(nodes, node("b", "10.0.0.2"));
  await world.settle();
  expect(hostsOf(world)).toBe("10.0.0.1 a\n10.0.0.2 b\n");
  await world.change(configMaps, "kube-system/coredns", (copy) => {
    copy.data = { NodeHosts: "10.0.0.9 nas\n", Corefile: "mine" };
  });
  await world.settle();
  expect(hostsOf(world)).toBe("10.0.0.1 a\n10.0.0.2 b\n10.0.0.9 nas\n");
  expect(world.get(configMaps, "kube-system/coredns").data?.Corefile).toBe("mine");
  await world.client.delete(nodes, "", "b");
  await world.settle();
  expect(hostsOf(world)).toBe("10.0.0.1 a\n10.0.0.9 nas\n");
  await world.client.delete(configMaps, "kube-system", "coredns");
  await world.settle();
  expect(hostsOf(world)).toBe("10.0.0.1 a\n");
  expect(world.failures).toEqual([]);
});
