/** Sends answers over a connection: whole bodies, streams as they come, and watches. */
import {
  type FrameReader,
  type Frames,
  type FrameWriter,
  type HttpAnswer,
  isFrames,
} from "../api/http-exchange.ts";
import type { Logger } from "../runtime/runtime.ts";
import { drained, leave, whole } from "./door-answer.ts";
import type { Exchange } from "./door-exchange.ts";

/** An answer under way that a stop ends. */
interface Streaming {
  cancel(): void;
}

export class DoorSender {
  readonly #log: Logger;
  /** Ends the answers that are being streamed. */
  readonly #streaming = new Set<Streaming>();
  #stopping = false;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** What is endless ends now; answers from here on are waited for. */
  stop(): void {
    this.#stopping = true;
    for (const streaming of this.#streaming) streaming.cancel();
  }

  /** Resolves when all is sent; for a watch that begins before a stop, at once. */
  async send(answer: HttpAnswer, exchange: Exchange): Promise<void> {
    const { body, headers, status } = answer;
    if (this.#stopping && exchange.isHttp1) headers.set("connection", "close");
    exchange.writeHead(status, headers.values);
    if (body === undefined || exchange.method === "HEAD") {
      leave(answer);
      exchange.end();
      return;
    }
    if (typeof body === "string" || body instanceof Uint8Array) return await whole(exchange, body);
    const isEndless = isFrames(body)
      ? body.isEndless
      : !headers.has("content-length") && !headers.has("content-encoding");
    const sent = isFrames(body)
      ? this.#follow(body, exchange)
      : this.#stream(body, exchange, isEndless);
    const streamed = sent.catch((error: unknown) => {
      this.#log.debug("stream ended", { reason: String(error) });
      exchange.out.destroy();
    });
    // A watch may last for hours and must not hold up a stop; one that begins now is an answer.
    if (this.#stopping || !isEndless) await streamed;
  }

  /** Frames go straight to the connection. */
  async #follow(frames: Frames, exchange: Exchange): Promise<void> {
    // A watch shows its head before its first event.
    if (frames.isEndless) exchange.flushHead();
    const sending = new FrameSending(exchange, this.#streaming);
    sending.start(frames, frames.isEndless && !this.#stopping);
    if (!frames.isEndless || this.#stopping) await sending.over();
  }

  async #stream(
    body: ReadableStream<Uint8Array>,
    exchange: Exchange,
    isEndless: boolean,
  ): Promise<void> {
    const { out } = exchange;
    const reader = body.getReader();
    let ended = false;
    const end = (): void => {
      ended = true;
      void reader.cancel().catch(() => {}); // the source's own failure is of no use any more
    };
    const streaming = { cancel: end };
    if (!this.#stopping && isEndless) this.#streaming.add(streaming);
    out.on("close", end);
    // A watch shows its head before its first event.
    if (isEndless) exchange.flushHead();
    try {
      while (!ended) {
        const { done, value } = await reader.read();
        if (done) break;
        if (!out.write(value) && !ended) await drained(out);
      }
      exchange.end();
    } finally {
      this.#streaming.delete(streaming);
      out.off("close", end);
    }
  }
}

/** Frames under way. There may be many watches at rest: each is one object with two listeners. */
class FrameSending implements FrameWriter {
  #reader: FrameReader | undefined;
  #isOver = false;
  #onOver: (() => void) | undefined;
  readonly #out: Exchange["out"];

  constructor(
    private readonly exchange: Exchange,
    private readonly streaming: Set<Streaming>,
  ) {
    this.#out = exchange.out;
  }

  start(frames: Frames, endsWithDoor: boolean): void {
    const out = this.#out;
    this.#reader = frames.start(this);
    if (endsWithDoor && !this.#isOver) this.streaming.add(this);
    out.on("drain", () => this.#reader?.drained());
    out.on("close", () => this.#close());
  }

  write(bytes: Uint8Array): boolean {
    return this.#out.write(bytes);
  }

  end(): void {
    this.exchange.end();
    this.#settle();
  }

  cancel(): void {
    this.#reader?.cancel();
  }

  over(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#isOver) resolve();
      else this.#onOver = resolve;
    });
  }

  #close(): void {
    this.streaming.delete(this);
    this.#reader?.cancel();
    this.#settle();
  }

  #settle(): void {
    this.#isOver = true;
    this.#onOver?.();
  }
}
