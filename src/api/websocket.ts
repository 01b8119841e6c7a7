/**
 * Answers that stream (logs, watches) over a WebSocket (RFC 6455), for clients that cannot read a
 * long HTTP answer: browsers. Nothing is read from the client but its goodbye.
 */
import { createHash } from "node:crypto";
import type { ByteStream } from "../runtime/runtime.ts";

/** What each message holds: a JSON event as text, or bytes as they come. */
export type MessageForm = "event" | "bytes";

const limits = { frameBytesMax: 64 * 1024 } as const;
const acceptKey = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const opcodes = { text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;
/** Upstream's names; with base64 the bytes come as text. */
const protocols = ["base64.binary.k8s.io", "binary.k8s.io"] as const;
type Protocol = (typeof protocols)[number];

export function asksForWebSocket(headers: Headers): boolean {
  return headers.get("upgrade")?.toLowerCase() === "websocket" && headers.has("sec-websocket-key");
}

/** Shakes hands, then sends `frames` until they end or the client leaves. */
export async function serveWebSocket(
  headers: Headers,
  stream: ByteStream,
  frames: ReadableStream<Uint8Array>,
  form: MessageForm,
): Promise<void> {
  const offered = (headers.get("sec-websocket-protocol") ?? "").split(",").map((one) => one.trim());
  const protocol = offered.find((one): one is Protocol =>
    (protocols as readonly string[]).includes(one),
  );
  const writer = stream.writable.getWriter();
  const source = frames.getReader();
  const leave = (): void => void source.cancel().catch(() => {});
  try {
    await writer.write(handshake(headers.get("sec-websocket-key") ?? "", protocol));
    const client = followClient(stream.readable, writer).then(leave, leave);
    for (;;) {
      const { done, value } = await source.read();
      if (done) break;
      for (const message of messagesOf(value, form, protocol)) await writer.write(message);
    }
    await writer.write(frame(opcodes.close, Uint8Array.of(0x03, 0xe8)));
    await Promise.race([writer.close(), client]);
  } finally {
    leave();
    stream.close();
  }
}

function handshake(key: string, protocol: string | undefined): Uint8Array {
  const accept = createHash("sha1").update(`${key}${acceptKey}`).digest("base64");
  const lines = [
    "HTTP/1.1 101 Switching Protocols",
    "Upgrade: websocket",
    "Connection: Upgrade",
    `Sec-WebSocket-Accept: ${accept}`,
    ...(protocol === undefined ? [] : [`Sec-WebSocket-Protocol: ${protocol}`]),
  ];
  return new TextEncoder().encode(`${lines.join("\r\n")}\r\n\r\n`);
}

function* messagesOf(
  bytes: Uint8Array,
  form: MessageForm,
  protocol: Protocol | undefined,
): Iterable<Uint8Array> {
  if (form === "event") {
    // A chunk holds whole events, one on each line.
    for (const line of new TextDecoder().decode(bytes).split("\n")) {
      if (line !== "") yield frame(opcodes.text, new TextEncoder().encode(line));
    }
    return;
  }
  for (let at = 0; at < bytes.length; at += limits.frameBytesMax) {
    const part = bytes.subarray(at, at + limits.frameBytesMax);
    yield protocol === "base64.binary.k8s.io"
      ? frame(opcodes.text, new TextEncoder().encode(part.toBase64()))
      : frame(opcodes.binary, part);
  }
}

/** One whole message; servers do not mask. */
export function frame(opcode: number, payload: Uint8Array): Uint8Array {
  const { length } = payload;
  const head = length < 126 ? 2 : length < 65_536 ? 4 : 10;
  const bytes = new Uint8Array(head + length);
  const view = new DataView(bytes.buffer);
  bytes[0] = 0x80 | opcode;
  if (head === 2) bytes[1] = length;
  else if (head === 4) {
    bytes[1] = 126;
    view.setUint16(2, length);
  } else {
    bytes[1] = 127;
    view.setBigUint64(2, BigInt(length));
  }
  bytes.set(payload, head);
  return bytes;
}

/** Resolves when the client says goodbye or hangs up; pings are answered. */
async function followClient(
  readable: ReadableStream<Uint8Array>,
  writer: WritableStreamDefaultWriter<Uint8Array>,
): Promise<void> {
  let held: Uint8Array = new Uint8Array();
  for await (const chunk of readable) {
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    for (;;) {
      const found = readFrame(held);
      if (found === undefined) break;
      held = held.subarray(found.size);
      if (found.opcode === opcodes.close) return;
      if (found.opcode === opcodes.ping) await writer.write(frame(opcodes.pong, found.payload));
    }
    if (held.length > limits.frameBytesMax) return;
  }
}

interface ReadFrame {
  readonly opcode: number;
  readonly payload: Uint8Array;
  readonly size: number;
}

/** The masked frame at the start of `bytes`, once it is there as a whole. */
export function readFrame(bytes: Uint8Array): ReadFrame | undefined {
  if (bytes.length < 2) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const short = view.getUint8(1) & 0x7f;
  const head = short < 126 ? 2 : short === 126 ? 4 : 10;
  const isMasked = (view.getUint8(1) & 0x80) !== 0;
  const start = head + (isMasked ? 4 : 0);
  if (bytes.length < start) return undefined;
  const length = head === 2 ? short : head === 4 ? view.getUint16(2) : Number(view.getBigUint64(2));
  if (bytes.length < start + length) return undefined;
  const payload = bytes.slice(start, start + length);
  if (isMasked) {
    const mask = bytes.subarray(head, start);
    payload.forEach((byte, i) => {
      payload[i] = byte ^ (mask[i % 4] ?? 0);
    });
  }
  return { opcode: view.getUint8(0) & 0x0f, payload, size: start + length };
}
