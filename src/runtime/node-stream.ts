/** A socket of Node's making as a `StreamSocket`. */

import type { Socket } from "node:net";
import { plainAddress } from "../lib/ip-range.ts";
import type { StreamOwner, StreamSocket } from "./stream-sockets.ts";

export class NodeStream implements StreamSocket {
  readonly remoteAddress: string;
  #owner: StreamOwner | undefined;

  constructor(private readonly socket: Socket) {
    this.remoteAddress = plainAddress(socket.remoteAddress ?? "");
    socket.on("data", (bytes: Buffer) => this.#owner?.data(bytes));
    socket.on("drain", () => this.#owner?.drained());
    socket.on("end", () => this.#owner?.ended());
    socket.on("close", () => this.#owner?.closed());
    // A failed connection is closed too, and that is told.
    socket.on("error", () => {});
  }

  get owner(): StreamOwner {
    if (this.#owner === undefined) throw new Error("The socket has no owner yet");
    return this.#owner;
  }

  set owner(owner: StreamOwner) {
    this.#owner = owner;
  }

  write(data: string | Uint8Array): boolean {
    return typeof data === "string" ? this.socket.write(data, "latin1") : this.socket.write(data);
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  end(): void {
    this.socket.end();
  }

  destroy(): void {
    this.socket.destroy();
  }
}
