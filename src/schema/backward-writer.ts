/**
 * Writes protobuf from the last byte to the first: when a message's key is written its length is
 * already known, so that nothing is measured twice or moved.
 */
const limits = { firstBytes: 4096 } as const;

const encoder = new TextEncoder();
const highBit = 0x80;
const doubleBytes = 8;

export class BackwardWriter {
  #bytes = Buffer.allocUnsafeSlow(limits.firstBytes);
  /** Where the written part begins. */
  #start: number = limits.firstBytes;

  /** Bytes written so far. */
  get length(): number {
    return this.#bytes.length - this.#start;
  }

  /** A copy of what was written; the writer is empty afterwards. */
  take(): Uint8Array {
    const written = new Uint8Array(this.#bytes.subarray(this.#start));
    this.#start = this.#bytes.length;
    return written;
  }

  byte(value: number): void {
    this.#reserve(1);
    this.#bytes[--this.#start] = value;
  }

  /** A whole number from 0 to 2^53. */
  varint(value: number): void {
    if (value < highBit) {
      this.byte(value);
      return;
    }
    const groups: number[] = [];
    let rest = value;
    while (rest >= highBit) {
      groups.push((rest % highBit) | highBit);
      rest = Math.floor(rest / highBit);
    }
    this.byte(rest);
    for (let at = groups.length - 1; at >= 0; at--) this.byte(groups[at] as number);
  }

  /** A whole number of either sign; negative ones take ten bytes. */
  signed(value: number | bigint): void {
    if (typeof value === "number" && value >= 0) {
      this.varint(value);
      return;
    }
    let rest = BigInt.asUintN(64, BigInt(value));
    const groups: number[] = [];
    while (rest >= 128n) {
      groups.push(Number(rest & 127n) | highBit);
      rest >>= 7n;
    }
    this.byte(Number(rest));
    for (let at = groups.length - 1; at >= 0; at--) this.byte(groups[at] as number);
  }

  double(value: number): void {
    this.#reserve(doubleBytes);
    this.#start -= doubleBytes;
    this.#bytes.writeDoubleLE(value, this.#start);
  }

  bytes(value: Uint8Array): void {
    this.#reserve(value.length);
    this.#start -= value.length;
    this.#bytes.set(value, this.#start);
  }

  /** The UTF-8 of `value`, without its length. */
  text(value: string): void {
    const { length } = value;
    this.#reserve(length);
    const first = this.#start - length;
    for (let at = 0; at < length; at++) {
      const code = value.charCodeAt(at);
      if (code >= highBit) {
        this.bytes(encoder.encode(value));
        return;
      }
      this.#bytes[first + at] = code;
    }
    this.#start = first;
  }

  #reserve(more: number): void {
    if (this.#start >= more) return;
    const written = this.length;
    let size = this.#bytes.length * 2;
    while (size < written + more) size *= 2;
    const grown = Buffer.allocUnsafeSlow(size);
    grown.set(this.#bytes.subarray(this.#start), size - written);
    this.#bytes = grown;
    this.#start = size - written;
  }
}
