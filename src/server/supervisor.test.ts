import { expect, test } from "bun:test";
import type { DoorPeer } from "./door-peer.ts";
import { createSupervisor } from "./supervisor.ts";

const supervisor = createSupervisor({
  serverCaPem: "server pem\n",
  clientCaPem: "client pem\n",
  users: [{ name: "node", password: "pass:word", groups: ["k3s:agent"] }],
  isReady: () => true,
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
