/**
 * The one TLS listener: HTTP/2 and HTTP/1.1, client certificates turned into identities, requests
 * handed on as web requests and upgrades as byte streams. The kubelet's port is the same class.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import {
  createSecureServer,
  type Http2SecureServer,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { AnswerHeaders, type HttpAnswer, type HttpRequest } from "../api/http-exchange.ts";
import { ApiError } from "../lib/api-error.ts";
import { TurnShare } from "../lib/turns.ts";
import { byteStreamOf } from "../runtime/net.ts";
import type { ByteStream, Runtime } from "../runtime/runtime.ts";
import type { Scope } from "../runtime/scope.ts";
import { answerOf, leave, refusal } from "./door-answer.ts";
import { type Exchange, Http1Exchange, Http2Exchange, type RequestHead } from "./door-exchange.ts";
import {
  type Authorities,
  authoritiesOf,
  type DoorPeer,
  identify,
  strangerOf,
} from "./door-peer.ts";
import { badRequest, DoorRequest, isServable, upgradeRequest } from "./door-request.ts";
import { DoorSender } from "./door-sender.ts";
import { IdleConnections } from "./idle-connections.ts";
import { listenError } from "./listen-error.ts";

const limits = {
  /** Service account tokens and long selectors fit many times over. */
  headerBytesMax: 64 * 1024,
  /** Go's servers allow as many. */
  concurrentStreamsMax: 250,
  handshakeMs: 32_000,
  drainMs: 5000,
  retryAfterSeconds: 5,
  flushGraceMs: 500,
  startBacklogMax: 1024,
} as const;

/** An HTTP/1.1 request to switch protocols; who takes it answers on the stream itself. */
export interface IncomingUpgrade {
  /** Method, URL and headers; never a body. */
  readonly request: Request;
  readonly peer: DoorPeer;
  /** Bytes of the connection from right after the request's head. */
  readonly stream: ByteStream;
}

export interface DoorCertificates {
  readonly certPem: string;
  readonly keyPem: string;
  /** PEM of the authorities that name users; "" when none does. */
  readonly clientCaPem: string;
  /** PEM of the authorities that name aggregating proxies. */
  readonly requestHeaderCaPem?: string;
}

/** How the door treats its connections; what is absent is as it is by default. */
export interface DoorManners {
  /** How long a stop waits for answers that are due. */
  readonly drainMs?: number;
  /** Part of HTTP/2 requests whose client is asked to connect anew: it may find another server. */
  readonly goawayChance?: number;
  /** Requests at once on one HTTP/2 connection; 0 is the default. */
  readonly streamsPerConnectionMax?: number;
  /** While it stops, the door stays open and answers 429 with a Retry-After. */
  readonly sendsRetryAfter?: boolean;
}

export interface FrontDoorOptions {
  readonly port: number;
  /** Undefined listens on every address, IPv6 and IPv4. */
  readonly host: string | undefined;
  readonly certificates: DoorCertificates;
  readonly runtime: Runtime;
  readonly scope: Scope;
  /** A response with a content-length is sent whole, any other is streamed as it comes. */
  readonly fetch: (request: HttpRequest, peer: DoorPeer) => Promise<HttpAnswer | Response>;
  readonly upgrade: (upgrade: IncomingUpgrade) => Promise<void>;
  readonly manners?: DoorManners;
}

export interface FrontDoor {
  readonly port: number;
  /** New connections see the new certificate; the new authorities judge open ones, too. */
  replaceCertificates(certificates: DoorCertificates): void;
}

/** Listens until the scope ends; throws when the address cannot be had. */
export async function startFrontDoor(options: FrontDoorOptions): Promise<FrontDoor> {
  const door = new Door(options);
  const port = await door.listen();
  options.scope.defer(() => door.stop());
  return {
    port,
    replaceCertificates: (certificates) => door.replaceCertificates(certificates),
  };
}

function contextOf(certificates: DoorCertificates): { cert: string; key: string; ca: string[] } {
  const { certPem, keyPem, clientCaPem, requestHeaderCaPem = "" } = certificates;
  const ca = [clientCaPem, requestHeaderCaPem].filter((pem) => pem !== "");
  return { cert: certPem, key: keyPem, ca };
}

class Door {
  readonly #options: FrontDoorOptions;
  readonly #server: Http2SecureServer;
  #peers = new WeakMap<TLSSocket, DoorPeer>();
  readonly #sockets = new Set<Socket>();
  readonly #sessions = new Set<ServerHttp2Session>();
  /** Requests whose answer has not begun. */
  readonly #pending = new Set<Promise<void>>();
  readonly #sender: DoorSender;
  readonly #idle: IdleConnections;
  readonly #share: TurnShare;
  #authorities: Authorities;
  #stopping = false;

  constructor(options: FrontDoorOptions) {
    this.#options = options;
    this.#authorities = authoritiesOf(options.certificates);
    this.#sender = new DoorSender(options.runtime.log);
    this.#idle = new IdleConnections(options.runtime.clock);
    this.#share = new TurnShare(options.runtime.clock);
    this.#idle.start(options.scope.signal);
    this.#server = createSecureServer({
      allowHTTP1: true,
      ...contextOf(options.certificates),
      requestCert: true,
      // Who shows no certificate, or a wrong one, may still have a token.
      rejectUnauthorized: false,
      minVersion: "TLSv1.2",
      handshakeTimeout: limits.handshakeMs,
      maxHeaderSize: limits.headerBytesMax,
      settings: {
        maxConcurrentStreams:
          options.manners?.streamsPerConnectionMax || limits.concurrentStreamsMax,
        maxHeaderListSize: limits.headerBytesMax,
      },
    } as Parameters<typeof createSecureServer>[0]);
    this.#server.on("secureConnection", (socket: TLSSocket) => {
      this.#track(socket);
      if (socket.alpnProtocol === "h2") return; // its session is watched
      this.#idle.opened(socket, () => socket.destroy());
      socket.on("close", () => this.#idle.closed(socket));
    });
    this.#server.on("session", (session: ServerHttp2Session) => {
      this.#sessions.add(session);
      this.#idle.opened(session, () => session.destroy());
      session.on("close", () => {
        this.#sessions.delete(session);
        this.#idle.closed(session);
      });
      session.on("error", (error) => this.#noteConnectionError(error));
    });
    this.#server.on("tlsClientError", (error) => this.#noteConnectionError(error));
    this.#server.on("sessionError", (error) => this.#noteConnectionError(error));
    this.#server.on("request", (request: unknown, response: unknown) =>
      this.#serve(new Http1Exchange(request as IncomingMessage, response as ServerResponse)),
    );
    // Who listens for requests gets those of HTTP/2 in a form that costs as much as the rest.
    this.#server.removeAllListeners("stream");
    this.#server.on("stream", (given, headers, _flags, rawHeaders) => {
      const stream = given as ServerHttp2Stream;
      if (stream.session !== undefined) this.#serve(new Http2Exchange(stream, headers, rawHeaders));
    });
    this.#server.on("upgrade", (request: unknown, socket: unknown, head: Uint8Array) =>
      this.#upgrade(request as RequestHead, socket as TLSSocket, head),
    );
  }

  async listen(): Promise<number> {
    const { host, port } = this.#options;
    try {
      await this.#listenOn(host ?? "::", port);
    } catch (error) {
      const code = error instanceof Error && "code" in error ? String(error.code) : "";
      const noIpv6 = code === "EAFNOSUPPORT" || code === "EADDRNOTAVAIL";
      if (host !== undefined || !noIpv6) throw listenError(host ?? "::", port, code, error);
      await this.#listenOn("0.0.0.0", port).catch((cause: unknown) => {
        throw listenError("0.0.0.0", port, "", cause);
      });
    }
    const address = this.#server.address();
    return typeof address === "object" && address !== null ? address.port : port;
  }

  #listenOn(host: string, port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen({ host, port, backlog: limits.startBacklogMax }, () => {
        this.#server.off("error", reject);
        this.#server.on("error", (error) => this.#noteConnectionError(error));
        resolve();
      });
    });
  }

  replaceCertificates(certificates: DoorCertificates): void {
    this.#server.setSecureContext(contextOf(certificates));
    this.#authorities = authoritiesOf(certificates);
    // Who came by a certificate that nobody vouches for any more is a stranger from here on.
    this.#peers = new WeakMap();
  }

  /**
   * Streams end at once, and clients of HTTP/2 are told to go elsewhere; answers that are due are
   * waited for; then every socket closes.
   */
  async stop(): Promise<void> {
    const { runtime, manners = {} } = this.#options;
    this.#stopping = true;
    this.#sender.stop();
    if (!manners.sendsRetryAfter) this.#closeToNew();
    const done = new AbortController();
    const answered = (async () => {
      while (this.#pending.size > 0) await Promise.allSettled([...this.#pending]);
    })();
    const drainMs = manners.drainMs ?? limits.drainMs;
    await Promise.race([answered, runtime.clock.sleep(drainMs, done.signal)]);
    this.#closeToNew();
    // A session sends what is still queued, and destroys itself when nothing is left.
    const flushed = [...this.#sessions].map(
      (session) => new Promise<void>((resolve) => session.once("close", resolve)),
    );
    const late = runtime.clock.sleep(limits.flushGraceMs, done.signal);
    await Promise.race([Promise.all(flushed), late]);
    done.abort();
    for (const session of this.#sessions) session.destroy();
    for (const socket of this.#sockets) socket.destroy();
  }

  /** No more connections, and no more requests on those of HTTP/2 (GOAWAY). */
  #closeToNew(): void {
    if (this.#server.listening) this.#server.close();
    for (const session of this.#sessions) if (!session.closed) session.close();
  }

  #track(socket: Socket): void {
    this.#sockets.add(socket);
    socket.setNoDelay(true);
    socket.on("error", (error) => this.#noteConnectionError(error));
    socket.on("close", () => this.#sockets.delete(socket));
  }

  /** Clients come and go as they like: nothing to act on, but worth a line when debugging. */
  #noteConnectionError(error: Error): void {
    this.#options.runtime.log.debug("connection ended", { reason: error.message });
  }

  #peerOf(socket: TLSSocket): DoorPeer {
    const known = this.#peers.get(socket);
    if (known !== undefined) return known;
    const peer = this.#identify(socket);
    this.#peers.set(socket, peer);
    return peer;
  }

  #identify(socket: TLSSocket): DoorPeer {
    try {
      return identify(socket, this.#authorities);
    } catch (error) {
      // Whatever is wrong with a certificate, it is its holder's affair alone.
      this.#noteConnectionError(error instanceof Error ? error : new Error(String(error)));
      return { ...strangerOf(socket), certificateError: "the certificate cannot be read" };
    }
  }

  #serve(exchange: Exchange): void {
    exchange.out.on("error", (error) => this.#noteConnectionError(error));
    exchange.out.once("close", this.#idle.begin(exchange.connection));
    const work = this.#answer(exchange, this.#peerOf(exchange.socket));
    if (this.#isSentAway()) exchange.sendAway();
    this.#pending.add(work);
    work.finally(() => this.#pending.delete(work));
  }

  async #answer(exchange: Exchange, peer: DoorPeer): Promise<void> {
    const waits = this.#share.enter();
    if (waits !== undefined) await waits;
    if (exchange.isGone) return;
    const asked = new DoorRequest(exchange);
    try {
      const answer = isServable(exchange)
        ? (this.#retryLater(asked) ?? (await this.#fetch(asked, peer)))
        : refusal(badRequest(exchange.url));
      if (exchange.isGone) return leave(answer);
      await this.#sender.send(answer, exchange);
      if (!exchange.source.readableEnded) exchange.source.resume();
    } catch (error) {
      if (exchange.isGone) return;
      this.#options.runtime.log.error("request failed", {
        method: asked.method,
        path: asked.path,
        error: String(error),
      });
      if (exchange.isHeadWritten) return void exchange.out.destroy();
      exchange.writeHead(500, { "content-type": "text/plain" });
      exchange.end("500 Internal Server Error");
    }
  }

  /** The answer of a door that stops, to all but those who ask how it is. */
  #retryLater({ path }: DoorRequest): HttpAnswer | undefined {
    if (!this.#stopping || !this.#options.manners?.sendsRetryAfter) return undefined;
    if (alwaysAnswered.some((prefix) => path.startsWith(prefix))) return undefined;
    const headers = new AnswerHeaders({
      "content-type": "text/plain; charset=utf-8",
      "retry-after": String(limits.retryAfterSeconds),
      "x-content-type-options": "nosniff",
    });
    const body = "The apiserver is shutting down, please try again later.\n";
    return { status: 429, headers, body };
  }

  /** Some clients are asked to make a new connection. */
  #isSentAway(): boolean {
    const { manners, runtime } = this.#options;
    const chance = manners?.goawayChance ?? 0;
    return chance > 0 && runtime.random.int(goawayScale) < chance * goawayScale;
  }

  async #fetch(asked: DoorRequest, peer: DoorPeer): Promise<HttpAnswer> {
    try {
      const answer = await this.#options.fetch(asked, peer);
      return answer instanceof Response ? await answerOf(answer, asked.method === "HEAD") : answer;
    } catch (error) {
      // Who is behind the door has answers for its own errors: these are about the request's head.
      if (error instanceof ApiError) return refusal(error);
      throw error;
    }
  }

  #upgrade(request: RequestHead, socket: TLSSocket, head: Uint8Array): void {
    this.#track(socket);
    this.#idle.closed(socket);
    const web = upgradeRequest(request);
    if (web === undefined || this.#stopping) {
      socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
      return;
    }
    if (head.length > 0) socket.unshift(head);
    const stream = byteStreamOf(socket);
    this.#options
      .upgrade({ request: web, peer: this.#peerOf(socket), stream })
      .catch((error: unknown) => {
        this.#options.runtime.log.debug("upgraded connection ended", { reason: String(error) });
        stream.close();
      });
  }
}

/** Paths below these are answered as long as there is someone to answer. */
const alwaysAnswered = ["/readyz", "/livez", "/healthz", "/metrics"] as const;
const goawayScale = 1_000_000;
