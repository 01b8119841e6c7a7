import { expect, test } from "bun:test";
import type { Node } from "../gen/core-v1.ts";
import { kubeletPlace } from "./remote-nodes.ts";

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
