/**
 * One request to a backend that speaks HTTP/1.1, and its answer. Tries another endpoint as long as
 * nothing has been sent that must not be sent twice.
 */

import type { AnswerReader, BackendConnection } from "./backend-connection.ts";
import { type BackendPool, type Place, placeOf } from "./backend-pool.ts";
import { EndpointTries } from "./endpoint-tries.ts";
import {
  type Asker,
  type Exchange,
  type ExchangeOptions,
  isOverdue,
  mayRepeat,
} from "./exchange.ts";
import { requestText } from "./request-out.ts";
import type { ResponseHead } from "./response-head.ts";

const lastChunk = "0\r\n\r\n";

/** "parked": all endpoints refused, others may be on their way. */
type Stage = "connecting" | "parked" | "waiting" | "answering" | "raw" | "over";

export class Http1Exchange implements Exchange, AnswerReader {
  readonly #options: ExchangeOptions;
  readonly #asker: Asker;
  readonly #pool: BackendPool;
  readonly #tries: EndpointTries;
  #stage: Stage = "connecting";
  #connection: BackendConnection | undefined;
  /** Counts connections that were asked for: one that comes too late is recognized. */
  #attempt = 0;
  #hasSentBody = false;
  /** What came of the body before there was a connection. */
  #early: Buffer[] = [];
  #isWhole: boolean;
  readonly #begunMs: number;
  #sinceMs = 0;

  constructor(options: ExchangeOptions, pool: BackendPool, asker: Asker) {
    this.#options = options;
    this.#begunMs = options.nowMs();
    this.#pool = pool;
    this.#asker = asker;
    this.#tries = new EndpointTries(options.balancer, options.nowMs, options.preferred);
    this.#isWhole = options.framing.type === "none";
  }

  start(): void {
    const { request, framing } = this.#options;
    const endpoint = this.#tries.next();
    if (endpoint === undefined) {
      this.#fail(503);
      return;
    }
    const idle = this.#pool.take(
      this.#place(endpoint),
      mayRepeat(request) && framing.type === "none",
    );
    if (idle === undefined) this.#dial(endpoint);
    else this.#use(idle);
  }

  #dial(endpoint: string): void {
    const { nowMs } = this.#options;
    const attempt = ++this.#attempt;
    this.#stage = "connecting";
    this.#sinceMs = nowMs();
    this.#pool.dial(
      this.#place(endpoint),
      (connection) => {
        if (attempt !== this.#attempt || this.#stage !== "connecting") connection.destroy();
        else this.#use(connection);
      },
      () => {
        if (attempt === this.#attempt && this.#stage === "connecting") this.#refused(502);
      },
    );
  }

  #place(endpoint: string): Place {
    return placeOf(this.#options.balancer.backend, endpoint);
  }

  #refused(status: 502 | 504): void {
    this.#tries.refused();
    this.#again(status);
  }

  /** Nothing has been sent: the next endpoint, or all again when there may be new ones. */
  #again(status: 502 | 504): void {
    this.#attempt += 1;
    switch (this.#tries.again()) {
      case "now":
        this.start();
        break;
      case "later":
        this.#stage = "parked";
        break;
      case "never":
        this.#fail(status);
    }
  }

  #use(connection: BackendConnection): void {
    const { request, outgoing, nowMs } = this.#options;
    const text = requestText(request, outgoing) + framingText(this.#options);
    this.#connection = connection;
    this.#stage = "waiting";
    this.#sinceMs = nowMs();
    const isFree = connection.request(this, request.method, text);
    const early = this.#early;
    this.#early = [];
    for (const piece of early) this.#send(piece);
    if (this.#isWhole) this.#sendEnd();
    if (isFree) this.#asker.more();
  }

  write(piece: Buffer): boolean {
    if (this.#stage === "connecting" || this.#stage === "parked") {
      this.#early.push(piece);
      return false;
    }
    if (this.#stage === "over") return true;
    return this.#send(piece);
  }

  #send(piece: Buffer): boolean {
    const socket = this.#connection?.socket;
    if (socket === undefined || piece.length === 0) return true;
    this.#hasSentBody = true;
    this.#sinceMs = this.#options.nowMs();
    if (this.#options.framing.type !== "chunked" || this.#stage === "raw") {
      return socket.write(piece);
    }
    socket.write(`${piece.length.toString(16)}\r\n`);
    socket.write(piece);
    return socket.write("\r\n");
  }

  end(): void {
    if (this.#stage === "raw") {
      this.#connection?.socket.end();
      return;
    }
    if (this.#isWhole) return;
    this.#isWhole = true;
    if (this.#connection !== undefined) this.#sendEnd();
  }

  #sendEnd(): void {
    if (this.#options.framing.type === "chunked") this.#connection?.socket.write(lastChunk);
  }

  pause(): void {
    this.#connection?.socket.pause();
  }

  resume(): void {
    this.#connection?.socket.resume();
  }

  abort(): void {
    this.#stage = "over";
    this.#connection?.destroy();
    this.#connection = undefined;
  }

  tick(nowMs: number): void {
    const { connectMs } = this.#options;
    if (this.#stage === "over" || this.#stage === "raw") return;
    const isAsked = this.#stage === "waiting" || this.#stage === "answering";
    const times = { begunMs: this.#begunMs, sinceMs: this.#sinceMs, isAsked };
    if (isOverdue(this.#options, times, nowMs)) {
      const hadHead = this.#stage === "answering";
      this.abort();
      if (hadHead) this.#asker.cut();
      else this.#asker.fail(504);
    } else if (this.#stage === "parked") this.start();
    else if (this.#stage === "connecting" && nowMs - this.#sinceMs > connectMs) this.#refused(504);
  }

  interim(head: ResponseHead): void {
    this.#asker.interim(head);
  }

  head(head: ResponseHead): void {
    this.#stage = "answering";
    this.#asker.head(head, this.#tries.current);
  }

  body(piece: Buffer): void {
    this.#sinceMs = this.#options.nowMs();
    if (!this.#asker.body(piece)) this.pause();
  }

  flush(): void {
    this.#asker.flush();
  }

  whole(): void {
    const connection = this.#connection;
    this.#stage = "over";
    this.#connection = undefined;
    // The rest of a body that the backend did not wait for must not reach the next answer.
    if (!this.#isWhole) connection?.destroy();
    this.#asker.finish([]);
  }

  switched(head: ResponseHead): void {
    if (this.#options.upgrade === "") {
      this.abort();
      this.#asker.fail(502);
      return;
    }
    this.#stage = "raw";
    this.#asker.switched(head);
  }

  drained(): void {
    this.#asker.more();
  }

  ended(): void {
    this.#asker.halfClosed();
  }

  broken(): void {
    const wasReused = this.#connection?.isReused === true;
    const stage = this.#stage;
    this.#connection = undefined;
    if (stage === "over") return;
    if (stage !== "waiting") {
      this.#stage = "over";
      this.#asker.cut();
      return;
    }
    if (!mayRepeat(this.#options.request) || this.#hasSentBody) {
      this.#fail(502);
      return;
    }
    // The endpoint may be well: it only closed a connection that had waited.
    if (wasReused) this.#dial(this.#tries.current);
    else this.#again(502);
  }

  #fail(status: 502 | 503 | 504): void {
    this.#stage = "over";
    this.#attempt += 1;
    this.#asker.fail(status);
  }
}

function framingText({ framing, upgrade, request: { method } }: ExchangeOptions): string {
  if (upgrade !== "") return `Connection: Upgrade\r\nUpgrade: ${upgrade}\r\n\r\n`;
  switch (framing.type) {
    case "none":
      // Some servers wait for a body where the method usually has one.
      return method === "POST" || method === "PUT" || method === "PATCH"
        ? "Content-Length: 0\r\n\r\n"
        : "\r\n";
    case "length":
      return `Content-Length: ${framing.bytes}\r\n\r\n`;
    case "chunked":
      return "Transfer-Encoding: chunked\r\n\r\n";
  }
}
