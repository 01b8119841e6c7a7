import { expect, test } from "bun:test";
import { joinBytes } from "../../lib/bytes.ts";
import { encodeFrame, FrameReader, opcodes } from "../../lib/websocket-frames.ts";
import type { ByteStream } from "../../runtime/runtime.ts";
import { createSimulatedRuntime } from "../../runtime/simulated.ts";
import { WebSocketPeer } from "../../runtime/web-socket.ts";
import { serveRemoteCommand, type WantedStreams } from "./remote-command.ts";
import { dataFrame, pingFrame, type SpdyFrame, SpdyReader } from "./spdy-frames.ts";

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const bytes = (value: string): Uint8Array => new TextEncoder().encode(value);

/** A connection, whose far end notes what it reads. */
function connection() {
  const toUs = new TransformStream<Uint8Array, Uint8Array>();
  const fromUs = new TransformStream<Uint8Array, Uint8Array>();
  const writer = toUs.writable.getWriter();
  const heard: Uint8Array[] = [];
  const closed = Promise.withResolvers<void>();
  const listening = (async () => {
    for await (const chunk of fromUs.readable) heard.push(chunk);
  })().catch(() => {});
  const stream: ByteStream = {
    readable: toUs.readable,
    writable: fromUs.writable,
    close: () => {
      closed.resolve();
      writer.close().catch(() => {});
    },
  };
  const say = (...parts: Uint8Array[]) => writer.write(joinBytes(parts)).catch(() => {});
  return { stream, say, heard, closed: closed.promise, listening, hangUp: () => writer.close() };
}

const all: WantedStreams = { stdin: true, stdout: true, stderr: true, tty: false };
const goodbye = encodeFrame(opcodes.close);
const message = (...values: number[]): Uint8Array =>
  encodeFrame(opcodes.binary, Uint8Array.from(values));

/** Streams of the runtime: error 1, stdin 3, stdout 5, stderr 7 (or resize). */
function session(wanted: WantedStreams = all) {
  const { clock } = createSimulatedRuntime(1);
  const [client, runtime] = [connection(), connection()];
  const answer = {
    status: 101,
    headers: new Headers(),
    raw: new Uint8Array(),
    rest: new Uint8Array(),
    reader: runtime.stream.readable.getReader(),
  };
  const peer = new WebSocketPeer(client.stream, clock);
  const served = serveRemoteCommand({ peer, backend: runtime.stream, answer, wanted });
  const toClient = (): string[] =>
    [...new FrameReader().push(joinBytes(client.heard))].map(
      ({ opcode, payload }) =>
        `${opcode === opcodes.close ? "close" : payload[0]} ${text(payload.subarray(1))}`,
    );
  const toRuntime = (): SpdyFrame[] => [...new SpdyReader().push(joinBytes(runtime.heard))];
  const until = async (what: () => boolean): Promise<void> => {
    for (let turn = 0; !what(); turn++) {
      if (turn > 1000) throw new Error(`${toClient()} ${JSON.stringify(toRuntime())}`);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  return { client, runtime, served, toClient, toRuntime, until, clock };
}

test("output, then the status, then goodbye", async () => {
  const { client, runtime, served, toClient } = session();
  await runtime.say(dataFrame(5, bytes("out")), dataFrame(7, bytes("err")));
  await runtime.say(dataFrame(1, bytes('{"status":"Success"}')), dataFrame(1, bytes(""), true));
  await runtime.say(dataFrame(5, bytes(" and more"), true), dataFrame(7, bytes(""), true));
  await client.say(goodbye);
  await served;
  expect(toClient()).toEqual([
    "1 ",
    "1 out",
    "2 err",
    "1  and more",
    '3 {"status":"Success"}',
    "close \xe8".replace("\xe8", "\ufffd"),
  ]);
});

test("input reaches the runtime; its end is a half-close, and output still comes", async () => {
  const { client, runtime, served, toClient, toRuntime, until } = session();
  await client.say(message(0, 0x61, 0x62), message(255, 0), message(0, 0x63));
  await until(() => toRuntime().some(({ type }) => type === "end"));
  expect(toRuntime().slice(4)).toEqual([
    { type: "data", stream: 3, bytes: bytes("ab") },
    { type: "end", stream: 3 },
  ]);
  await runtime.say(dataFrame(5, bytes("late"), true), dataFrame(7, bytes(""), true));
  await runtime.say(dataFrame(1, bytes("{}"), true));
  await client.say(goodbye);
  await served;
  expect(toClient().slice(1, 3)).toEqual(["1 late", "3 {}"]);
});

test("a terminal has sizes; pings are answered on both sides", async () => {
  const { client, runtime, served, toClient, toRuntime, until } = session({ ...all, tty: true });
  const size = bytes('{"Width":80,"Height":24}');
  await client.say(encodeFrame(opcodes.ping, bytes("?")), message(4, ...size));
  await runtime.say(pingFrame(2), pingFrame(1));
  await until(() => toRuntime().length === 6);
  expect(toRuntime().filter(({ type }) => type === "open")).toHaveLength(4);
  expect(toRuntime().slice(4)).toContainEqual({ type: "ping", id: 2 });
  expect(toRuntime().slice(4)).toContainEqual({ type: "data", stream: 7, bytes: size });
  await until(() => toClient().length === 2);
  expect(text(client.heard[1] ?? new Uint8Array()).slice(-1)).toBe("?");
  await client.hangUp();
  await served;
});

test("a runtime that hangs up leaves a status that says so", async () => {
  const { client, runtime, served, toClient } = session();
  await runtime.say(dataFrame(5, bytes("half")));
  await runtime.hangUp();
  await client.say(goodbye);
  await served;
  expect(toClient()[2]).toStartWith("3 {");
  expect(toClient()[2]).toContain("the container runtime closed the connection");
});

test("a client that is gone ends the runtime's connection", async () => {
  const { client, runtime, served } = session();
  await client.hangUp();
  await runtime.closed;
  await served;
});

test("a client that does not say goodbye is left after a while", async () => {
  const { client, runtime, served, until, toClient, clock } = session();
  await runtime.say(dataFrame(1, bytes("{}"), true));
  await runtime.say(dataFrame(5, bytes(""), true), dataFrame(7, bytes(""), true));
  await until(() => toClient().length === 3);
  await clock.advance(10_000);
  await client.closed;
  await served;
});
