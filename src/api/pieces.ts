/** A body made piece by piece while it is sent, so that a long list never lies in memory whole. */
import { Readable } from "node:stream";
import { createGzip } from "node:zlib";
import { joinBytes } from "../lib/bytes.ts";
import type { FrameReader, Frames, FrameWriter } from "./http-exchange.ts";

const pieceBytes = 128 * 1024;
/** Pieces that go out before others have their turn: a megabyte takes 2 to 3 ms. */
const piecesPerTurn = 8;

/** Parts to be sent one after the other, gathered to pieces of a good size. */
export class Pieces implements Frames {
  readonly isEndless = false;

  /** `parts` are made as they are sent, anew each time they are asked for. */
  constructor(private readonly parts: () => Iterable<Uint8Array>) {}

  /** As fast as the reader takes them, with turns for everyone else in between. */
  start(out: FrameWriter): FrameReader {
    const sender = new PieceSender(this.parts(), out);
    sender.send();
    return sender;
  }

  bytes(): Uint8Array {
    return joinBytes([...this.parts()]);
  }

  /** The same compressed, by a thread of its own. */
  gzipped(): ReadableStream<Uint8Array> {
    const pieces = gathered(this.parts(), () => Buffer.allocUnsafe(pieceBytes));
    const packed = Readable.from(pieces, { objectMode: true }).pipe(createGzip({ level: 1 }));
    return Readable.toWeb(packed) as unknown as ReadableStream<Uint8Array>;
  }
}

class PieceSender implements FrameReader {
  readonly #pieces: Generator<Uint8Array>;
  /** Filled again and again: new memory for each piece costs more than filling it. */
  #buffer = Buffer.allocUnsafe(pieceBytes);
  #isLeft = false;
  #sentInTurn = 0;

  constructor(
    parts: Iterable<Uint8Array>,
    private readonly out: FrameWriter,
  ) {
    this.#pieces = gathered(parts, () => this.#buffer);
  }

  send(): void {
    while (!this.#isLeft) {
      const { done, value } = this.#pieces.next();
      if (done) {
        this.out.end();
        return;
      }
      this.#sentInTurn += 1;
      if (!this.out.write(value)) return;
      // It may still be on its way.
      this.#buffer = Buffer.allocUnsafe(pieceBytes);
    }
  }

  drained(): void {
    if (this.#sentInTurn < piecesPerTurn) {
      this.send();
      return;
    }
    this.#sentInTurn = 0;
    setImmediate(() => this.send());
  }

  cancel(): void {
    this.#isLeft = true;
  }
}

/** A piece holds until the next one is asked for, when `bufferOf` gives the same buffer again. */
export function* gathered(
  parts: Iterable<Uint8Array>,
  bufferOf: () => Uint8Array,
): Generator<Uint8Array> {
  let piece = bufferOf();
  let used = 0;
  for (const part of parts) {
    if (used + part.length > piece.length) {
      if (used > 0) yield piece.subarray(0, used);
      piece = bufferOf();
      used = 0;
      if (part.length > piece.length) {
        yield part;
        continue;
      }
    }
    piece.set(part, used);
    used += part.length;
  }
  if (used > 0) yield piece.subarray(0, used);
}
