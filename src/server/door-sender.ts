/** Sends answers over a connection: whole bodies, streams as they come, and watches. */
import type { Http2ServerResponse } from "node:http2";
import { type Frames, type HttpAnswer, isFrames } from "../api/http-exchange.ts";
import type { Logger } from "../runtime/runtime.ts";
import { drained, flushHead, leave, whole } from "./door-answer.ts";

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
  async send(answer: HttpAnswer, response: Http2ServerResponse, isHead: boolean): Promise<void> {
    const { body, headers, status } = answer;
    if (this.#stopping && response.req.httpVersionMajor === 1) headers.set("connection", "close");
    response.writeHead(status, headers.values);
    if (body === undefined || isHead) {
      leave(answer);
      response.end();
      return;
    }
    if (typeof body === "string" || body instanceof Uint8Array) return await whole(response, body);
    const isEndless = isFrames(body)
      ? body.isEndless
      : !headers.has("content-length") && !headers.has("content-encoding");
    const sent = isFrames(body)
      ? this.#follow(body, response)
      : this.#stream(body, response, isEndless);
    const streamed = sent.catch((error: unknown) => {
      this.#log.debug("stream ended", { reason: String(error) });
      response.destroy();
    });
    // A watch may last for hours and must not hold up a stop; one that begins now is an answer.
    if (this.#stopping || !isEndless) await streamed;
  }

  /** Frames go straight to the connection. */
  #follow(frames: Frames, response: Http2ServerResponse): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const out = response.stream ?? response;
    // A watch shows its head before its first event.
    if (frames.isEndless) flushHead(response);
    const reader = frames.start({
      write: (bytes) => out.write(bytes),
      end: () => {
        out.end();
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
    response: Http2ServerResponse,
    isEndless: boolean,
  ): Promise<void> {
    const reader = body.getReader();
    let ended = false;
    const end = (): void => {
      ended = true;
      void reader.cancel().catch(() => {}); // the source's own failure is of no use any more
    };
    if (!this.#stopping && isEndless) this.#streaming.add(end);
    response.on("close", end);
    // A watch shows its head before its first event.
    if (isEndless) flushHead(response);
    try {
      while (!ended) {
        const { done, value } = await reader.read();
        if (done) break;
        if (!response.write(value) && !ended) await drained(response);
      }
      response.end();
    } finally {
      this.#streaming.delete(end);
      response.off("close", end);
    }
  }
}
