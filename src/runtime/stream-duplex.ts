/** A `StreamSocket` as one of Node's streams, for what speaks a protocol on these. */
import { Duplex } from "node:stream";
import type { StreamSocket } from "./stream-sockets.ts";

export class StreamDuplex extends Duplex {
  readonly remoteAddress: string;
  readonly #socket: StreamSocket;
  /** Told when what waits has been taken. */
  #onDrained: (() => void) | undefined;

  /** `first` is what has been read of the socket already. */
  constructor(socket: StreamSocket, first: Buffer) {
    super({ allowHalfOpen: true });
    this.#socket = socket;
    this.remoteAddress = socket.remoteAddress;
    socket.owner = {
      data: (bytes) => {
        if (!this.push(bytes)) socket.pause();
      },
      drained: () => {
        const told = this.#onDrained;
        this.#onDrained = undefined;
        told?.();
      },
      ended: () => void this.push(null),
      closed: () => void this.destroy(),
    };
    this.push(first);
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(bytes: Buffer, _encoding: string, done: () => void): void {
    if (this.#socket.write(bytes)) done();
    else this.#onDrained = done;
  }

  override _final(done: () => void): void {
    this.#socket.end();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }
}
