/**
 * Sockets driven by calls instead of streams, for what must move many small messages: a proxy's
 * connections. Kept apart from `Runtime`, as `Host` is: only an agent needs them.
 */

import { lookup } from "node:dns/promises";
import {
  type ClientHttp2Session,
  connect as connectHttp2,
  createServer as createHttp2Server,
  type ServerHttp2Session,
} from "node:http2";
import { isIP } from "node:net";
import type { Duplex } from "node:stream";
import { createSecureContext, createServer, type SecureContext, type TLSSocket } from "node:tls";
import { plainAddress } from "../lib/ip-range.ts";

import type { Logger } from "./runtime.ts";

/** Who is told what happens on a socket. */
export interface StreamOwner {
  data(bytes: Buffer): void;
  /** All that waited has been handed to the kernel. */
  drained(): void;
  /** The other side sends no more; it may still read. */
  ended(): void;
  /** Told once; nothing follows. */
  closed(): void;
}

export interface StreamSocket {
  owner: StreamOwner;
  readonly remoteAddress: string;
  /** Text is one byte per character. False: it waits, and `drained` tells when to go on. */
  write(data: string | Uint8Array): boolean;
  pause(): void;
  resume(): void;
  /** Sends what waits, then the end. */
  end(): void;
  destroy(): void;
}

export interface StreamListener {
  readonly port: number;
  /** Takes no more; the connections that are open stay. */
  close(): void;
}

export interface TlsPair {
  /** PEM texts. */
  readonly cert: string;
  readonly key: string;
}

/** What a listener shows of itself. */
export interface TlsFace {
  /** For clients that name nobody, or whom nobody knows. */
  readonly fallback: TlsPair;
  /** For the name that a client asks for. */
  certificateFor(serverName: string): TlsPair | undefined;
  /** The protocols to agree on, the best first. */
  readonly protocols: readonly string[];
}

export interface StreamDial {
  readonly host: string;
  readonly port: number;
  /** Encrypted, without asking who answers. */
  readonly tls: boolean;
}

export interface Streams {
  /** Throws when the address cannot be had. */
  listen(host: string, port: number, onOpen: (socket: StreamSocket) => void): StreamListener;
  /** `protocol` is what was agreed on; "" for nothing. */
  listenTls(
    host: string,
    port: number,
    face: TlsFace,
    onOpen: (socket: TLSSocket, protocol: string) => void,
  ): Promise<StreamListener>;
  /** Speaks HTTP/2 on the sockets it is given. */
  http2Server(
    onSession: (client: {
      readonly session: ServerHttp2Session;
      readonly remoteAddress: string;
    }) => void,
  ): (socket: Duplex) => void;
  /** Speaks HTTP/2 with `host:port`, and by TLS does not ask who answers. */
  connectHttp2(endpoint: string, tls: boolean): ClientHttp2Session;
  /** Calls `onOpen`, or `onFailure` with the system's code for it. */
  connect(
    dial: StreamDial,
    onOpen: (socket: StreamSocket) => void,
    onFailure: (code: string) => void,
  ): void;
}

const nobody: StreamOwner = { data() {}, drained() {}, ended() {}, closed() {} };

class BunStream implements StreamSocket {
  owner = nobody;
  readonly remoteAddress: string;
  readonly #socket: Bun.Socket<BunStream>;
  /** What the kernel has not taken yet. */
  #waiting: Uint8Array[] = [];
  #isEnding = false;

  constructor(socket: Bun.Socket<BunStream>) {
    this.#socket = socket;
    this.remoteAddress = plainAddress(socket.remoteAddress);
  }

  write(data: string | Uint8Array): boolean {
    // Text is written as UTF-8, which is the same for ASCII only.
    const out = typeof data === "string" && isWide.test(data) ? Buffer.from(data, "latin1") : data;
    if (this.#waiting.length === 0) {
      const written = Math.max(0, this.#socket.write(out));
      if (written >= out.length) return true;
      const bytes = typeof out === "string" ? Buffer.from(out, "latin1") : out;
      this.#waiting.push(bytes.subarray(written));
      return false;
    }
    this.#waiting.push(typeof out === "string" ? Buffer.from(out, "latin1") : out);
    return false;
  }

  drain(): void {
    for (;;) {
      const [first] = this.#waiting;
      if (first === undefined) break;
      const written = Math.max(0, this.#socket.write(first));
      if (written < first.length) {
        this.#waiting[0] = first.subarray(written);
        return;
      }
      this.#waiting.shift();
    }
    if (this.#isEnding) this.#socket.end();
    else this.owner.drained();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  end(): void {
    if (this.#isEnding) return;
    this.#isEnding = true;
    if (this.#waiting.length === 0) this.#socket.shutdown();
  }

  destroy(): void {
    this.#waiting = [];
    this.#socket.terminate();
  }
}

const isWide = /[^\0-\x7f]/;

const handlers = (log: Logger) => ({
  data: ({ data }: Bun.Socket<BunStream>, bytes: Buffer) => data.owner.data(bytes),
  drain: ({ data }: Bun.Socket<BunStream>) => data.drain(),
  end: ({ data }: Bun.Socket<BunStream>) => data.owner.ended(),
  close: ({ data }: Bun.Socket<BunStream>) => data.owner.closed(),
  // TLS that fails ends up here too, and is worth no more than a hint.
  error: (socket: Bun.Socket<BunStream>, error: Error) => {
    log.debug("A connection failed", { error: error.stack });
    socket.terminate();
  },
});

/** Made once for a pair: a handshake needs it at once. */
const contexts = new WeakMap<TlsPair, SecureContext>();

function contextOf(pair: TlsPair): SecureContext {
  const known = contexts.get(pair);
  if (known !== undefined) return known;
  const made = createSecureContext({ cert: pair.cert, key: pair.key });
  contexts.set(pair, made);
  return made;
}

/** The sockets of this machine. */
export function createStreams(log: Logger): Streams {
  const told = handlers(log);
  return {
    listen: (host, port, onOpen) => listen(told, { host, port }, onOpen),
    listenTls,
    http2Server,
    connectHttp2: (endpoint, tls) =>
      connectHttp2(`${tls ? "https" : "http"}://${endpoint}`, {
        rejectUnauthorized: false,
        settings: { enablePush: false },
      }),
    connect: (dial, onOpen, onFailure) => connect(told, dial, onOpen, onFailure),
  };
}

const handshakeMsMax = 10_000;

const http2Limits = {
  maxConcurrentStreams: 250,
  maxHeaderListSize: 32 * 1024,
  initialWindowSize: 256 * 1024,
} as const;

const http2Server: Streams["http2Server"] = (onSession) => {
  const server = createHttp2Server({ settings: http2Limits });
  server.on("session", (session) => {
    const { remoteAddress } = session.socket ?? {};
    onSession({ session, remoteAddress: plainAddress(remoteAddress ?? "") });
  });
  // A session tells its own errors.
  server.on("sessionError", () => {});
  return (socket) => void server.emit("connection", socket);
};

type Handlers = ReturnType<typeof handlers>;

function listen(
  told: Handlers,
  { host, port }: { readonly host: string; readonly port: number },
  onOpen: (socket: StreamSocket) => void,
): StreamListener {
  const listener = Bun.listen<BunStream>({
    hostname: host,
    port,
    allowHalfOpen: true,
    socket: {
      ...told,
      open(socket) {
        socket.data = new BunStream(socket);
        socket.setNoDelay(true);
        onOpen(socket.data);
      },
    },
  });
  return { port: listener.port, close: () => listener.stop(false) };
}

function listenTls(
  host: string,
  port: number,
  face: TlsFace,
  onOpen: (socket: TLSSocket, protocol: string) => void,
): Promise<StreamListener> {
  const { promise, resolve, reject } = Promise.withResolvers<StreamListener>();
  const server = createServer(
    {
      ...face.fallback,
      ALPNProtocols: [...face.protocols],
      allowHalfOpen: true,
      handshakeTimeout: handshakeMsMax,
      SNICallback: (name, done) => {
        const pair = face.certificateFor(name);
        done(null, pair === undefined ? undefined : contextOf(pair));
      },
    },
    (socket) => {
      socket.setNoDelay(true);
      const agreed = socket.alpnProtocol;
      onOpen(socket, typeof agreed === "string" ? agreed : "");
    },
  );
  // Strangers who speak no TLS are not worth a line.
  server.on("tlsClientError", () => {});
  server.once("error", reject);
  server.listen({ host, port }, () => {
    const at = server.address();
    const bound = typeof at === "object" && at !== null ? at.port : port;
    resolve({ port: bound, close: () => void server.close() });
  });
  return promise;
}

/**
 * The first address of a name that leads to another machine: whoever may write names must not get
 * at what listens for this machine's own programs only.
 */
async function outsideAddress(name: string): Promise<string> {
  const found = await lookup(name, { all: true });
  const outside = found.find(({ address }) => !isOwnRange(address));
  if (outside === undefined) throw new Error(`${name} leads to nobody outside`);
  return outside.address;
}

/** Loopback, link-local and the unspecified addresses. */
export function isOwnRange(address: string): boolean {
  const plain = plainAddress(address.toLowerCase());
  return /^(127\.|169\.254\.|0\.|::1?$|fe[89ab][0-9a-f]:)/.test(plain);
}

function connect(
  told: Handlers,
  { host, port, tls }: StreamDial,
  onOpen: (socket: StreamSocket) => void,
  onFailure: (code: string) => void,
): void {
  let isSettled = false;
  const fail = (error: unknown): void => {
    if (isSettled) return;
    isSettled = true;
    onFailure(error instanceof Error && "code" in error ? String(error.code) : "EFAILED");
  };
  const opened = (socket: Bun.Socket<BunStream>): void => {
    if (isSettled) return;
    isSettled = true;
    socket.setNoDelay(true);
    onOpen(socket.data);
  };
  const open = (address: string): Promise<unknown> =>
    Bun.connect<BunStream>({
      hostname: address,
      port,
      allowHalfOpen: true,
      ...(tls ? { tls: { rejectUnauthorized: false } } : {}),
      socket: {
        ...told,
        open(socket) {
          socket.data = new BunStream(socket);
          if (!tls) opened(socket);
        },
        handshake: (socket) => opened(socket),
        close(socket) {
          fail(new Error("closed"));
          socket.data?.owner.closed();
        },
        connectError: (_, error) => fail(error),
      },
    });
  // Of an address no task is made: most backends have one.
  (isIP(host) === 0 ? outsideAddress(host).then(open) : open(host)).catch(fail);
}
