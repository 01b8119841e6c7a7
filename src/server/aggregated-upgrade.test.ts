/** Upgrades carried to the server of an aggregated API, over real TLS. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Backends, type LiveApiService } from "../api/aggregation/backend.ts";
import { services } from "../client/resources.ts";
import { openWorld, type World } from "../groups/test-world.ts";
import { createRuntime } from "../runtime/real.ts";
import type { ByteStream } from "../runtime/runtime.ts";
import { startFrontDoor } from "./front-door.ts";
import { makeTestPki, type TestPki, testScope } from "./testing/door.ts";

const runtime = createRuntime({ logLevel: "error" });
const running = testScope();
let keys: TestPki;
let world: World;
let service: LiveApiService;

beforeAll(async () => {
  keys = await makeTestPki(runtime);
  world = await openWorld();
  const door = await startFrontDoor({
    port: 0,
    host: "127.0.0.1",
    certificates: keys.certificates(),
    runtime,
    scope: running.scope,
    fetch: async () => new Response(null, { status: 404 }),
    upgrade: async ({ request, peer, stream }) => {
      const isOurs = peer.frontProxy === "system:auth-proxy";
      const who = isOurs ? request.headers.get("x-remote-user") : "nobody";
      const isAllowed = request.url.endsWith("/allowed");
      const head = isAllowed
        ? "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n" +
          `X-Who: ${who}\r\n\r\n`
        : "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno";
      const writer = stream.writable.getWriter();
      await writer.write(new TextEncoder().encode(head));
      writer.releaseLock();
      await stream.readable.pipeTo(stream.writable);
    },
  });
  await world.client.create(services, {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "extension", namespace: "default" },
    spec: { type: "ExternalName", externalName: "localhost" },
  });
  service = {
    apiVersion: "apiregistration.k8s.io/v1",
    kind: "APIService",
    metadata: { name: "v1.example.com" },
    spec: {
      group: "example.com",
      version: "v1",
      groupPriorityMinimum: 1000,
      versionPriority: 15,
      insecureSkipTLSVerify: true,
      service: { namespace: "default", name: "extension", port: door.port },
    },
  };
});
afterAll(async () => {
  await running.stop();
  keys[Symbol.dispose]();
  await world[Symbol.asyncDispose]();
});

/** A client that says `text` and hears until the connection ends, or `enough` has come. */
async function upgrade(path: string, text: string, enough: string): Promise<string> {
  const { certPem: cert, keyPem: key } = keys.pki.leaves["client-auth-proxy"];
  const { live } = world;
  const backends = new Backends({ runtime, live, identity: () => ({ cert, key }) });
  const toServer = new TransformStream<Uint8Array, Uint8Array>();
  const toClient = new TransformStream<Uint8Array, Uint8Array>();
  const writer = toServer.writable.getWriter();
  const stream: ByteStream = {
    readable: toServer.readable,
    writable: toClient.writable,
    close: () => {},
  };
  const request = new Request(`https://localhost${path}`, {
    headers: { upgrade: "echo", connection: "Upgrade", authorization: "Bearer secret" },
  });
  const user = { name: "jane", uid: "", groups: [], extra: {} };
  const passed = backends.upgrade(service, request, user, stream);
  void writer.write(new TextEncoder().encode(text)).catch(() => {});
  let heard = "";
  for await (const chunk of toClient.readable) {
    heard += new TextDecoder().decode(chunk);
    if (heard.endsWith(enough)) await writer.close();
  }
  await passed;
  return heard;
}

test("an upgrade is carried to an aggregated API as the user's, by the front proxy", async () => {
  const heard = await upgrade("/apis/example.com/v1/things/x/allowed", "ping", "ping");
  expect(heard).toStartWith("HTTP/1.1 101 Switching Protocols\r\n");
  expect(heard).toContain("X-Who: jane\r\n");
  expect(heard).toEndWith("\r\n\r\nping");
});

test("a refused upgrade leaves no tunnel to the aggregated API", async () => {
  const heard = await upgrade("/apis/example.com/v1/things/x/denied", "GET / HTTP/1.1", "never");
  expect(heard).toStartWith("HTTP/1.1 403");
  expect(heard).toEndWith("\r\n\r\nno");
});
