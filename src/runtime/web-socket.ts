/** The server's end of a WebSocket over a connection. */
import { acceptance, encodeFrame, FrameReader, opcodes } from "../lib/websocket-frames.ts";
import type { ByteStream, Clock } from "./runtime.ts";

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

export class WebSocketPeer {
  readonly #stream: ByteStream;
  readonly #clock: Clock;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #gone = Promise.withResolvers<void>();

  constructor(stream: ByteStream, clock: Clock) {
    this.#stream = stream;
    this.#clock = clock;
    this.#writer = stream.writable.getWriter();
  }

  /** Shakes hands; `headers` are the client's. */
  accept(headers: Headers, protocol: string | undefined): Promise<void> {
    return this.#writer.write(acceptance(headers.get("sec-websocket-key") ?? "", protocol));
  }

  /** Sends one message; resolves when the connection has taken it. */
  send(opcode: number, ...parts: readonly Uint8Array[]): Promise<void> {
    return this.#writer.write(encodeFrame(opcode, ...parts));
  }

  /** What the client says until it takes its leave or is gone; pings are answered. */
  async *messages(): AsyncGenerator<DataPiece> {
    const source = this.#stream.readable.getReader();
    const frames = new FrameReader();
    try {
      for (;;) {
        const { done, value } = await source.read();
        if (done) return;
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
