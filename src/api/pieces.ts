/** A body made piece by piece while it is sent, so that a long list never lies in memory whole. */
import { Readable } from "node:stream";
import { createGzip } from "node:zlib";

const pieceBytes = 128 * 1024;

/** Parts to be sent one after the other, gathered to pieces of a good size. */
export class Pieces {
  readonly length: number;

  constructor(private readonly parts: readonly Uint8Array[]) {
    this.length = parts.reduce((sum, part) => sum + part.length, 0);
  }

  *[Symbol.iterator](): Generator<Uint8Array> {
    let piece = Buffer.allocUnsafe(Math.min(this.length, pieceBytes));
    let used = 0;
    for (const part of this.parts) {
      if (used + part.length > piece.length) {
        if (used > 0) yield piece.subarray(0, used);
        piece = Buffer.allocUnsafe(pieceBytes);
        used = 0;
        if (part.length > pieceBytes) {
          yield part;
          continue;
        }
      }
      piece.set(part, used);
      used += part.length;
    }
    if (used > 0) yield piece.subarray(0, used);
  }

  bytes(): Uint8Array {
    return Buffer.concat(this.parts);
  }

  /** Made as fast as the reader takes them. */
  stream(): ReadableStream<Uint8Array> {
    const iterator = this[Symbol.iterator]();
    return new ReadableStream(
      {
        pull(controller): void {
          const { done, value } = iterator.next();
          if (done) controller.close();
          else controller.enqueue(value);
        },
      },
      { highWaterMark: 0 },
    );
  }

  /** The same compressed, by a thread of its own. */
  gzipped(): ReadableStream<Uint8Array> {
    const packed = Readable.from(this, { objectMode: true }).pipe(createGzip({ level: 1 }));
    return Readable.toWeb(packed) as unknown as ReadableStream<Uint8Array>;
  }
}
