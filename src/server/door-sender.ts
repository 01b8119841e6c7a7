/** Sends answers over a connection: whole bodies, streams as they come, and watches. */
import { type Frames, type HttpAnswer, isFrames } from "../api/http-exchange.ts";
import type { Logger } from "../runtime/runtime.ts";
import { drained, leave, whole } from "./door-answer.ts";
import type { Exchange } from "./door-exchange.ts";

export class DoorSender {
  readonly #log: Logger;
  /** Ends the answers that are being streamed. */
  readonly #streaming = new Set<() => void>();
  #stopping = false;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** What is endless ends now; answers from here on are waited for. */
  stop(): void {
    this.#stopping = true;
    for (const end of this.#streaming) end();
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
  #follow(frames: Frames, exchange: Exchange): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const { out } = exchange;
    // A watch shows its head before its first event.
    if (frames.isEndless) exchange.flushHead();
    const reader = frames.start({
      write: (bytes) => out.write(bytes),
      end: () => {
        exchange.end();
        resolve();
      },
    });
    const end = (): void => reader.cancel();
    if (!this.#stopping && frames.isEndless) this.#streaming.add(end);
    out.on("drain", () => reader.drained());
    out.on("close", () => {
      this.#streaming.delete(end);
      reader.cancel();
      resolve();
    });
    return promise;
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
    if (!this.#stopping && isEndless) this.#streaming.add(end);
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
      this.#streaming.delete(end);
      out.off("close", end);
    }
  }
}
