/**
 * One tunnel of K3s' kind over a WebSocket: either end may have the other dial for it. Each
 * connection is held back apart from the others when its reader is slow.
 */
import { joinBytes } from "../lib/bytes.ts";
import {
  decodeConnectionIds,
  decodeTunnelMessage,
  encodeConnectionIds,
  encodeTunnelMessage,
  type TunnelMessage,
  tunnelTypes,
} from "../lib/tunnel-messages.ts";
import { opcodes } from "../lib/websocket-frames.ts";
import type { ByteStream, Runtime } from "./runtime.ts";
import type { WebSocketPeer } from "./web-socket.ts";

const limits = {
  pingMs: 5_000,
  silenceMsMax: 60_000,
  syncMs: 60_000,
  pauseBytes: 2 << 20,
  resumeBytes: (2 << 20) / 8,
  messageBytesMax: 16 << 20,
  dialMs: 60_000,
} as const;
const goodEnd = "EOF";
const nothing = new Uint8Array();

export interface TunnelOptions {
  readonly runtime: Pick<Runtime, "clock" | "net">;
  readonly peer: WebSocketPeer;
  /** The agent's end keeps the tunnel awake. */
  readonly isClient: boolean;
  /** Where to dial for the other end; undefined where it may not go. */
  readonly placeOf: (
    protocol: string,
    address: string,
  ) => { readonly host: string; readonly port: number } | undefined;
}

export class TunnelSession {
  readonly #options: TunnelOptions;
  readonly #connections = new Map<number, TunnelConnection>();
  readonly #over = new AbortController();
  #lastMessage = 0;
  #lastConnection = 1;

  constructor(options: TunnelOptions) {
    this.#options = options;
  }

  /** Resolves when the tunnel has ended, and every connection with it; rejects on nonsense. */
  async run(signal: AbortSignal): Promise<void> {
    const { peer } = this.#options;
    const onAbort = (): void => void peer.close();
    signal.addEventListener("abort", onAbort, { once: true });
    this.#keepAwake();
    try {
      let parts: Uint8Array[] = [];
      let bytes = 0;
      for await (const { payload, isLast } of peer.messages()) {
        parts.push(payload);
        bytes += payload.length;
        if (bytes > limits.messageBytesMax) throw new RangeError("a tunnel's message is too long");
        if (!isLast) continue;
        this.#take(decodeTunnelMessage(joinBytes(parts)));
        parts = [];
        bytes = 0;
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
      this.#over.abort();
      for (const connection of this.#connections.values()) connection.ended("tunnel disconnect");
      this.#connections.clear();
      await peer.close();
    }
  }

  /** A connection that the other end dials: what it cannot reach ends at once. */
  dial(protocol: string, address: string): ByteStream {
    const connection = this.#add(++this.#lastConnection);
    void this.#send({
      type: tunnelTypes.connect,
      connection: connection.id,
      payload: new TextEncoder().encode(`${protocol}/${address}`),
    }).catch(() => this.#drop(connection.id, "tunnel disconnect"));
    return connection.stream;
  }

  #keepAwake(): void {
    const { runtime, peer, isClient } = this.#options;
    const { clock } = runtime;
    const { signal } = this.#over;
    clock.every(limits.pingMs, signal, () => {
      if (clock.monotonicMs() - peer.heardMs > limits.silenceMsMax) void peer.close();
      else if (isClient) peer.send(opcodes.ping).catch(() => {});
    });
    if (!isClient) return;
    clock.every(limits.syncMs, signal, () => {
      const payload = encodeConnectionIds([...this.#connections.keys()].sort((a, b) => a - b));
      this.#send({ type: tunnelTypes.syncConnections, connection: 0, payload }).catch(() => {});
    });
  }

  #take({ type, connection: id, payload }: TunnelMessage): void {
    const connection = this.#connections.get(id);
    switch (type) {
      case tunnelTypes.connect:
        void this.#connect(id, new TextDecoder().decode(payload));
        break;
      case tunnelTypes.data:
        if (connection === undefined) this.#tellEnd(id, `connection not found ${id}`);
        else connection.came(payload);
        break;
      case tunnelTypes.error:
        this.#connections.delete(id);
        connection?.ended(new TextDecoder().decode(payload));
        break;
      case tunnelTypes.pause:
        connection?.hold();
        break;
      case tunnelTypes.resume:
        connection?.release();
        break;
      case tunnelTypes.syncConnections:
        this.#sync(decodeConnectionIds(payload));
    }
  }

  /** What the other end does not know any more has ended without a word. */
  #sync(known: readonly number[]): void {
    const ids = new Set(known);
    for (const [id, connection] of this.#connections) {
      if (ids.has(id)) continue;
      this.#connections.delete(id);
      connection.ended("sync from client");
    }
  }

  async #connect(id: number, target: string): Promise<void> {
    const { runtime, placeOf } = this.#options;
    const slash = target.indexOf("/");
    const place = placeOf(target.slice(0, slash), target.slice(slash + 1));
    if (place === undefined) return this.#tellEnd(id, "connect not allowed");
    const { stream } = this.#add(id);
    const over = new AbortController();
    const late = AbortSignal.any([over.signal, this.#over.signal]);
    void runtime.clock.sleep(limits.dialMs, late).then(() => over.abort(new Error("i/o timeout")));
    try {
      const backend = await runtime.net.dial({ type: "tcp", ...place }, late);
      over.abort();
      await joinStreams(stream, backend);
    } catch (error) {
      over.abort();
      this.#drop(id, error instanceof Error ? error.message : String(error));
    }
  }

  #add(id: number): TunnelConnection {
    const connection = new TunnelConnection(id, {
      send: (type, payload) => this.#send({ type, connection: id, payload }),
      onClosed: () => this.#drop(id, goodEnd),
    });
    this.#connections.set(id, connection);
    return connection;
  }

  /** Ends it here and says so to the other end. */
  #drop(id: number, reason: string): void {
    const connection = this.#connections.get(id);
    if (connection === undefined) return;
    this.#connections.delete(id);
    connection.ended(reason);
    this.#tellEnd(id, reason);
  }

  #tellEnd(connection: number, reason: string): void {
    const payload = new TextEncoder().encode(reason);
    this.#send({ type: tunnelTypes.error, connection, payload }).catch(() => {});
  }

  #send(message: TunnelMessage): Promise<void> {
    const bytes = encodeTunnelMessage(++this.#lastMessage, message);
    return this.#options.peer.send(opcodes.binary, bytes);
  }
}

interface ConnectionLinks {
  readonly send: (type: number, payload: Uint8Array) => Promise<void>;
  /** This end wants no more of it. */
  readonly onClosed: () => void;
}

class TunnelConnection {
  readonly stream: ByteStream;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  #held: PromiseWithResolvers<void> | undefined;
  #hasPausedOther = false;
  #isOver = false;

  constructor(
    readonly id: number,
    private readonly links: ConnectionLinks,
  ) {
    const readable = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        pull: () => this.#pulled(),
        cancel: () => links.onClosed(),
      },
      new ByteLengthQueuingStrategy({ highWaterMark: limits.pauseBytes }),
    );
    const writable = new WritableStream<Uint8Array>({
      write: async (chunk) => {
        await this.#held?.promise;
        if (this.#isOver) throw new Error("The connection is closed");
        await links.send(tunnelTypes.data, chunk);
      },
      close: () => links.onClosed(),
      abort: () => links.onClosed(),
    });
    this.stream = { readable, writable, close: () => links.onClosed() };
  }

  came(payload: Uint8Array): void {
    this.#controller?.enqueue(payload);
    if (this.#hasPausedOther || (this.#controller?.desiredSize ?? 0) >= 0) return;
    this.#hasPausedOther = true;
    this.links.send(tunnelTypes.pause, nothing).catch(() => {});
  }

  /** Room was made: `desiredSize` tells how far below the mark the queue is. */
  #pulled(): void {
    const queued = limits.pauseBytes - (this.#controller?.desiredSize ?? 0);
    if (!this.#hasPausedOther || queued > limits.resumeBytes) return;
    this.release();
    this.links.send(tunnelTypes.resume, nothing).catch(() => {});
  }

  hold(): void {
    this.#held ??= Promise.withResolvers();
  }

  /**
   * K3s' ends know one pause for both ways, and forget it with the first word to go on, whoever
   * says it: who waited for a second word would wait for ever. A full end says pause again.
   */
  release(): void {
    this.#hasPausedOther = false;
    this.#held?.resolve();
    this.#held = undefined;
  }

  ended(reason: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.release();
    try {
      if (reason === goodEnd) this.#controller?.close();
      else this.#controller?.error(new Error(reason));
    } catch {
      // Its reader has left already.
    }
  }
}

/** Carries bytes both ways; where one end stops, both stop, since tunnels know no half. */
export async function joinStreams(a: ByteStream, b: ByteStream): Promise<void> {
  const ways = [a.readable.pipeTo(b.writable), b.readable.pipeTo(a.writable)];
  await Promise.race(ways).catch(() => {});
  a.close();
  b.close();
  await Promise.allSettled(ways);
}
