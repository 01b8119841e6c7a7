/** One request to a backend that speaks HTTP/2: gRPC above all, with its trailers. */
import type {
  ClientHttp2Session,
  ClientHttp2Stream,
  IncomingHttpHeaders,
  OutgoingHttpHeaders,
} from "node:http2";
import { type Place, placeOf } from "./backend-pool.ts";
import { EndpointTries } from "./endpoint-tries.ts";
import {
  type Asker,
  type Exchange,
  type ExchangeOptions,
  isOverdue,
  mayRepeat,
} from "./exchange.ts";
import type { Field } from "./header-fields.ts";
import type { Http2Pool } from "./http2-pool.ts";
import { forwardedFields, passedOn } from "./request-out.ts";
import type { ResponseHead } from "./response-head.ts";

type Stage = "connecting" | "parked" | "waiting" | "answering" | "over";

export class Http2Exchange implements Exchange {
  readonly #options: ExchangeOptions;
  readonly #pool: Http2Pool;
  readonly #asker: Asker;
  readonly #tries: EndpointTries;
  #stage: Stage = "connecting";
  #attempt = 0;
  #stream: ClientHttp2Stream | undefined;
  #early: Buffer[] = [];
  #isWhole: boolean;
  #hasSentBody = false;
  #trailers: readonly Field[] = [];
  readonly #begunMs: number;
  #sinceMs = 0;
  /** Of a body whose length was told. */
  #bytesLeft = Number.POSITIVE_INFINITY;

  constructor(options: ExchangeOptions, pool: Http2Pool, asker: Asker) {
    this.#options = options;
    this.#begunMs = options.nowMs();
    this.#pool = pool;
    this.#asker = asker;
    this.#tries = new EndpointTries(options.balancer, options.nowMs, options.preferred);
    this.#isWhole = options.framing.type === "none";
  }

  start(): void {
    const endpoint = this.#tries.next();
    if (endpoint === undefined) {
      this.#fail(503);
      return;
    }
    const attempt = ++this.#attempt;
    const isCurrent = (): boolean => attempt === this.#attempt && this.#stage === "connecting";
    this.#stage = "connecting";
    this.#sinceMs = this.#options.nowMs();
    const place = placeOf(this.#options.balancer.backend, endpoint);
    this.#pool.session(
      place,
      (session) => {
        if (isCurrent()) this.#use(session, place);
      },
      () => {
        if (isCurrent()) this.#refused(502);
      },
    );
  }

  #refused(status: 502 | 504): void {
    this.#tries.refused();
    this.#again(status);
  }

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

  #use(session: ClientHttp2Session, place: Place): void {
    this.#stage = "waiting";
    this.#sinceMs = this.#options.nowMs();
    let stream: ClientHttp2Stream;
    try {
      stream = session.request(this.#headers(), {
        endStream: this.#isWhole && !this.#early.length,
      });
    } catch {
      // The session has ended meanwhile, and nothing was sent.
      this.#again(502);
      return;
    }
    this.#stream = stream;
    this.#pool.count(place, 1);
    stream.on("close", () => this.#pool.count(place, -1));
    this.#follow(stream);
    for (const piece of this.#early) this.#send(piece);
    this.#early = [];
    if (this.#isWhole && this.#options.framing.type !== "none") stream.end();
    this.#asker.more();
  }

  #headers(): OutgoingHttpHeaders {
    const { request, outgoing, balancer } = this.#options;
    const headers: Record<string, string | string[]> = {
      ":method": request.method,
      ":path": outgoing.target,
      ":scheme": balancer.backend.protocol === "h2" ? "https" : "http",
      ":authority": outgoing.host ?? request.host,
    };
    const add = (name: string, value: string): void => {
      const known = headers[name];
      headers[name] = known === undefined ? value : [known, value].flat();
    };
    for (const { lower, value } of passedOn(request)) add(lower, value);
    for (const [name, value] of forwardedFields(request, outgoing)) add(name.toLowerCase(), value);
    // Servers of gRPC want to be told that trailers arrive.
    const te = request.fields.find(({ lower }) => lower === "te")?.value;
    if (te?.toLowerCase() === "trailers") headers.te = "trailers";
    const { framing } = this.#options;
    if (framing.type === "length") headers["content-length"] = String(framing.bytes);
    return headers;
  }

  #follow(stream: ClientHttp2Stream): void {
    const isCurrent = (): boolean => this.#stream === stream;
    stream.on("response", (headers) => {
      if (isCurrent()) this.#head(headers);
    });
    stream.on("data", (piece: Buffer) => {
      if (!isCurrent()) return;
      this.#sinceMs = this.#options.nowMs();
      this.#bytesLeft -= piece.length;
      if (this.#bytesLeft < 0) {
        this.#cut();
        return;
      }
      if (!this.#asker.body(piece)) stream.pause();
      this.#asker.flush();
    });
    stream.on("trailers", (headers) => {
      this.#trailers = fieldsOf(headers);
    });
    stream.on("drain", () => {
      if (isCurrent()) this.#asker.more();
    });
    stream.on("end", () => {
      if (!isCurrent() || this.#stage !== "answering") return;
      // A client of HTTP/1.1 would take the next answer for the rest of this one.
      const isShort = this.#bytesLeft > 0 && this.#bytesLeft !== Number.POSITIVE_INFINITY;
      if (isShort) this.#cut();
      else this.#whole();
    });
    // What is behind an error is told by the close that follows it.
    stream.on("error", () => {});
    stream.on("close", () => {
      if (isCurrent()) this.#broken();
    });
  }

  #head(headers: IncomingHttpHeaders): void {
    this.#stage = "answering";
    const head: ResponseHead = {
      status: Number(headers[":status"] ?? 502),
      reason: "",
      fields: fieldsOf(headers),
      connection: [],
      framing: framingOf(headers, this.#options.request.method),
      keepsAlive: true,
    };
    this.#bytesLeft = head.framing.type === "length" ? head.framing.bytes : this.#bytesLeft;
    this.#asker.head(head, this.#tries.current);
    this.#asker.flush();
  }

  #cut(): void {
    this.abort();
    this.#asker.cut();
  }

  #whole(): void {
    const stream = this.#stream;
    this.#stage = "over";
    this.#stream = undefined;
    if (!this.#isWhole) stream?.close();
    this.#asker.finish(this.#trailers);
  }

  #broken(): void {
    const stage = this.#stage;
    this.#stream = undefined;
    if (stage === "answering") {
      this.#stage = "over";
      this.#asker.cut();
      return;
    }
    if (stage !== "waiting") return;
    if (mayRepeat(this.#options.request) && !this.#hasSentBody) this.#again(502);
    else this.#fail(502);
  }

  write(piece: Buffer): boolean {
    if (this.#stage === "connecting" || this.#stage === "parked") {
      this.#early.push(piece);
      return false;
    }
    return this.#send(piece);
  }

  #send(piece: Buffer): boolean {
    if (this.#stream === undefined || piece.length === 0) return true;
    this.#hasSentBody = true;
    this.#sinceMs = this.#options.nowMs();
    return this.#stream.write(piece);
  }

  end(): void {
    if (this.#isWhole) return;
    this.#isWhole = true;
    this.#stream?.end();
  }

  pause(): void {
    this.#stream?.pause();
  }

  resume(): void {
    this.#stream?.resume();
  }

  abort(): void {
    const stream = this.#stream;
    this.#stage = "over";
    this.#stream = undefined;
    stream?.close(cancelled);
  }

  tick(nowMs: number): void {
    const { connectMs } = this.#options;
    if (this.#stage === "over") return;
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

  #fail(status: 502 | 503 | 504): void {
    this.#stage = "over";
    this.#attempt += 1;
    this.#asker.fail(status);
  }
}

/** RFC 9113's CANCEL. */
const cancelled = 8;

function fieldsOf(headers: IncomingHttpHeaders): readonly Field[] {
  return Object.entries(headers).flatMap(([name, value]) => {
    if (name.startsWith(":") || value === undefined) return [];
    // Line ends would be fields of their own in HTTP/1.1.
    const lines = [value]
      .flat()
      .map(String)
      .filter((one) => !/[\0\r\n]/.test(one));
    return lines.map((one) => ({ name, lower: name, value: one }));
  });
}

function framingOf(headers: IncomingHttpHeaders, method: string): ResponseHead["framing"] {
  const status = Number(headers[":status"]);
  if (method === "HEAD" || status === 204 || status === 304) return { type: "none" };
  const length = headers["content-length"];
  if (length !== undefined && /^\d{1,15}$/.test(length)) {
    return length === "0" ? { type: "none" } : { type: "length", bytes: Number(length) };
  }
  return { type: "close" };
}
