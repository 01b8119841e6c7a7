/** Reads protobuf from one buffer: messages within are ranges of it, not copies. */

import { wholeNumber } from "../lib/exact-json.ts";

const highBit = 0x80;

/** The ways a field's value is written. */
export const wire = { varint: 0, bit64: 1, bytes: 2, bit32: 5 } as const;

export class ProtobufReader {
  readonly #bytes: Buffer;
  #at: number;
  /** Where the message that is read ends. */
  #end: number;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#at = 0;
    this.#end = bytes.length;
  }

  get hasMore(): boolean {
    return this.#at < this.#end;
  }

  /** A whole number up to 2^64; those beyond 2^53 lose their last digits. */
  varint(): number {
    let value = 0;
    let place = 1;
    for (let length = 1; length <= 10; length++) {
      const byte = this.#byte();
      value += (byte & 0x7f) * place;
      if (byte < highBit) return value;
      place *= highBit;
    }
    throw new RangeError("a number takes more than ten bytes");
  }

  /** A whole number of either sign, exact. */
  signed(): number | bigint {
    const start = this.#at;
    const value = this.varint();
    if (value <= Number.MAX_SAFE_INTEGER) return value;
    this.#at = start;
    let exact = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = this.#byte();
      exact |= BigInt(byte & 0x7f) << shift;
      if (byte < highBit) return wholeNumber(BigInt.asIntN(64, exact));
    }
  }

  double(): number {
    return this.#bytes.readDoubleLE(this.#take(8));
  }

  float(): number {
    return this.#bytes.readFloatLE(this.#take(4));
  }

  text(): string {
    const length = this.varint();
    const start = this.#take(length);
    return this.#bytes.toString("utf8", start, start + length);
  }

  base64(): string {
    const length = this.varint();
    const start = this.#take(length);
    return this.#bytes.toString("base64", start, start + length);
  }

  /** A part of the buffer, not a copy. */
  bytes(): Uint8Array {
    const length = this.varint();
    const start = this.#take(length);
    return this.#bytes.subarray(start, start + length);
  }

  /** Goes into the message that comes; returns where the outer one ends, for `leave`. */
  enter(): number {
    const length = this.varint();
    const start = this.#take(length);
    const outer = this.#end;
    this.#at = start;
    this.#end = start + length;
    return outer;
  }

  leave(outer: number): void {
    this.#at = this.#end;
    this.#end = outer;
  }

  skip(type: number): void {
    if (type === wire.varint) this.varint();
    else if (type === wire.bit64) this.#take(8);
    else if (type === wire.bit32) this.#take(4);
    else if (type === wire.bytes) this.#take(this.varint());
    else throw new RangeError(`wire type ${type} is not known`);
  }

  #byte(): number {
    if (this.#at >= this.#end) throw new RangeError("unexpected end");
    return this.#bytes[this.#at++] as number;
  }

  /** Where the next `length` bytes begin. */
  #take(length: number): number {
    const start = this.#at;
    if (start + length > this.#end) throw new RangeError("unexpected end");
    this.#at = start + length;
    return start;
  }
}
