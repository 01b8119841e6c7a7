/**
 * One request and the way back, the same for HTTP/2 and HTTP/1.1. Of HTTP/2 it takes the stream
 * itself: `node:http2`'s own request and response are two more streams around it, which cost a
 * third of its processor time and several kB for each watch.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import type { Readable, Writable } from "node:stream";
import type { TLSSocket } from "node:tls";

/** As `node:http` takes them. */
type HeaderValues = Readonly<Record<string, string | string[]>>;

/** The head of a request. */
export interface RequestHead {
  readonly method: string;
  /** The target: path and query. */
  readonly url: string;
  /** Names and values in turns. */
  readonly rawHeaders: readonly string[];
}

export interface Exchange extends RequestHead {
  readonly isHttp1: boolean;
  readonly socket: TLSSocket;
  /** What carries this request among others. */
  readonly connection: object;
  /** The body of the request. */
  readonly source: Readable;
  /** Takes the body of the answer once its head is written; closes with the request. */
  readonly out: Writable;
  /** The client left before its answer had ended. */
  readonly isGone: boolean;
  readonly isHeadWritten: boolean;
  writeHead(status: number, headers: HeaderValues): void;
  /** Shows the head before there is a body. */
  flushHead(): void;
  end(bytes?: Uint8Array | string): void;
  /** Asks the client to make a new connection once this one is idle. */
  sendAway(): void;
}

export class Http1Exchange implements Exchange {
  readonly isHttp1 = true;
  readonly method: string;
  readonly url: string;

  constructor(
    readonly source: IncomingMessage,
    readonly out: ServerResponse,
  ) {
    this.method = source.method ?? "";
    this.url = source.url ?? "";
  }

  get rawHeaders(): readonly string[] {
    return this.source.rawHeaders;
  }

  get socket(): TLSSocket {
    return this.source.socket as TLSSocket;
  }

  get connection(): object {
    return this.source.socket;
  }

  get isGone(): boolean {
    return this.out.destroyed && !this.out.writableEnded;
  }

  get isHeadWritten(): boolean {
    return this.out.headersSent;
  }

  writeHead(status: number, headers: HeaderValues): void {
    this.out.writeHead(status, headers);
  }

  flushHead(): void {
    this.out.flushHeaders();
  }

  end(bytes?: Uint8Array | string): void {
    this.out.end(bytes);
  }

  sendAway(): void {
    // It is told with the head of an answer, when the door stops.
  }
}

export class Http2Exchange implements Exchange {
  readonly isHttp1 = false;
  readonly method: string;
  readonly url: string;
  /** A stream that the client resets ends itself, so it cannot tell whether we did. */
  #isEnded = false;

  constructor(
    private readonly stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    readonly rawHeaders: readonly string[],
  ) {
    this.method = headers[":method"] ?? "";
    this.url = headers[":path"] ?? "";
    if (headers.expect === "100-continue") stream.additionalHeaders({ ":status": 100 });
  }

  get source(): Readable {
    return this.stream;
  }

  get out(): Writable {
    return this.stream;
  }

  get socket(): TLSSocket {
    return this.stream.session?.socket as TLSSocket;
  }

  get connection(): object {
    return this.stream.session ?? this.stream;
  }

  get isGone(): boolean {
    return this.stream.closed && !this.#isEnded;
  }

  get isHeadWritten(): boolean {
    return this.stream.headersSent;
  }

  writeHead(status: number, headers: HeaderValues): void {
    if (this.stream.destroyed || this.stream.closed) return;
    this.stream.respond({ ...headers, ":status": status });
  }

  flushHead(): void {
    // It leaves by itself.
  }

  end(bytes?: Uint8Array | string): void {
    this.#isEnded = true;
    this.stream.end(bytes);
  }

  sendAway(): void {
    this.stream.session?.close();
  }
}
