import { expect, test } from "bun:test";
import { FakeLiveSets } from "../agent/net/testing/fake-live.ts";
import { nodes } from "../client/resources.ts";
import type { Node } from "../gen/core-v1.ts";
import { createSimulatedRuntime } from "../runtime/simulated.ts";
import type { DoorPeer } from "./door-peer.ts";
import { asksForTunnel, NodeTunnels } from "./node-tunnels.ts";
import { kubeletPlace, RemoteNodes } from "./remote-nodes.ts";

const node: Node = {
  apiVersion: "v1",
  kind: "Node",
  metadata: { name: "a" },
  spec: {},
  status: {
    addresses: [
      { type: "Hostname", address: "a" },
      { type: "InternalIP", address: "10.0.0.2" },
      { type: "ExternalIP", address: "198.51.100.2" },
    ],
    daemonEndpoints: { kubeletEndpoint: { Port: 10251 } },
  },
};

test("kubeletPlace() takes the first kind of address that the node has", () => {
  const types = ["InternalIP", "ExternalIP", "Hostname"];
  expect(kubeletPlace(node, types)).toEqual({ host: "10.0.0.2", port: 10251 });
  expect(kubeletPlace(node, types.toReversed())).toEqual({ host: "a", port: 10251 });
  const bare = { ...node, status: { addresses: [{ type: "Hostname", address: "b" }] } };
  expect(kubeletPlace(bare, types)).toEqual({ host: "b", port: 10250 });
  expect(kubeletPlace({ ...node, status: {} }, types)).toBeUndefined();
});

test("a node is reached by its tunnel while it has one, else at its address", async () => {
  const asked: string[] = [];
  const { net, clock } = createSimulatedRuntime(1, {
    fetch: async (request) => {
      asked.push(request.url);
      return new Response("ok");
    },
  });
  const live = new FakeLiveSets();
  live.of(nodes).put(node);
  let port: number | undefined = 4711;
  const remote = new RemoteNodes({
    net,
    clock,
    live: () => live,
    tls: () => ({}),
    addressTypes: ["InternalIP"],
    tunnelTo: (name) => (name === "a" ? port : undefined),
  });
  const request = (): Request => new Request("https://localhost/metrics?x=1");
  await remote.nodeFetch("a", request());
  port = undefined;
  await remote.nodeFetch("a", request());
  expect(asked).toEqual([
    "https://127.0.0.1:4711/metrics?x=1",
    "https://10.0.0.2:10251/metrics?x=1",
  ]);
  expect((await remote.nodeFetch("b", request())).status).toBe(502);
});

test("only nodes get a tunnel, each under its own name", async () => {
  const tunnels = new NodeTunnels({ runtime: createSimulatedRuntime(1), kubeletPort: () => 1 });
  const request = new Request("https://localhost/v1-k3s/connect?x", {
    headers: { upgrade: "websocket", "sec-websocket-key": "k" },
  });
  expect(asksForTunnel({ request } as Parameters<typeof asksForTunnel>[0])).toBe(true);
  const answerTo = async (certificate: DoorPeer["certificate"]): Promise<string> => {
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    const stream = { readable: new ReadableStream<Uint8Array>(), writable, close: () => {} };
    const peer = { certificate } as DoorPeer;
    void tunnels.serve({ request, peer, stream }).catch(() => {});
    const { value } = await readable.getReader().read();
    return new TextDecoder().decode(value).split("\r\n")[0] ?? "";
  };
  const nodesGroup = { organizations: ["system:nodes"], fingerprint: "" };
  for (const certificate of [
    undefined,
    { commonName: "system:node:a", organizations: ["system:masters"], fingerprint: "" },
    { commonName: "a", ...nodesGroup },
  ] as DoorPeer["certificate"][])
    expect(await answerTo(certificate)).toStartWith("HTTP/1.1 401 ");
  const own = { commonName: "system:node:a", ...nodesGroup } as DoorPeer["certificate"];
  expect(await answerTo(own)).toStartWith("HTTP/1.1 101 ");
});
