/** A client's connection that speaks HTTP/2, and the requests on it. */
import type {
  IncomingHttpHeaders,
  OutgoingHttpHeaders,
  ServerHttp2Session,
  ServerHttp2Stream,
} from "node:http2";
import type { AnswerFields, Decision, Forward } from "./decision.ts";
import type { Asker, Exchange } from "./exchange.ts";
import { type Field, hasIllegalCharacters, isToken } from "./header-fields.ts";
import type { IngressGateway, Timed } from "./ingress-gateway.ts";
import { type Framing, isHost, isTarget, noBody } from "./request-head.ts";
import { answerFieldsOf, type Request } from "./request-out.ts";
import { RequestRecord } from "./request-record.ts";
import { type ResponseHead, reasonOf } from "./response-head.ts";

const limits = {
  idleMsMax: 180_000,
  bodyMsMax: 60_000,
  /** Requests that a client takes back soon after it made them cost it nothing, and us much. */
  resetsMax: 200,
} as const;

const endsStream = 1;

export class Http2Client implements Timed {
  readonly #streams = new Set<Http2Request>();
  #idleSinceMs: number;
  #served = 0;
  #resets = 0;

  constructor(
    private readonly gateway: IngressGateway,
    private readonly session: ServerHttp2Session,
    private readonly from: Pick<Request, "clientIp" | "entryPoint">,
  ) {
    this.#idleSinceMs = gateway.nowMs();
    session.on("stream", (stream, headers, flags) => this.#begin(stream, headers, flags));
    session.on("error", () => {}); // it closes, and that is told
    session.on("close", () => {
      for (const stream of this.#streams) stream.leave();
      gateway.remove(this);
    });
    if (!gateway.add(this)) session.destroy();
  }

  get isIdle(): boolean {
    return this.#streams.size === 0;
  }

  tick(nowMs: number): void {
    for (const stream of this.#streams) stream.tick(nowMs);
    if (this.isIdle && nowMs - this.#idleSinceMs > limits.idleMsMax) this.session.close();
  }

  destroy(): void {
    this.session.destroy();
    this.gateway.remove(this);
  }

  #begin(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, flags: number): void {
    const request = new Http2Request(this.gateway, stream, this.from, (isAnswered) => {
      this.#streams.delete(request);
      this.#idleSinceMs = this.gateway.nowMs();
      this.#served += 1;
      if (!isAnswered) this.#resets += 1;
      if (this.#resets > limits.resetsMax && this.#resets > this.#served / 2) this.destroy();
    });
    this.#streams.add(request);
    request.begin(headers, (flags & endsStream) !== 0);
  }
}

class Http2Request implements Asker {
  #exchange: Exchange | undefined;
  #forward: Forward | undefined;
  #record: RequestRecord | undefined;
  #isWhole = false;
  #hasHead = false;
  #isOver = false;
  #bodyDeadlineMs = Number.POSITIVE_INFINITY;
  /** What may still come of the body: by its length, and by the route. */
  #bytesLeft = Number.POSITIVE_INFINITY;
  #framing: Framing = noBody;
  #trailers: readonly Field[] = [];

  constructor(
    private readonly gateway: IngressGateway,
    private readonly stream: ServerHttp2Stream,
    private readonly from: Pick<Request, "clientIp" | "entryPoint">,
    private readonly onEnd: (isAnswered: boolean) => void,
  ) {}

  begin(headers: IncomingHttpHeaders, isWhole: boolean): void {
    const { stream } = this;
    this.#isWhole = isWhole;
    stream.on("error", () => {}); // it closes, and that is told
    stream.on("close", () => this.leave());
    stream.on("drain", () => this.#exchange?.resume());
    const read = readHead(headers, isWhole);
    const blank = { method: "", host: "", fields: [], connection: [] };
    const request: Request = { ...(read?.request ?? blank), ...this.from };
    this.#record = new RequestRecord(this.gateway, request, read?.target ?? "");
    if (read === undefined) {
      this.#answer(400, [], "400 Bad Request\n");
      return;
    }
    this.#framing = read.framing;
    const decision = this.gateway.decide(request, read.target);
    if (decision instanceof Promise) void decision.then((one) => this.#decided(one, request));
    else this.#decided(decision, request);
  }

  #decided(decision: Decision, request: Request): void {
    if (this.#isOver) return;
    this.#record?.routed(decision.route);
    if (decision.type === "answer") {
      this.#answer(decision.status, decision.fields, decision.body);
      return;
    }
    const { bodyBytesMax = Number.POSITIVE_INFINITY } = decision.route.rules;
    const length = this.#framing.type === "length" ? this.#framing.bytes : undefined;
    if ((length ?? 0) > bodyBytesMax) {
      this.#answer(413, [], "");
      return;
    }
    this.#bytesLeft = length ?? bodyBytesMax;
    this.#forward = decision;
    const asked = { request, framing: this.#framing, upgrade: "" };
    this.#exchange = this.gateway.exchange(decision, asked, this);
    this.#exchange.start();
    if (!this.#isWhole) this.#takeBody();
  }

  #takeBody(): void {
    const { stream } = this;
    const alive = (): void => {
      this.#bodyDeadlineMs = this.gateway.nowMs() + limits.bodyMsMax;
    };
    alive();
    stream.on("data", (piece: Buffer) => {
      alive();
      this.#bytesLeft -= piece.length;
      if (this.#bytesLeft < 0) this.#refuse();
      else if (this.#exchange?.write(piece) === false) stream.pause();
    });
    stream.on("end", () => {
      this.#isWhole = true;
      this.#bodyDeadlineMs = Number.POSITIVE_INFINITY;
      // A body shorter than was told would borrow its rest from the next request.
      if (this.#framing.type === "length" && this.#bytesLeft > 0) this.#refuse();
      else this.#exchange?.end();
    });
  }

  #refuse(): void {
    this.#exchange?.abort();
    this.#exchange = undefined;
    if (this.#hasHead) this.cut();
    else this.#answer(this.#framing.type === "length" ? 400 : 413, [], "");
  }

  tick(nowMs: number): void {
    this.#exchange?.tick(nowMs);
    if (nowMs > this.#bodyDeadlineMs) this.cut();
  }

  /** The stream has ended, one way or another. */
  leave(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const isAnswered = this.#exchange === undefined;
    this.#exchange?.abort();
    this.#exchange = undefined;
    this.#record?.finish();
    this.onEnd(isAnswered);
  }

  #answer(status: number, fields: AnswerFields, body: string): void {
    const bytes = Buffer.from(body);
    const headers: OutgoingHttpHeaders = { ":status": status, "content-length": bytes.length };
    for (const [name, value] of fields) headers[name.toLowerCase()] = value;
    this.#record?.answered(status, bytes.length);
    this.#respond(headers, false);
    this.stream.end(bytes);
  }

  #respond(headers: OutgoingHttpHeaders, waitForTrailers: boolean): void {
    if (this.stream.destroyed || this.stream.closed || this.#hasHead) return;
    this.#hasHead = true;
    this.stream.respond(headers, { waitForTrailers });
  }

  /** Nobody waits for them by HTTP/2. */
  interim(): void {}

  head(head: ResponseHead, endpoint: string): void {
    const { fields: own = [], dropped } = this.#forward ?? {};
    const headers: Record<string, string | number | string[]> = { ":status": head.status };
    const add = (name: string, value: string): void => {
      const known = headers[name];
      headers[name] = known === undefined ? value : [String(known), value].flat();
    };
    for (const { lower, value } of answerFieldsOf(head.fields, head.connection, dropped)) {
      add(lower, value);
    }
    for (const [name, value] of own) add(name.toLowerCase(), value);
    const { balancer, preferred } = this.#forward ?? {};
    const cookie = preferred === endpoint ? undefined : balancer?.cookieFor(endpoint);
    if (cookie !== undefined) add("set-cookie", cookie);
    const length = head.fields.find(({ lower }) => lower === "content-length")?.value;
    if (length !== undefined) headers["content-length"] = length;
    this.#record?.answered(head.status, 0);
    this.stream.on("wantTrailers", () => this.#sendTrailers());
    // Only backends of HTTP/2 have trailers.
    const hasTrailers = balancer?.backend.protocol.startsWith("h2") === true;
    this.#respond(headers, hasTrailers);
  }

  #sendTrailers(): void {
    const trailers: Record<string, string> = {};
    for (const { lower, value } of this.#trailers) trailers[lower] = value;
    this.stream.sendTrailers(trailers);
  }

  body(piece: Buffer): boolean {
    this.#record?.sent(piece.length);
    return this.stream.write(piece);
  }

  flush(): void {}

  finish(trailers: readonly Field[]): void {
    this.#exchange = undefined;
    this.#trailers = trailers;
    this.stream.end();
  }

  /** Not asked for by HTTP/2, so no backend may do it. */
  switched(): void {
    this.cut();
  }

  halfClosed(): void {}

  fail(status: 502 | 503 | 504): void {
    this.#exchange = undefined;
    const text = status === 503 ? "no available server" : reasonOf(status, "");
    this.#answer(status, [["Content-Type", "text/plain; charset=utf-8"]], `${text}\n`);
  }

  cut(): void {
    this.stream.close(internalError);
  }

  more(): void {
    this.stream.resume();
  }
}

/** RFC 9113's INTERNAL_ERROR. */
const internalError = 2;

interface ReadHead {
  readonly request: Pick<Request, "method" | "host" | "fields" | "connection">;
  readonly target: string;
  readonly framing: Framing;
}

/** Fields of connections have no place in HTTP/2; who sends them means to smuggle something. */
const forbidden: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
]);

/** Undefined for what HTTP/1.1 could not carry as it was meant. */
function readHead(headers: IncomingHttpHeaders, isWhole: boolean): ReadHead | undefined {
  const { ":method": method, ":path": target, ":authority": authority } = headers;
  const host = authority ?? headers.host;
  if (typeof method !== "string" || !isToken(method) || method === "CONNECT") return undefined;
  if (typeof target !== "string" || !target.startsWith("/") || !isTarget(target)) return undefined;
  if (typeof host !== "string" || host === "" || !isHost(host)) return undefined;
  const fields: Field[] = [];
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith(":") || value === undefined) continue;
    if (!isToken(name) || forbidden.has(name)) return undefined;
    for (const one of [value].flat()) {
      if (/[\r\n]/.test(one) || hasIllegalCharacters(one)) return undefined;
      fields.push({ name, lower: name, value: one });
    }
  }
  const framing = framingOf(headers["content-length"], isWhole);
  if (framing === undefined) return undefined;
  return { request: { method, host, fields, connection: [] }, target, framing };
}

function framingOf(length: string | undefined, isWhole: boolean): Framing | undefined {
  if (length !== undefined && !/^\d{1,15}$/.test(length)) return undefined;
  if (isWhole) return length === undefined || Number(length) === 0 ? noBody : undefined;
  return length === undefined ? { type: "chunked" } : { type: "length", bytes: Number(length) };
}
