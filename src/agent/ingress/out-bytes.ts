/** Gathers what belongs together, so that a head and a short body leave in one packet. */
import type { StreamSocket } from "../../runtime/stream-sockets.ts";

const gatherBytesMax = 64 * 1024;

export class OutBytes {
  #pieces: (string | Buffer)[] = [];
  #bytes = 0;

  constructor(private readonly socket: StreamSocket) {}

  add(piece: string | Buffer): void {
    this.#pieces.push(piece);
    this.#bytes += piece.length;
  }

  /** False: the socket is full, and its owner is told when to go on. */
  flush(): boolean {
    const pieces = this.#pieces;
    const bytes = this.#bytes;
    const [first] = pieces;
    if (first === undefined) return true;
    this.#pieces = [];
    this.#bytes = 0;
    if (pieces.length === 1) return this.socket.write(first);
    if (bytes > gatherBytesMax) {
      let isFree = true;
      for (const piece of pieces) isFree = this.socket.write(piece);
      return isFree;
    }
    const all = Buffer.allocUnsafe(bytes);
    let at = 0;
    for (const piece of pieces) {
      if (typeof piece === "string") all.write(piece, at, "latin1");
      else all.set(piece, at);
      at += piece.length;
    }
    return this.socket.write(all);
  }
}
