import { expect, test } from "bun:test";
import type { DoorPeer } from "./door-peer.ts";
import { JoinError } from "./join-endpoints.ts";
import { createSupervisor } from "./supervisor.ts";

const supervisor = createSupervisor({
  serverCaPem: "server pem\n",
  clientCaPem: "client pem\n",
  users: [{ name: "node", password: "pass:word", groups: ["k3s:agent"] }],
  bootstrapGroups: async (token) =>
    token === "abcdef.0123456789abcdef" ? ["system:bootstrappers:k3s:default-node-token"] : [],
  isReady: () => true,
  config: () => ({ ClusterDomain: "cluster.local" }),
  apiServers: () => ["10.0.0.1:6443"],
  issue: async ({ file, headers, certifiedNode }) => {
    const node = headers.get("k3s-node-name");
    if (node === "taken") throw new JoinError(403, "not yours");
    return `${file} of ${node} for ${certifiedNode}`;
  },
});
const stranger: DoorPeer = {
  address: "127.0.0.1",
  certificate: undefined,
  frontProxy: undefined,
  certificateError: undefined,
};

async function get(path: string, password?: string, peer = stranger): Promise<string> {
  const headers: HeadersInit =
    password === undefined ? {} : { authorization: `Basic ${btoa(`node:${password}`)}` };
  const request = new Request(`https://localhost${path}`, { headers });
  const answer = await supervisor.fetch(request, peer);
  return `${answer.status} ${await answer.text()}`;
}

test("supervisor answers anyone for what an agent needs at first contact", async () => {
  expect(await get("/ping")).toBe("200 pong");
  expect(await get("/cacerts")).toBe("200 server pem\n");
});

test("supervisor asks who wants more for a password or a certificate", async () => {
  expect(await get("/v1-k3s/readyz")).toStartWith("401 ");
  expect(await get("/v1-k3s/readyz", "wrong")).toStartWith("401 ");
  expect(await get("/v1-k3s/readyz", "pass:word")).toBe("200 ok");
  const organizations = ["system:nodes"];
  const fingerprint = "00";
  const node = {
    ...stranger,
    certificate: { commonName: "system:node:a", organizations, fingerprint },
  };
  expect(await get("/v1-k3s/client-ca.crt", undefined, node)).toBe("200 client pem\n");
  const user = {
    ...stranger,
    certificate: { commonName: "jane", organizations: ["dev"], fingerprint },
  };
  expect(await get("/v1-k3s/client-ca.crt", undefined, user)).toStartWith("401 ");
  expect(await get("/v1-k3s/nothing", "pass:word")).toStartWith("404 ");
});

test("supervisor serves its own paths only", () => {
  expect(["/ping", "/cacerts", "/v1-k3s/x", "/api", "/v1-k3sx"].map(supervisor.serves)).toEqual([
    true,
    true,
    true,
    false,
    false,
  ]);
});

test("supervisor lets nodes in by bootstrap tokens, too", async () => {
  const withBearer = async (token: string): Promise<number> => {
    const headers = { authorization: `Bearer ${token}` };
    const request = new Request("https://localhost/v1-k3s/config", { headers });
    return (await supervisor.fetch(request, stranger)).status;
  };
  expect(await withBearer("abcdef.0123456789abcdef")).toBe(200);
  expect(await withBearer("abcdef.aaaaaaaaaaaaaaaa")).toBe(401);
});

test("supervisor hands out certificates to who posts a request, and says why not", async () => {
  const post = async (node: string, peer = stranger, body = "der"): Promise<string> => {
    const authorization = `Basic ${btoa("node:pass:word")}`;
    const request = new Request("https://localhost/v1-k3s/client-kubelet.crt", {
      method: "POST",
      headers: { authorization, "k3s-node-name": node },
      body,
    });
    const answer = await supervisor.fetch(request, peer);
    return `${answer.status} ${await answer.text()}`;
  };
  expect(await post("a")).toBe("200 client-kubelet.crt of a for undefined");
  expect(await post("taken")).toContain('"message":"not yours","reason":"Forbidden","code":403');
  const organizations = ["system:nodes"];
  const certificate = { commonName: "system:node:b", organizations, fingerprint: "00" };
  expect(await post("b", { ...stranger, certificate })).toEndWith("of b for b");
  expect(await post("a", stranger, "x".repeat(70_000))).toStartWith("413 ");
  expect(await get("/v1-k3s/client-kubelet.crt", "pass:word")).toStartWith("405 ");
});
