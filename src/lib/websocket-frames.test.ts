import { expect, test } from "bun:test";
import fc from "fast-check";
import { joinBytes } from "./bytes.ts";
import {
  acceptance,
  encodeFrame,
  FrameReader,
  type MessagePiece,
  opcodes,
} from "./websocket-frames.ts";

interface Message {
  readonly opcode: number;
  readonly payload: Uint8Array;
}

/** What a client sends: masked, in as many frames as `cuts` says. */
function clientFrames({ opcode, payload }: Message, mask: Uint8Array, cuts: number): Uint8Array {
  const size = Math.ceil(payload.length / cuts) || 1;
  const frames: Uint8Array[] = [];
  for (let at = 0; at === 0 || at < payload.length; at += size) {
    const part = payload.slice(at, at + size).map((byte, i) => byte ^ (mask[i & 3] ?? 0));
    const frame = encodeFrame(at === 0 ? opcode : 0, part);
    const head = frame.slice(0, frame.length - part.length);
    if (at + size < payload.length) head[0] = (head[0] ?? 0) & 0x7f;
    head[1] = (head[1] ?? 0) | 0x80;
    frames.push(joinBytes([head, mask, part]));
  }
  return joinBytes(frames);
}

/** Pieces put together to messages again. */
function messagesOf(pieces: Iterable<MessagePiece>): Message[] {
  const messages: Message[] = [];
  let parts: Uint8Array[] = [];
  for (const { opcode, payload, isLast } of pieces) {
    parts.push(payload);
    if (!isLast) continue;
    messages.push({ opcode, payload: joinBytes(parts) });
    parts = [];
  }
  return messages;
}

const message = fc.oneof(
  fc.record({
    opcode: fc.constantFrom<number>(opcodes.text, opcodes.binary),
    payload: fc.uint8Array({ maxLength: 70_000, size: "max" }),
  }),
  fc.record({
    opcode: fc.constantFrom<number>(opcodes.ping, opcodes.pong),
    payload: fc.uint8Array({ maxLength: 125 }),
  }),
);

function cut(bytes: Uint8Array, at: readonly number[]): Uint8Array[] {
  const ends = [...at.map((part) => Math.floor(part * bytes.length)), bytes.length];
  ends.sort((a, b) => a - b);
  return ends.map((end, i) => bytes.subarray(ends[i - 1] ?? 0, end));
}

const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 6 });

test("messages are read as they were sent, wherever the bytes are cut", () => {
  fc.assert(
    fc.property(fc.array(message, { maxLength: 5 }), cuts, (sent, at) => {
      const bytes = joinBytes(sent.map(({ opcode, payload }) => encodeFrame(opcode, payload)));
      const reader = new FrameReader();
      expect(messagesOf(cut(bytes, at).flatMap((part) => [...reader.push(part)]))).toEqual(sent);
    }),
    { numRuns: 60 },
  );
});

test("what a client masks and cuts into frames is one message", () => {
  const masks = fc.uint8Array({ minLength: 4, maxLength: 4 });
  fc.assert(
    fc.property(message, masks, fc.integer({ min: 1, max: 4 }), cuts, (sent, mask, frames, at) => {
      const isControl = sent.opcode >= opcodes.close;
      const bytes = clientFrames(sent, mask, isControl ? 1 : frames);
      const reader = new FrameReader();
      expect(messagesOf(cut(bytes, at).flatMap((part) => [...reader.push(part)]))).toEqual([sent]);
    }),
    { numRuns: 60 },
  );
});

test("a long message is given out while it comes", () => {
  const reader = new FrameReader();
  const frame = encodeFrame(opcodes.binary, new Uint8Array(1_000_000));
  const [piece] = [...reader.push(frame.subarray(0, 1010))];
  expect(piece).toMatchObject({ isLast: false });
  expect(piece?.payload.length).toBe(1000);
});

test("what is no WebSocket is told", () => {
  const read = (...bytes: number[]) => [...new FrameReader().push(Uint8Array.from(bytes))];
  expect(() => read(0xc1, 0x80, 0, 0, 0, 0)).toThrow("unknown extension");
  expect(() => read(0x89, 126, 1, 0)).toThrow("too long");
  expect(() => read(0x09, 1, 0)).toThrow("too long");
});

test("the handshake is RFC 6455's", () => {
  const answer = new TextDecoder().decode(acceptance("dGhlIHNhbXBsZSBub25jZQ==", "a.b"));
  expect(answer).toContain("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n");
  expect(answer).toEndWith("Sec-WebSocket-Protocol: a.b\r\n\r\n");
});
