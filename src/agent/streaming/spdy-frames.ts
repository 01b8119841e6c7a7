/**
 * SPDY/3.1, as much of it as asking a container runtime for streams takes. Runtimes neither wait
 * for windows nor open them: what a slow reader holds back is TCP's business. The headers of an
 * answer say nothing that is needed, so nothing is ever inflated.
 */
import { joinBytes } from "../../lib/bytes.ts";

const types = { open: 1, reply: 2, reset: 3, ping: 6, goaway: 7, headers: 8 } as const;
const limits = { controlBytesMax: 64 * 1024, dataBytesMax: 0xff_ffff } as const;
const finalFlag = 0x01;
const refusedStream = 3;
const streamMask = 0x7fff_ffff;

/** A frame that came; of data, as much as is there. Frames of no concern are left out. */
export type SpdyFrame =
  | { readonly type: "data"; readonly stream: number; readonly bytes: Uint8Array }
  /** Nothing more comes on the stream. */
  | { readonly type: "end"; readonly stream: number }
  | { readonly type: "open"; readonly stream: number }
  | { readonly type: "ping"; readonly id: number }
  | { readonly type: "goaway" };

function controlFrame(type: number, flags: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return joinBytes([words(0x8003_0000 | type, (flags << 24) | length), ...parts]);
}

function words(...values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(values.length * 4);
  const view = new DataView(bytes.buffer);
  values.forEach((value, i) => {
    view.setUint32(i * 4, value >>> 0);
  });
  return bytes;
}

/** Opens streams. The blocks of headers are one zlib stream, so one writer serves a connection. */
export class StreamOpener {
  #isFirst = true;

  /** The SYN_STREAM of a stream with one header. */
  open(stream: number, name: string, value: string): Uint8Array {
    const [key, text] = [new TextEncoder().encode(name), new TextEncoder().encode(value)];
    const block = joinBytes([words(1, key.length), key, words(text.length), text]);
    const head = words(stream, 0, 0).subarray(0, 10);
    return controlFrame(types.open, 0, head, this.#zlib(block));
  }

  /** Stored as it is, and flushed by an empty block as readers expect. */
  #zlib(block: Uint8Array): Uint8Array {
    const { length } = block;
    const header = this.#isFirst ? Uint8Array.of(0x78, 0x01) : new Uint8Array();
    this.#isFirst = false;
    const [low, high] = [length & 0xff, length >> 8];
    const stored = Uint8Array.of(0, low, high, ~low & 0xff, ~high & 0xff);
    return joinBytes([header, stored, block, Uint8Array.of(0, 0, 0, 0xff, 0xff)]);
  }
}

export function dataFrame(stream: number, bytes: Uint8Array, isLast = false): Uint8Array {
  return joinBytes([words(stream, ((isLast ? finalFlag : 0) << 24) | bytes.length), bytes]);
}

/** Refuses a stream of the other side. */
export function resetFrame(stream: number): Uint8Array {
  return controlFrame(types.reset, 0, words(stream, refusedStream));
}

export function pingFrame(id: number): Uint8Array {
  return controlFrame(types.ping, 0, words(id));
}

interface OpenData {
  readonly stream: number;
  readonly isLast: boolean;
  left: number;
}

/** Takes bytes as they come; holds back no more than a frame's head or a control frame. */
export class SpdyReader {
  #held: Uint8Array = new Uint8Array();
  #data: OpenData | undefined;

  /** Throws at what is not SPDY. */
  *push(chunk: Uint8Array): Generator<SpdyFrame> {
    this.#held = this.#held.length === 0 ? chunk : joinBytes([this.#held, chunk]);
    for (;;) {
      if (this.#data !== undefined) {
        const { stream, isLast } = this.#data;
        const bytes = this.#takeData(this.#data);
        if (bytes.length > 0) yield { type: "data", stream, bytes };
        if (this.#data !== undefined) return;
        if (isLast) yield { type: "end", stream };
      } else {
        if (this.#held.length < 8) return;
        const view = new DataView(this.#held.buffer, this.#held.byteOffset, this.#held.length);
        const [first, second] = [view.getUint32(0), view.getUint32(4)];
        const [flags, length] = [second >>> 24, second & limits.dataBytesMax];
        if (first >>> 31 === 0) {
          this.#data = { stream: first, isLast: (flags & finalFlag) !== 0, left: length };
          this.#held = this.#held.subarray(8);
          continue;
        }
        if (length > limits.controlBytesMax) throw new Error("a SPDY control frame is too long");
        if (this.#held.length < 8 + length) return;
        this.#held = this.#held.subarray(8 + length);
        yield* controlFrames(first, flags, new DataView(view.buffer, view.byteOffset + 8, length));
      }
    }
  }

  #takeData(data: OpenData): Uint8Array {
    const bytes = this.#held.subarray(0, data.left);
    this.#held = this.#held.subarray(bytes.length);
    data.left -= bytes.length;
    if (data.left === 0) this.#data = undefined;
    return bytes;
  }
}

function* controlFrames(first: number, flags: number, payload: DataView): Generator<SpdyFrame> {
  if (((first >>> 16) & 0x7fff) !== 3) throw new Error("a SPDY frame is of another version");
  const type = first & 0xffff;
  if (type === types.goaway) return yield { type: "goaway" };
  if (!(Object.values(types) as number[]).includes(type)) return; // settings and windows
  if (payload.byteLength < 4) throw new Error("a SPDY control frame is too short");
  const id = payload.getUint32(0);
  if (type === types.ping) return yield { type: "ping", id };
  const stream = id & streamMask;
  if (type === types.open) yield { type: "open", stream };
  if (type === types.reset || (flags & finalFlag) !== 0) yield { type: "end", stream };
}
