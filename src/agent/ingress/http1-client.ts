/** One connection of a client that speaks HTTP/1.1: its requests, one after the other. */
import type { StreamOwner, StreamSocket } from "../../runtime/stream-sockets.ts";
import { type BodyReader, bodyReader } from "./body-reader.ts";
import type { AnswerFields, Decision, Forward } from "./decision.ts";
import type { Asker, Exchange } from "./exchange.ts";
import { headLimits } from "./header-fields.ts";
import type { IngressGateway, Timed } from "./ingress-gateway.ts";
import { OutBytes } from "./out-bytes.ts";
import { parseRequestHead, type Refusal, type RequestHead } from "./request-head.ts";
import { answerFieldsOf, type Request } from "./request-out.ts";
import { RequestRecord } from "./request-record.ts";
import { type ResponseHead, reasonOf } from "./response-head.ts";
import type { EntryPoint } from "./route-table.ts";

const limits = {
  /** From its first byte to its end. */
  headMsMax: 30_000,
  idleMsMax: 180_000,
  /** Between two pieces of a body. */
  bodyMsMax: 60_000,
  /** After an answer that a client might still be sending against. */
  lingerMs: 2_000,
  /** Of requests that came before their turn. */
  pendingBytesMax: 64 * 1024,
} as const;

const headEnd = Buffer.from("\r\n\r\n");
const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\n");
const carriageReturn = 13;

/** "deciding": passwords are compared; "busy": an exchange runs; "raw": bytes pass as they are. */
type Stage = "idle" | "deciding" | "busy" | "raw" | "over";

export class Http1Client implements StreamOwner, Asker, Timed {
  readonly #gateway: IngressGateway;
  readonly #socket: StreamSocket;
  readonly #entryPoint: EntryPoint;
  readonly #out: OutBytes;
  #stage: Stage = "idle";
  #isParsing = false;
  #pending: Buffer | undefined;
  /** Until when what is awaited must have come. */
  #deadlineMs: number;
  #reader: BodyReader | undefined;
  #bodyBytesLeft = Number.POSITIVE_INFINITY;
  #head: RequestHead | undefined;
  #forward: Forward | undefined;
  #exchange: Exchange | undefined;
  #record: RequestRecord | undefined;
  /** How the answer's body is sent; undefined before its head. */
  #answers: "as-is" | "chunked" | "no-body" | undefined;
  #keeps = false;

  /** `onHttp2` is given the socket, and what was read, of a client that speaks it unasked. */
  constructor(
    gateway: IngressGateway,
    socket: StreamSocket,
    entryPoint: EntryPoint,
    private readonly onHttp2?: (socket: StreamSocket, read: Buffer) => void,
  ) {
    this.#gateway = gateway;
    this.#socket = socket;
    this.#entryPoint = entryPoint;
    this.#out = new OutBytes(socket);
    this.#deadlineMs = gateway.nowMs() + limits.headMsMax;
    socket.owner = this;
    if (!gateway.add(this)) this.destroy();
  }

  get isIdle(): boolean {
    return this.#stage === "idle" || this.#stage === "over";
  }

  tick(nowMs: number): void {
    this.#exchange?.tick(nowMs);
    if (nowMs < this.#deadlineMs) return;
    const isLate = this.#stage === "idle" && this.#pending !== undefined;
    if (isLate) this.#refuse({ status: 408 });
    else this.destroy();
  }

  destroy(): void {
    this.#stage = "over";
    this.#drop();
    this.#socket.destroy();
    this.#gateway.remove(this);
  }

  data(bytes: Buffer): void {
    if (this.#stage === "over") return;
    if (this.#stage === "raw") {
      if (this.#exchange?.write(bytes) === false) this.#socket.pause();
      return;
    }
    if (this.#reader !== undefined && this.#stage === "busy") {
      this.#takeBody(bytes);
      return;
    }
    const isFirst = this.#pending === undefined;
    this.#pending = this.#pending === undefined ? bytes : Buffer.concat([this.#pending, bytes]);
    if (this.#stage !== "idle") {
      if (this.#pending.length > limits.pendingBytesMax) this.#socket.pause();
      return;
    }
    if (isFirst) this.#deadlineMs = this.#gateway.nowMs() + limits.headMsMax;
    if (this.#head === undefined && this.#pending.subarray(0, preface.length).equals(preface)) {
      this.#handOver(this.#pending);
    } else this.#parse();
  }

  /** RFC 9113, section 3.3: who begins like this knows that HTTP/2 is spoken here. */
  #handOver(read: Buffer): void {
    if (this.onHttp2 === undefined) {
      this.#refuse({ status: 505 });
      return;
    }
    this.#stage = "over";
    this.#gateway.remove(this);
    this.onHttp2(this.#socket, read);
  }

  /** Takes requests out of what has come, as long as each is answered at once. */
  #parse(): void {
    if (this.#isParsing) return;
    this.#isParsing = true;
    while (this.#stage === "idle" && this.#pending !== undefined) {
      if (!this.#parseOne(this.#pending)) break;
    }
    this.#isParsing = false;
  }

  /** False: its head is not whole. */
  #parseOne(pending: Buffer): boolean {
    // Some clients of old send an empty line behind a body.
    const start = pending[0] === carriageReturn && pending[1] === 10 ? 2 : 0;
    const end = pending.indexOf(headEnd, start);
    if (end === -1 || end - start > headLimits.bytesMax) {
      if (pending.length - start > headLimits.bytesMax) this.#refuse({ status: 431 });
      return false;
    }
    const head = parseRequestHead(pending.toString("latin1", start, end));
    const rest = end + headEnd.length;
    this.#pending = rest === pending.length ? undefined : pending.subarray(rest);
    if ("status" in head) this.#refuse(head);
    else this.#handle(head);
    return true;
  }

  #handle(head: RequestHead): void {
    const { method, host, fields, connection } = head;
    const { remoteAddress: clientIp } = this.#socket;
    const request = { method, host, fields, connection, entryPoint: this.#entryPoint, clientIp };
    this.#head = head;
    this.#keeps = head.keepsAlive;
    this.#deadlineMs = Number.POSITIVE_INFINITY;
    this.#reader = head.framing.type === "none" ? undefined : bodyReader(head.framing);
    this.#record = new RequestRecord(this.#gateway, request, head.target);
    const decision = this.#gateway.decide(request, head.target);
    if (!(decision instanceof Promise)) {
      this.#follow(decision, request, head);
      return;
    }
    this.#stage = "deciding";
    void decision.then((decided) => {
      if (this.#stage !== "deciding") return;
      this.#follow(decided, request, head);
      this.#parse();
    });
  }

  #follow(decision: Decision, request: Request, head: RequestHead): void {
    this.#record?.routed(decision.route);
    if (decision.type === "answer") {
      this.#answer(decision.status, decision.fields, decision.body);
      return;
    }
    const { bodyBytesMax = Number.POSITIVE_INFINITY } = decision.route.rules;
    if (head.framing.type === "length" && head.framing.bytes > bodyBytesMax) {
      this.#answer(413, [], "");
      return;
    }
    this.#bodyBytesLeft = bodyBytesMax;
    this.#forward = decision;
    this.#stage = "busy";
    const upgrade = head.framing.type === "none" ? head.upgrade : "";
    const { framing } = head;
    const exchange = this.#gateway.exchange(decision, { request, framing, upgrade }, this);
    this.#exchange = exchange;
    exchange.start();
    if (this.#exchange === exchange && this.#reader !== undefined) this.#startBody(head);
  }

  #startBody(head: RequestHead): void {
    if (head.expectsContinue && this.#pending === undefined) {
      this.#socket.write("HTTP/1.1 100 Continue\r\n\r\n");
    }
    this.#deadlineMs = this.#gateway.nowMs() + limits.bodyMsMax;
    const pending = this.#pending;
    this.#pending = undefined;
    if (pending !== undefined) this.#takeBody(pending);
  }

  #takeBody(bytes: Buffer): void {
    this.#deadlineMs = this.#gateway.nowMs() + limits.bodyMsMax;
    const step = this.#reader?.read(bytes, (piece) => {
      this.#bodyBytesLeft -= piece.length;
      if (this.#bodyBytesLeft < 0) return;
      if (this.#exchange?.write(piece) === false) this.#socket.pause();
    });
    if (this.#bodyBytesLeft < 0) {
      this.#refuse({ status: 413 });
      return;
    }
    if (step?.state === "malformed") {
      this.#refuse({ status: 400 });
      return;
    }
    if (step?.state !== "whole") return;
    this.#reader = undefined;
    this.#deadlineMs = Number.POSITIVE_INFINITY;
    if (step.rest < bytes.length) this.#pending = bytes.subarray(step.rest);
    this.#exchange?.end();
  }

  /** An answer of our own. */
  #answer(status: number, fields: AnswerFields, body: string): void {
    const bytes = Buffer.from(body);
    // What of the request's body is still to come would be taken for a request.
    const keeps = this.#keeps && this.#reader === undefined;
    let text = `HTTP/1.1 ${status} ${reasonOf(status, "")}\r\n`;
    for (const [name, value] of fields) text += `${name}: ${value}\r\n`;
    text += `Content-Length: ${bytes.length}\r\n${keeps ? "" : "Connection: close\r\n"}\r\n`;
    this.#out.add(text);
    if (this.#head?.method !== "HEAD") this.#out.add(bytes);
    this.#record?.answered(status, bytes.length);
    this.#done(keeps);
  }

  /** What cannot be understood ends the connection: who knows where the next request begins. */
  #refuse({ status }: Refusal): void {
    const isAnswered = this.#answers !== undefined;
    this.#drop();
    this.#keeps = false;
    if (isAnswered) {
      this.destroy();
      return;
    }
    this.#record ??= RequestRecord.unread(this.#gateway, this.#entryPoint, this.#socket);
    this.#answer(
      status,
      [["Content-Type", "text/plain; charset=utf-8"]],
      `${reasonOf(status, "")}\n`,
    );
  }

  /** Leaves the exchange that runs, if one does. */
  #drop(): void {
    this.#exchange?.abort();
    this.#exchange = undefined;
    this.#reader = undefined;
    this.#forward = undefined;
  }

  /** The answer is written: the next request, or the end. */
  #done(keeps: boolean): void {
    this.#out.flush();
    this.#record?.finish();
    this.#record = undefined;
    this.#exchange = undefined;
    this.#forward = undefined;
    this.#reader = undefined;
    this.#answers = undefined;
    this.#head = undefined;
    const nowMs = this.#gateway.nowMs();
    if (!keeps) {
      this.#stage = "over";
      this.#pending = undefined;
      this.#deadlineMs = nowMs + limits.lingerMs;
      this.#socket.resume();
      this.#socket.end();
      return;
    }
    this.#stage = "idle";
    this.#deadlineMs = nowMs + (this.#pending === undefined ? limits.idleMsMax : limits.headMsMax);
    this.#socket.resume();
    this.#parse();
  }

  drained(): void {
    this.#exchange?.resume();
  }

  /** Who ends its side while it waits has gone away, as nginx and Go see it. */
  ended(): void {
    if (this.#stage === "raw") this.#exchange?.end();
    else if (this.#stage === "over") this.#socket.end();
    else this.destroy();
  }

  closed(): void {
    const isServed = this.#stage === "busy";
    this.#stage = "over";
    this.#drop();
    if (isServed) this.#record?.finish();
    this.#gateway.remove(this);
  }

  interim(head: ResponseHead): void {
    if (this.#head?.minor === 0 || head.status === 100) return;
    this.#out.add(this.#headText(head));
    this.#out.add("\r\n");
    this.#out.flush();
  }

  head(head: ResponseHead, endpoint: string): void {
    const isOld = this.#head?.minor === 0;
    const { framing } = head;
    const isLast = framing.type === "close" && isOld;
    // A backend that answers before it has all of the body leaves the client in the middle of it.
    this.#keeps = this.#keeps && !isLast && this.#reader === undefined;
    let text = this.#headText(head);
    for (const [name, value] of this.#forward?.fields ?? []) text += `${name}: ${value}\r\n`;
    const { balancer, preferred } = this.#forward ?? {};
    const cookie = preferred === endpoint ? undefined : balancer?.cookieFor(endpoint);
    if (cookie !== undefined) text += `Set-Cookie: ${cookie}\r\n`;
    if (framing.type === "length") text += `Content-Length: ${framing.bytes}\r\n`;
    else if (framing.type !== "none" && !isOld) text += "Transfer-Encoding: chunked\r\n";
    else if (framing.type === "none") text += emptyFraming(head, this.#head?.method ?? "");
    if (!this.#keeps) text += "Connection: close\r\n";
    else if (isOld) text += "Connection: keep-alive\r\n";
    this.#answers =
      framing.type === "none"
        ? "no-body"
        : framing.type === "length" || isOld
          ? "as-is"
          : "chunked";
    if (isOld && framing.type === "chunked") this.#keeps = false;
    this.#out.add(`${text}\r\n`);
    this.#record?.answered(head.status, 0);
  }

  #headText({ status, reason, fields, connection }: ResponseHead): string {
    let text = `HTTP/1.1 ${status} ${reasonOf(status, reason)}\r\n`;
    for (const { name, value } of answerFieldsOf(fields, connection, this.#forward?.dropped))
      text += `${name}: ${value}\r\n`;
    return text;
  }

  body(piece: Buffer): boolean {
    this.#record?.sent(piece.length);
    if (this.#stage === "raw") return this.#socket.write(piece);
    if (this.#answers !== "chunked") {
      this.#out.add(piece);
      return true;
    }
    this.#out.add(`${piece.length.toString(16)}\r\n`);
    this.#out.add(piece);
    this.#out.add("\r\n");
    return true;
  }

  flush(): void {
    if (!this.#out.flush()) this.#exchange?.pause();
  }

  finish(): void {
    if (this.#answers === "chunked") this.#out.add("0\r\n\r\n");
    this.#done(this.#keeps && this.#reader === undefined);
  }

  switched(head: ResponseHead): void {
    const { upgrade = "" } = this.#head ?? {};
    const protocol = head.fields.find(({ lower }) => lower === "upgrade")?.value ?? upgrade;
    this.#out.add(`${this.#headText(head)}Connection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`);
    this.#out.flush();
    this.#record?.answered(101, 0);
    this.#stage = "raw";
    const pending = this.#pending;
    this.#pending = undefined;
    if (pending !== undefined) this.data(pending);
  }

  halfClosed(): void {
    this.#socket.end();
  }

  fail(status: 502 | 503 | 504): void {
    this.#exchange = undefined;
    const text = status === 503 ? "no available server" : reasonOf(status, "");
    this.#answer(status, [["Content-Type", "text/plain; charset=utf-8"]], `${text}\n`);
  }

  cut(): void {
    this.#out.flush();
    this.#record?.finish();
    this.destroy();
  }

  more(): void {
    this.#socket.resume();
  }
}

/** HEAD tells the length that GET would have; nothing else without body tells one, but zero. */
function emptyFraming({ status, fields }: ResponseHead, method: string): string {
  const length = fields.find(({ lower }) => lower === "content-length")?.value;
  if (method === "HEAD" || status === 304) {
    return length === undefined ? "" : `Content-Length: ${length}\r\n`;
  }
  return status === 204 ? "" : "Content-Length: 0\r\n";
}
