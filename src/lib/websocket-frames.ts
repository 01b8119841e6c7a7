/** Frames of WebSockets (RFC 6455): written whole, read piece by piece however long they are. */
import { createHash } from "node:crypto";
import { joinBytes } from "./bytes.ts";

export const opcodes = { text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

const limits = { controlBytesMax: 125 } as const;
const acceptKey = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** What comes of a message: the whole of a control frame, or as much of the data as is there. */
export interface MessagePiece {
  readonly opcode: number;
  readonly payload: Uint8Array;
  /** The message ends with this piece. */
  readonly isLast: boolean;
}

/** The answer to a request for a WebSocket. */
export function acceptance(key: string, protocol: string | undefined): Uint8Array {
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

/** One whole message of all parts; servers do not mask. */
export function encodeFrame(opcode: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const head = new Uint8Array(length < 126 ? 2 : length < 65_536 ? 4 : 10);
  const view = new DataView(head.buffer);
  head[0] = 0x80 | opcode;
  if (head.length === 2) head[1] = length;
  else if (head.length === 4) {
    head[1] = 126;
    view.setUint16(2, length);
  } else {
    head[1] = 127;
    view.setBigUint64(2, BigInt(length));
  }
  return joinBytes([head, ...parts]);
}

/** The frame as clients have to send it. */
export function maskFrame(frame: Uint8Array, mask: Uint8Array): Uint8Array {
  const short = (frame[1] ?? 0) & 0x7f;
  const start = short < 126 ? 2 : short === 126 ? 4 : 10;
  const head = frame.slice(0, start);
  head[1] = (head[1] ?? 0) | 0x80;
  return joinBytes([head, mask, unmasked(frame.subarray(start), mask, 0)]);
}

/** A frame whose head has come and whose payload has not come as a whole. */
interface OpenFrame {
  readonly opcode: number;
  readonly isFinal: boolean;
  readonly mask: Uint8Array | undefined;
  readonly length: number;
  /** How much of the payload was given out. */
  taken: number;
}

/** Takes bytes as they come; holds back no more than a frame's head or a control frame. */
export class FrameReader {
  #held: Uint8Array = new Uint8Array();
  #frame: OpenFrame | undefined;
  /** Of the message that frames continue. */
  #opcode = 0;

  /** Throws at what is no WebSocket. */
  *push(chunk: Uint8Array): Generator<MessagePiece> {
    this.#held = this.#held.length === 0 ? chunk : joinBytes([this.#held, chunk]);
    for (;;) {
      this.#frame ??= this.#takeHead();
      if (this.#frame === undefined) return;
      const piece = this.#takePayload(this.#frame);
      if (piece === undefined) return;
      yield piece;
    }
  }

  #takeHead(): OpenFrame | undefined {
    const [first, second] = this.#held;
    if (first === undefined || second === undefined) return undefined;
    const short = second & 0x7f;
    const masked = (second & 0x80) !== 0;
    const start = short < 126 ? 2 : short === 126 ? 4 : 10;
    const end = start + (masked ? 4 : 0);
    if (this.#held.length < end) return undefined;
    const view = new DataView(this.#held.buffer, this.#held.byteOffset, end);
    const length =
      start === 2 ? short : start === 4 ? view.getUint16(2) : Number(view.getBigUint64(2));
    const mask = masked ? this.#held.slice(start, end) : undefined;
    const isControl = (first & 0x08) !== 0;
    const isFinal = (first & 0x80) !== 0;
    if ((first & 0x70) !== 0) throw new Error("a WebSocket's frame has an unknown extension");
    if (isControl && (length > limits.controlBytesMax || !isFinal)) {
      throw new Error("a WebSocket's control frame is too long");
    }
    if (!isControl && (first & 0x0f) !== 0) this.#opcode = first & 0x0f;
    this.#held = this.#held.subarray(end);
    return { opcode: isControl ? first & 0x0f : this.#opcode, isFinal, mask, length, taken: 0 };
  }

  #takePayload(frame: OpenFrame): MessagePiece | undefined {
    const { opcode, mask, length } = frame;
    const rest = length - frame.taken;
    const isWhole = this.#held.length >= rest;
    const isControl = (opcode & 0x08) !== 0;
    if (!isWhole && (isControl || this.#held.length === 0)) return undefined;
    const part = this.#held.subarray(0, rest);
    this.#held = this.#held.subarray(part.length);
    const payload = mask === undefined ? part : unmasked(part, mask, frame.taken);
    frame.taken += part.length;
    if (isWhole) this.#frame = undefined;
    return { opcode, payload, isLast: isWhole && frame.isFinal };
  }
}

function unmasked(bytes: Uint8Array, mask: Uint8Array, offset: number): Uint8Array {
  const plain = new Uint8Array(bytes.length);
  for (let at = 0; at < bytes.length; at++) {
    plain[at] = (bytes[at] ?? 0) ^ (mask[(offset + at) & 3] ?? 0);
  }
  return plain;
}
