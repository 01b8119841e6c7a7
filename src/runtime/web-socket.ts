/** Either end of a WebSocket over a connection. */
import {
  acceptance,
  encodeFrame,
  FrameReader,
  maskFrame,
  opcodes,
} from "../lib/websocket-frames.ts";
import { readAnswer, readBody } from "./http-answer.ts";
import type { ByteStream, Clock, Random } from "./runtime.ts";

const limits = { goodbyeMs: 10_000 } as const;
const normalClosure = Uint8Array.of(0x03, 0xe8);

/** What a client offers, in its order. */
export function offeredProtocols(headers: Headers): string[] {
  const offered = headers.get("sec-websocket-protocol") ?? "";
  return offered
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
}

export function asksForWebSocket(headers: Headers): boolean {
  return headers.get("upgrade")?.toLowerCase() === "websocket" && headers.has("sec-websocket-key");
}

export interface DataPiece {
  readonly payload: Uint8Array;
  /** The message ends with this piece. */
  readonly isLast: boolean;
}

interface ClientEnd {
  readonly writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly maskBytes: () => Uint8Array;
  readonly early: Uint8Array;
}

/** Asks for a WebSocket over a connection; throws with the answer of who does not agree. */
export async function openWebSocket(
  stream: ByteStream,
  to: { readonly host: string; readonly path: string },
  { clock, random }: { readonly clock: Clock; readonly random: Random },
): Promise<WebSocketPeer> {
  const key = random.bytes(16).toBase64();
  const lines = [
    `GET ${to.path} HTTP/1.1`,
    `Host: ${to.host}`,
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    `Sec-WebSocket-Key: ${key}`,
  ];
  const writer = stream.writable.getWriter();
  await writer.write(new TextEncoder().encode(`${lines.join("\r\n")}\r\n\r\n`));
  const answer = await readAnswer(stream.readable);
  if (answer.status !== 101) {
    const text = new TextDecoder().decode(await readBody(answer)).trim();
    throw new Error(`it answered ${answer.status} ${text}`.trimEnd());
  }
  answer.reader.releaseLock();
  const maskBytes = (): Uint8Array => random.bytes(4);
  return new WebSocketPeer(stream, clock, { writer, maskBytes, early: answer.rest });
}

export class WebSocketPeer {
  readonly #stream: ByteStream;
  readonly #clock: Clock;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #gone = Promise.withResolvers<void>();
  /** Clients mask what they send. */
  readonly #maskBytes: (() => Uint8Array) | undefined;
  /** What came along with the handshake. */
  readonly #early: Uint8Array;
  #heardMs: number;

  constructor(stream: ByteStream, clock: Clock, client?: ClientEnd) {
    this.#stream = stream;
    this.#clock = clock;
    this.#writer = client?.writer ?? stream.writable.getWriter();
    this.#maskBytes = client?.maskBytes;
    this.#early = client?.early ?? new Uint8Array();
    this.#heardMs = clock.monotonicMs();
  }

  /** When the other end was last heard of, by the clock's monotonic time. */
  get heardMs(): number {
    return this.#heardMs;
  }

  /** Shakes hands; `headers` are the client's. */
  accept(headers: Headers, protocol: string | undefined): Promise<void> {
    return this.#writer.write(acceptance(headers.get("sec-websocket-key") ?? "", protocol));
  }

  /** Sends one message; resolves when the connection has taken it. */
  send(opcode: number, ...parts: readonly Uint8Array[]): Promise<void> {
    const frame = encodeFrame(opcode, ...parts);
    const mask = this.#maskBytes?.();
    return this.#writer.write(mask === undefined ? frame : maskFrame(frame, mask));
  }

  /** What the other end says until it takes its leave or is gone; pings are answered. */
  async *messages(): AsyncGenerator<DataPiece> {
    const source = this.#stream.readable.getReader();
    const frames = new FrameReader();
    let early: Uint8Array | undefined = this.#early;
    try {
      for (;;) {
        const { done, value } = early === undefined ? await source.read() : { value: early };
        early = undefined;
        if (done || value === undefined) return;
        this.#heardMs = this.#clock.monotonicMs();
        for (const piece of frames.push(value)) {
          if (piece.opcode === opcodes.close) return;
          if (piece.opcode === opcodes.ping) await this.send(opcodes.pong, piece.payload);
          else if (piece.opcode !== opcodes.pong) yield piece;
        }
      }
    } finally {
      this.#gone.resolve();
    }
  }

  /**
   * Says goodbye and hangs up when the client has, too: who hangs up on a client that still sends
   * takes from it what it has not read. Somebody must be reading `messages`.
   */
  async close(): Promise<void> {
    const over = new AbortController();
    const leave = this.send(opcodes.close, normalClosure)
      .then(() => this.#gone.promise)
      .then(() => this.#writer.close());
    await Promise.race([leave, this.#clock.sleep(limits.goodbyeMs, over.signal)]).catch(() => {});
    over.abort();
    leave.catch(() => {}); // the client has gone already
    this.#stream.close();
  }
}
