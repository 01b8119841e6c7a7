import { expect, test } from "bun:test";
import type { KubeletApp } from "../agent/kubelet-api.ts";
import { noNodes } from "../groups/node-connector.ts";
import { createSimulatedRuntime } from "../runtime/simulated.ts";
import { LocalNodes } from "./local-nodes.ts";

const app = { fetch: async () => new Response("log") } as unknown as KubeletApp;
const ask = (nodes: LocalNodes, name: string): Promise<Response> =>
  nodes.nodeFetch(name, new Request("https://node/containerLogs"));

test("LocalNodes waits for a node that is still starting", async () => {
  const { clock } = createSimulatedRuntime(1);
  const nodes = new LocalNodes(clock, "a");
  const asked = ask(nodes, "a");
  await clock.advance(3_000);
  nodes.add("b", app);
  await clock.advance(3_000);
  nodes.add("a", app);
  expect(await (await asked).text()).toBe("log");
  expect((await ask(nodes, "a")).status).toBe(200);
});

test("LocalNodes gives up after a while, and later at once", async () => {
  const { clock } = createSimulatedRuntime(1);
  const nodes = new LocalNodes(clock, "gone");
  const asked = ask(nodes, "gone");
  await clock.advance(10_001);
  expect((await asked).status).toBe(503);
  await clock.advance(60_000);
  expect(await (await ask(nodes, "gone")).text()).toBe('no tunnel to node "gone" is open');
});

test("LocalNodes asks for other nodes elsewhere, and at once", async () => {
  const { clock } = createSimulatedRuntime(1);
  const elsewhere = { ...noNodes, nodeFetch: async (name: string) => new Response(`far ${name}`) };
  const nodes = new LocalNodes(clock, "a", elsewhere);
  expect(await (await ask(nodes, "b")).text()).toBe("far b");
});
