import { expect, test } from "bun:test";
import fc from "fast-check";
import type { ByteStream } from "../runtime/runtime.ts";
import { asksForWebSocket, frame, readFrame, serveWebSocket } from "./websocket.ts";

test("a frame is read back as it was made, and only when it is whole", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 70_000 }), fc.constantFrom(1, 2, 9), (payload, code) => {
      const bytes = frame(code, payload);
      expect(readFrame(bytes.subarray(0, bytes.length - 1))).toBeUndefined();
      const read = readFrame(Buffer.concat([bytes, Uint8Array.of(1, 2, 3)]));
      expect(read).toEqual({ opcode: code, payload, size: bytes.length });
    }),
    { numRuns: 50 },
  );
});

test("masked frames of clients are read", () => {
  const masked = Uint8Array.of(0x89, 0x82, 1, 2, 3, 4, 0x61 ^ 1, 0x62 ^ 2);
  expect(readFrame(masked)).toEqual({
    opcode: 9,
    payload: new TextEncoder().encode("ab"),
    size: 8,
  });
});

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
const text = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes);

test("events come one a message, after RFC 6455's handshake", async () => {
  const { stream, answers } = pipes();
  const frames = new Response('{"a":1}\n{"b":2}\n').body as ReadableStream<Uint8Array>;
  expect(asksForWebSocket(headersOf())).toBe(true);
  const served = serveWebSocket(headersOf(), stream, frames, "event");
  const next = async () => (await answers.read()).value ?? new Uint8Array();
  expect(text(await next())).toContain("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  expect(text(readFrame(await next())?.payload)).toBe('{"a":1}');
  expect(text(readFrame(await next())?.payload)).toBe('{"b":2}');
  expect(readFrame(await next())?.opcode).toBe(8);
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
  const served = serveWebSocket(headersOf("x, base64.binary.k8s.io"), stream, frames, "bytes");
  const next = async () => (await answers.read()).value ?? new Uint8Array();
  expect(text(await next())).toContain("Sec-WebSocket-Protocol: base64.binary.k8s.io");
  expect(text(readFrame(await next())?.payload)).toBe("AQL/");
  await client.write(Uint8Array.of(0x88, 0x80, 0, 0, 0, 0));
  expect(readFrame(await next())?.opcode).toBe(8);
  await served;
  expect(cancelled).toBe(true);
});
