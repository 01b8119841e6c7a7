/** Requests over both protocols: what the door does with a stream itself. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type ClientHttp2Session, connect } from "node:http2";
import { Agent, request as httpsRequest } from "node:https";
import { createRuntime } from "../runtime/real.ts";
import { type FrontDoor, startFrontDoor } from "./front-door.ts";
import { makeTestPki, type TestPki, testScope } from "./testing/door.ts";

const runtime = createRuntime({ logLevel: "error" });
const own = testScope();
/** Signals of the requests to a path, as the application sees them. */
const signals = new Map<string, PromiseWithResolvers<AbortSignal>>();
const signalOf = (path: string): PromiseWithResolvers<AbortSignal> => {
  const known = signals.get(path) ?? Promise.withResolvers<AbortSignal>();
  signals.set(path, known);
  return known;
};
let keys: TestPki;
let door: FrontDoor;
let client: ClientHttp2Session;

beforeAll(async () => {
  keys = await makeTestPki(runtime);
  door = await startFrontDoor({
    port: 0,
    host: "127.0.0.1",
    certificates: keys.certificates(),
    runtime,
    scope: own.scope,
    upgrade: async () => {},
    // One answer never comes.
    manners: { drainMs: 1 },
    fetch: async (request) => {
      signalOf(request.path).resolve(request.signal);
      if (request.path === "/never") await new Promise(() => {});
      const body = (await request.body(1000)) ?? "nothing";
      return new Response(body as BodyInit, { headers: { "content-length": `${body.length}` } });
    },
  });
  client = connect(`https://127.0.0.1:${door.port}`, tls());
});
afterAll(async () => {
  client.destroy();
  await own.stop();
  keys[Symbol.dispose]();
});

const tls = () => ({ ca: keys.pki.authorities["server-ca"].certPem });

test("a body that waits for leave is asked for", async () => {
  const headers = { ":path": "/echo", ":method": "POST", expect: "100-continue" };
  const stream = client.request(headers, { endStream: false });
  await new Promise<void>((resolve) => void stream.once("continue", () => resolve()));
  stream.end("asked for");
  const status = new Promise((resolve) => stream.once("response", (h) => resolve(h[":status"])));
  expect(await status).toBe(200);
  expect(Buffer.concat(await stream.toArray()).toString()).toBe("asked for");
});

test("HEAD is answered by headers alone", async () => {
  const stream = client.request({ ":path": "/head", ":method": "HEAD" });
  const head = await new Promise<Record<string, unknown>>((resolve) =>
    stream.once("response", resolve),
  );
  expect(head).toMatchObject({ ":status": 200, "content-length": "7" });
  expect(await stream.toArray()).toEqual([]);
});

test("who resets a request has left; who got the answer has not", async () => {
  const answered = client.request({ ":path": "/answered" });
  await answered.toArray();
  const stream = client.request({ ":path": "/never" });
  const signal = await signalOf("/never").promise;
  stream.on("error", () => {});
  stream.close(8);
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve());
  });
  expect((await signalOf("/answered").promise).aborted).toBe(false);
});

test("a stop does not wait for a connection of HTTP/1.1 that is kept", async () => {
  const kept = testScope();
  const { port } = await startFrontDoor({
    port: 0,
    host: "127.0.0.1",
    certificates: keys.certificates(),
    runtime,
    scope: kept.scope,
    upgrade: async () => {},
    fetch: async () => new Response("kept"),
    // Who waited for the connection's end would wait past the test's.
    manners: { drainMs: 60_000 },
  });
  const agent = new Agent({ keepAlive: true, ...tls() });
  const text = await new Promise<string>((resolve, reject) => {
    httpsRequest({ host: "127.0.0.1", port, agent }, (response) => {
      response.on("data", (chunk) => resolve(String(chunk)));
    })
      .on("error", reject)
      .end();
  });
  expect(text).toBe("kept");
  await kept.stop();
  agent.destroy();
});
