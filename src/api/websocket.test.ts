import { expect, test } from "bun:test";
import { FrameReader, type MessagePiece, opcodes } from "../lib/websocket-frames.ts";
import type { ByteStream } from "../runtime/runtime.ts";
import { createSimulatedRuntime } from "../runtime/simulated.ts";
import { serveWebSocket } from "./websocket.ts";

const { clock } = createSimulatedRuntime(1);
const goodbye = Uint8Array.of(0x88, 0x80, 0, 0, 0, 0);

function pipes() {
  const toServer = new TransformStream<Uint8Array, Uint8Array>();
  const toClient = new TransformStream<Uint8Array, Uint8Array>();
  const stream: ByteStream = {
    readable: toServer.readable,
    writable: toClient.writable,
    close: () => {},
  };
  return { stream, client: toServer.writable.getWriter(), answers: toClient.readable.getReader() };
}
const headersOf = (protocol?: string) =>
  new Headers({
    upgrade: "websocket",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    ...(protocol === undefined ? {} : { "sec-websocket-protocol": protocol }),
  });
const readFrame = (bytes: Uint8Array): MessagePiece | undefined =>
  [...new FrameReader().push(bytes)][0];
const text = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes);

test("events come one a message, after RFC 6455's handshake", async () => {
  const { stream, client, answers } = pipes();
  const frames = new Response('{"a":1}\n{"b":2}\n').body as ReadableStream<Uint8Array>;
  const served = serveWebSocket({ headers: headersOf(), stream }, clock, frames, "event");
  const next = async () => (await answers.read()).value ?? new Uint8Array();
  expect(text(await next())).toContain("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  expect(text(readFrame(await next())?.payload)).toBe('{"a":1}');
  expect(text(readFrame(await next())?.payload)).toBe('{"b":2}');
  expect(readFrame(await next())?.opcode).toBe(opcodes.close);
  await client.write(goodbye);
  await served;
});

test("bytes come as base64 when the client wants that, until it says goodbye", async () => {
  const { stream, client, answers } = pipes();
  let cancelled = false;
  const frames = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(Uint8Array.of(1, 2, 255)),
    cancel: () => {
      cancelled = true;
    },
  });
  const headers = headersOf("x, base64.binary.k8s.io");
  const served = serveWebSocket({ headers, stream }, clock, frames, "bytes");
  const next = async () => (await answers.read()).value ?? new Uint8Array();
  expect(text(await next())).toContain("Sec-WebSocket-Protocol: base64.binary.k8s.io");
  expect(text(readFrame(await next())?.payload)).toBe("AQL/");
  await client.write(goodbye);
  expect(readFrame(await next())?.opcode).toBe(opcodes.close);
  await served;
  expect(cancelled).toBe(true);
});
