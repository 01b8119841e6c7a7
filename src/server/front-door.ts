/**
 * The one TLS listener: HTTP/2 and HTTP/1.1, client certificates turned into identities, requests
 * handed on as web requests and upgrades as byte streams. The kubelet's port is the same class.
 */
import { X509Certificate } from "node:crypto";
import type { ServerResponse } from "node:http";
import {
  createSecureServer,
  type Http2SecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from "node:http2";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Peer } from "../api/authorizer.ts";
import {
  AnswerHeaders,
  type Frames,
  type HttpAnswer,
  type HttpRequest,
  isFrames,
} from "../api/http-exchange.ts";
import { ApiError } from "../lib/api-error.ts";
import { certificatesOf, subjectOf } from "../pki/x509.ts";
import { byteStreamOf } from "../runtime/net.ts";
import type { ByteStream, Runtime } from "../runtime/runtime.ts";
import type { Scope } from "../runtime/scope.ts";
import { badRequest, DoorRequest, isServable, upgradeRequest } from "./door-request.ts";
import { StartError } from "./start-error.ts";

const limits = {
  /** Service account tokens and long selectors fit many times over. */
  headerBytesMax: 64 * 1024,
  /** Go's servers allow as many. */
  concurrentStreamsMax: 250,
  stopGraceMs: 5000,
  flushGraceMs: 500,
  startBacklogMax: 1024,
} as const;

/** What the door knows of the other end beyond what authentication by certificate needs. */
export type DoorPeer = Required<Peer>;

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
  /** PEM of the authorities that name users. */
  readonly clientCaPem: string;
  /** PEM of the authorities that name aggregating proxies. */
  readonly requestHeaderCaPem?: string;
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
}

export interface FrontDoor {
  readonly port: number;
  /** New connections see the new certificate and authorities; open ones live on. */
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

interface Authorities {
  readonly client: readonly X509Certificate[];
  readonly requestHeader: readonly X509Certificate[];
}

function authoritiesOf(certificates: DoorCertificates): Authorities {
  return {
    client: certificatesOf(certificates.clientCaPem),
    requestHeader: certificatesOf(certificates.requestHeaderCaPem ?? ""),
  };
}

function contextOf(certificates: DoorCertificates): { cert: string; key: string; ca: string[] } {
  const { certPem, keyPem, clientCaPem, requestHeaderCaPem } = certificates;
  const ca = requestHeaderCaPem === undefined ? [clientCaPem] : [clientCaPem, requestHeaderCaPem];
  return { cert: certPem, key: keyPem, ca };
}

class Door {
  readonly #options: FrontDoorOptions;
  readonly #server: Http2SecureServer;
  readonly #peers = new WeakMap<TLSSocket, DoorPeer>();
  readonly #sockets = new Set<Socket>();
  readonly #sessions = new Set<ServerHttp2Session>();
  /** Requests whose answer has not begun. */
  readonly #pending = new Set<Promise<void>>();
  /** Ends the answers that are being streamed. */
  readonly #streaming = new Set<() => void>();
  #authorities: Authorities;
  #stopping = false;

  constructor(options: FrontDoorOptions) {
    this.#options = options;
    this.#authorities = authoritiesOf(options.certificates);
    this.#server = createSecureServer({
      allowHTTP1: true,
      ...contextOf(options.certificates),
      requestCert: true,
      // Who shows no certificate, or a wrong one, may still have a token.
      rejectUnauthorized: false,
      minVersion: "TLSv1.2",
      maxHeaderSize: limits.headerBytesMax,
      settings: {
        maxConcurrentStreams: limits.concurrentStreamsMax,
        maxHeaderListSize: limits.headerBytesMax,
      },
    } as Parameters<typeof createSecureServer>[0]);
    this.#server.on("secureConnection", (socket: TLSSocket) => this.#track(socket));
    this.#server.on("session", (session: ServerHttp2Session) => {
      this.#sessions.add(session);
      session.on("close", () => this.#sessions.delete(session));
      session.on("error", (error) => this.#noteConnectionError(error));
    });
    this.#server.on("tlsClientError", (error) => this.#noteConnectionError(error));
    this.#server.on("sessionError", (error) => this.#noteConnectionError(error));
    this.#server.on("request", (request, response) => this.#serve(request, response));
    this.#server.on("upgrade", (request, socket, head) =>
      this.#upgrade(request as Http2ServerRequest, socket as TLSSocket, head),
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
  }

  /** Streams end at once, answers that are due get a few seconds, then every socket closes. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#server.close();
    for (const end of this.#streaming) end();
    const { clock } = this.#options.runtime;
    const done = new AbortController();
    const answered = (async () => {
      while (this.#pending.size > 0) await Promise.allSettled([...this.#pending]);
    })();
    await Promise.race([answered, clock.sleep(limits.stopGraceMs, done.signal)]);
    // Closing a session sends what is still queued; it destroys itself when nothing is left.
    const flushed = [...this.#sessions].map(
      (session) => new Promise<void>((resolve) => session.close(resolve)),
    );
    await Promise.race([Promise.all(flushed), clock.sleep(limits.flushGraceMs, done.signal)]);
    done.abort();
    for (const session of this.#sessions) session.destroy();
    for (const socket of this.#sockets) socket.destroy();
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

  #serve(request: Http2ServerRequest, response: Http2ServerResponse): void {
    const socket = (request.stream?.session?.socket ?? request.socket) as TLSSocket;
    response.on("error", (error) => this.#noteConnectionError(error));
    const work = this.#answer(request, response, this.#peerOf(socket));
    this.#pending.add(work);
    work.finally(() => this.#pending.delete(work));
  }

  async #answer(
    request: Http2ServerRequest,
    response: Http2ServerResponse,
    peer: DoorPeer,
  ): Promise<void> {
    const asked = new DoorRequest(request, response);
    try {
      const answer = isServable(request)
        ? await this.#fetch(asked, peer)
        : refusal(badRequest(request.url));
      if (asked.isGone) return leave(answer);
      await this.#send(answer, response, request.method === "HEAD");
      if (!request.readableEnded) request.resume();
    } catch (error) {
      if (asked.isGone) return;
      this.#options.runtime.log.error("request failed", {
        method: request.method,
        path: asked.path,
        error: String(error),
      });
      if (response.headersSent) return void response.destroy();
      response.writeHead(500, { "content-type": "text/plain" });
      response.end("500 Internal Server Error");
    }
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

  async #send(answer: HttpAnswer, response: Http2ServerResponse, isHead: boolean): Promise<void> {
    const { body, headers, status } = answer;
    if (this.#stopping && response.req.httpVersionMajor === 1) headers.set("connection", "close");
    response.writeHead(status, headers.values);
    if (body === undefined || isHead) {
      leave(answer);
      response.end();
      return;
    }
    if (typeof body === "string" || body instanceof Uint8Array) return await whole(response, body);
    const isEndless = !headers.has("content-length") && !headers.has("content-encoding");
    const sent = isFrames(body)
      ? this.#follow(body, response)
      : this.#stream(body, response, isEndless);
    const streamed = sent.catch((error: unknown) => {
      this.#options.runtime.log.debug("stream ended", { reason: String(error) });
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
    flushHead(response);
    const reader = frames.start({
      write: (bytes) => out.write(bytes),
      end: () => {
        out.end();
        resolve();
      },
    });
    const end = (): void => reader.cancel();
    if (!this.#stopping) this.#streaming.add(end);
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

  #upgrade(request: Http2ServerRequest, socket: TLSSocket, head: Uint8Array): void {
    this.#track(socket);
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

/** Longer answers are sent piece by piece. */
const wholeBytesMax = 256 * 1024;

/** They belong to one connection and are ours to decide; HTTP/2 forbids them. */
const connectionHeaders: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
]);

/** Both kinds of responses can do it; the types know of one only. */
function flushHead(response: Http2ServerResponse | ServerResponse): void {
  if ("flushHeaders" in response) response.flushHeaders();
}

/** Resolves once the bytes have left for the client, so that a stop does not cut them off. */
function whole(response: Http2ServerResponse, bytes: Uint8Array | string): Promise<void> {
  return new Promise((resolve) => {
    response.once("finish", resolve);
    response.once("close", resolve);
    response.end(bytes);
  });
}

/** The lean form of what a web application answers. */
async function answerOf(response: Response, isHead: boolean): Promise<HttpAnswer> {
  const headers = new AnswerHeaders();
  for (const [name, value] of response.headers) {
    if (!connectionHeaders.has(name)) headers.append(name, value);
  }
  const { status } = response;
  const length = Number(response.headers.get("content-length") ?? Number.NaN);
  if (length <= wholeBytesMax && !isHead) {
    // Head and body in one turn leave in one piece.
    return { status, headers, body: await response.bytes() };
  }
  return { status, headers, body: response.body ?? undefined };
}

function refusal(error: ApiError): HttpAnswer {
  const headers = new AnswerHeaders({ "content-type": "application/json" });
  return { status: error.code, headers, body: JSON.stringify(error.toStatus()) };
}

/** Nobody waits for the answer any more. */
function leave({ body }: HttpAnswer): void {
  if (body instanceof ReadableStream) void body.cancel().catch(() => {});
}

function drained(response: Http2ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const finish = (): void => {
      response.off("drain", finish);
      response.off("close", finish);
      resolve();
    };
    response.on("drain", finish);
    response.on("close", finish);
  });
}

function listenError(host: string, port: number, code: string, cause: unknown): Error {
  const place = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
  if (code === "EADDRINUSE")
    return new StartError(
      `Cannot listen on ${place}: the port is taken by another process ` +
        `(\`ss -ltnp 'sport = :${port}'\` names it; --https-listen-port chooses another)`,
      { cause },
    );
  if (code === "EACCES")
    return new StartError(`Cannot listen on ${place}: ports below 1024 need more rights`, {
      cause,
    });
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new StartError(`Cannot listen on ${place}: ${reason}`, { cause });
}

/**
 * Who showed the certificate. `authorized` says that TLS verified it up to one of our authorities;
 * which of them it was decides whether it names a user or an aggregating proxy.
 */
function identify(socket: TLSSocket, authorities: Authorities): DoorPeer {
  const stranger = strangerOf(socket);
  const raw = (socket.getPeerCertificate(false) as { readonly raw?: Uint8Array }).raw;
  if (raw === undefined) return stranger;
  if (!socket.authorized)
    return {
      ...stranger,
      certificateError: String(socket.authorizationError ?? "not authorized"),
    };
  const certificate = new X509Certificate(raw);
  const isBy = (authority: X509Certificate): boolean =>
    certificate.checkIssued(authority) && certificate.verify(authority.publicKey);
  const subject = subjectOf(raw);
  if (authorities.client.some(isBy)) {
    const fingerprint = certificate.fingerprint256.replaceAll(":", "").toLowerCase();
    return { ...stranger, certificate: { ...subject, fingerprint } };
  }
  if (authorities.requestHeader.some(isBy)) return { ...stranger, frontProxy: subject.commonName };
  return { ...stranger, certificateError: "signed by an unknown authority" };
}

function strangerOf(socket: TLSSocket): DoorPeer {
  const address = (socket.remoteAddress ?? "").replace(/^::ffff:/, "");
  return { address, certificate: undefined, frontProxy: undefined, certificateError: undefined };
}
