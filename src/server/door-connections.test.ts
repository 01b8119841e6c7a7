/** How the door treats connections: those it ends, those it sends away, and those it drains. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type ClientHttp2Session, connect } from "node:http2";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { createRuntime } from "../runtime/real.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { createSimulatedRuntime } from "../runtime/simulated.ts";
import { type DoorManners, startFrontDoor } from "./front-door.ts";
import { makeTestPki, type TestPki, type TestScope, testScope } from "./testing/door.ts";

const real = createRuntime({ logLevel: "error" });
let keys: TestPki;
beforeAll(async () => {
  keys = await makeTestPki(real);
});
afterAll(() => keys[Symbol.dispose]());

interface Opened extends TestScope, AsyncDisposable {
  readonly port: number;
  /** Lets the answers to /slow go, and tells when the first one was asked for. */
  readonly release: () => void;
  readonly asked: Promise<void>;
}

async function open(manners: DoorManners = {}, runtime: Runtime = real): Promise<Opened> {
  const own = testScope();
  const asked = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  const door = await startFrontDoor({
    port: 0,
    host: "127.0.0.1",
    certificates: keys.certificates(),
    runtime,
    scope: own.scope,
    manners,
    upgrade: async () => {},
    fetch: async (request) => {
      const { pathname } = new URL(request.url);
      if (pathname === "/slow") {
        asked.resolve();
        await released.promise;
      }
      return new Response(pathname);
    },
  });
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopped ??= own.stop();
    return stopped;
  };
  return {
    scope: own.scope,
    stop,
    port: door.port,
    release: () => released.resolve(),
    asked: asked.promise,
    [Symbol.asyncDispose]: stop,
  };
}

const tls = () => ({ ca: keys.pki.authorities["server-ca"].certPem });

function connectTo(port: number): ClientHttp2Session {
  const client = connect(`https://127.0.0.1:${port}`, tls());
  client.on("error", () => {});
  return client;
}

function get(client: ClientHttp2Session, path: string): Promise<[number, string, string]> {
  return new Promise((resolve, reject) => {
    const stream = client.request({ ":path": path });
    let [status, retryAfter, body] = [0, "", ""];
    stream.on("response", (head) => {
      status = Number(head[":status"]);
      retryAfter = String(head["retry-after"] ?? "");
    });
    stream.on("data", (chunk) => {
      body += String(chunk);
    });
    stream.on("end", () => resolve([status, body, retryAfter]));
    stream.on("error", reject);
  });
}

function closed(client: ClientHttp2Session | TLSSocket): Promise<void> {
  return new Promise((resolve) => void client.once("close", () => resolve()));
}

/** A raw connection that says what it is told to and no more. */
function raw(port: number, protocol: string, text: string | Uint8Array): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const options = { host: "127.0.0.1", port, ALPNProtocols: [protocol], ...tls() };
    const socket = connectTls(options, () => {
      socket.write(text, () => resolve(socket));
    });
    socket.resume();
    socket.on("error", reject);
  });
}

const preface = Buffer.concat([
  Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
  Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
]);
/** HEADERS without END_HEADERS: more of the head is to come. */
const halfHead = Buffer.concat([preface, Buffer.from([0, 0, 2, 1, 0, 0, 0, 0, 1, 0x82, 0x87])]);

test("a stop lets what was asked finish and sends clients elsewhere", async () => {
  await using door = await open();
  const client = connectTo(door.port);
  const goaway = new Promise((resolve) => void client.once("goaway", resolve));
  const slow = get(client, "/slow");
  await door.asked;
  const stopped = door.stop();
  expect(await goaway).toBe(0);
  const late = connectTo(door.port);
  await closed(late);
  door.release();
  expect(await slow).toEqual([200, "/slow", ""]);
  await Promise.all([stopped, closed(client)]);
});

test("a stop waits for answers no longer than it is told to", async () => {
  await using door = await open({ drainMs: 50 });
  const client = connectTo(door.port);
  get(client, "/slow").catch(() => {});
  await door.asked;
  await Promise.all([door.stop(), closed(client)]);
});

test("with sendsRetryAfter a door that stops answers 429, except to probes", async () => {
  await using door = await open({ sendsRetryAfter: true });
  const client = connectTo(door.port);
  const slow = get(client, "/slow");
  await door.asked;
  const stopped = door.stop();
  const text = "The apiserver is shutting down, please try again later.\n";
  expect(await get(client, "/api")).toEqual([429, text, "5"]);
  const fresh = connectTo(door.port);
  expect(await get(fresh, "/api")).toEqual([429, text, "5"]);
  expect(await get(fresh, "/readyz/ping")).toEqual([200, "/readyz/ping", ""]);
  door.release();
  expect((await slow)[0]).toBe(200);
  await stopped;
});

test("goawayChance asks clients to connect anew, once their answers are there", async () => {
  await using door = await open({ goawayChance: 1 });
  const client = connectTo(door.port);
  const gone = closed(client);
  expect(await get(client, "/a")).toEqual([200, "/a", ""]);
  await gone;
  await using stays = await open({ goawayChance: 0 });
  const other = connectTo(stays.port);
  await get(other, "/a");
  expect(await get(other, "/b")).toEqual([200, "/b", ""]);
  other.close();
});

test("streamsPerConnectionMax is what clients are told", async () => {
  await using door = await open({ streamsPerConnectionMax: 7 });
  const client = connectTo(door.port);
  const settings = new Promise<{ maxConcurrentStreams?: number }>((resolve) => {
    client.once("remoteSettings", resolve);
  });
  expect((await settings).maxConcurrentStreams).toBe(7);
  client.close();
});

test("connections without a request, or with half a head, are closed", async () => {
  const { clock } = createSimulatedRuntime(1);
  await using door = await open({}, { ...real, clock });
  const holders = await Promise.all([
    raw(door.port, "http/1.1", "GET /a HTTP/1.1\r\nHost: a\r\nX-Slow: "),
    raw(door.port, "h2", preface),
    raw(door.port, "h2", halfHead),
  ]);
  const patient = connectTo(door.port);
  const slow = get(patient, "/slow");
  await door.asked;
  const ends = holders.map(closed);
  await clock.advance(30_000);
  expect(holders.map(({ destroyed }) => destroyed)).toEqual([false, false, false]);
  await clock.advance(10_000);
  await Promise.all(ends);
  // Whoever waits for an answer may do so, and is idle only from then on.
  await clock.advance(100_000);
  door.release();
  expect((await slow)[0]).toBe(200);
  await clock.advance(60_000);
  expect((await get(patient, "/again"))[0]).toBe(200);
  const gone = closed(patient);
  await clock.advance(100_000);
  await gone;
});
