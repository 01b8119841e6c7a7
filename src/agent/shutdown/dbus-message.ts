/**
 * Messages of D-Bus, as far as logind needs them: little-endian, with strings, object paths,
 * signatures, switches, numbers of four and eight bytes, and variants of these.
 */

export type DbusValue = string | number | bigint | boolean;

export interface DbusMessage {
  readonly type: "call" | "return" | "error" | "signal";
  readonly serial: number;
  readonly replyTo?: number | undefined;
  readonly path?: string | undefined;
  readonly interface?: string | undefined;
  readonly member?: string | undefined;
  readonly destination?: string | undefined;
  readonly errorName?: string | undefined;
  /** One letter for each value of the body. */
  readonly signature: string;
  readonly body: readonly DbusValue[];
}

const types = ["call", "return", "error", "signal"] as const;
const version = 1;
const headerBytes = 16;
const limits = { bytesMax: 2 ** 20 } as const;

/** The fields of a header that we write and read: code and type of value. */
const fields = {
  path: [1, "o"],
  interface: [2, "s"],
  member: [3, "s"],
  errorName: [4, "s"],
  replyTo: [5, "u"],
  destination: [6, "s"],
  signature: [8, "g"],
} as const;

/** Where a value of the type begins: at a multiple of this. */
const alignments: Readonly<Record<string, number>> = { t: 8, x: 8, g: 1, v: 1, y: 1 };

class Writer {
  readonly #bytes: number[] = [];

  pad(to: number): void {
    while (this.#bytes.length % to !== 0) this.#bytes.push(0);
  }

  byte(value: number): void {
    this.#bytes.push(value);
  }

  /** Least byte first. */
  u32(value: number): void {
    this.pad(4);
    for (let shift = 0; shift < 32; shift += 8) this.#bytes.push((value >>> shift) & 0xff);
  }

  value(type: string, value: DbusValue): void {
    switch (type) {
      case "i":
      case "u":
      case "b":
        this.u32(Number(value));
        return;
      case "t":
        this.pad(8);
        this.u32(Number(BigInt.asUintN(32, BigInt(value))));
        this.u32(Number(BigInt(value) >> 32n));
        return;
      default: {
        const text = new TextEncoder().encode(`${value}`);
        if (type === "g") this.byte(text.length);
        else this.u32(text.length);
        this.#bytes.push(...text, 0);
      }
    }
  }

  bytes(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }
}

class Reader {
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  pad(to: number): void {
    this.at = Math.ceil(this.at / to) * to;
  }

  byte(): number {
    this.at += 1;
    return this.#view.getUint8(this.at - 1);
  }

  u32(): number {
    this.pad(4);
    this.at += 4;
    return this.#view.getUint32(this.at - 4, true);
  }

  text(length: number): string {
    const text = new TextDecoder().decode(this.#bytes.subarray(this.at, this.at + length));
    this.at += length + 1;
    return text;
  }

  value(type: string): DbusValue {
    this.pad(alignments[type] ?? 4);
    switch (type) {
      case "y":
        return this.byte();
      case "b":
        return this.u32() !== 0;
      case "u":
      case "h":
        return this.u32();
      case "i":
        return this.u32() | 0;
      case "t":
      case "x":
        this.at += 8;
        return this.#view.getBigUint64(this.at - 8, true);
      case "s":
      case "o":
        return this.text(this.u32());
      case "g":
        return this.text(this.byte());
      case "v":
        return this.value(this.text(this.byte()));
      default:
        throw new Error(`a value of the D-Bus type ${type} cannot be read`);
    }
  }
}

export function encodeMessage(message: DbusMessage): Uint8Array {
  const body = new Writer();
  for (const [i, value] of message.body.entries()) body.value(message.signature[i] ?? "s", value);
  const bytes = body.bytes();
  const head = new Writer();
  for (const [name, [code, type]] of Object.entries(fields)) {
    const value = message[name as keyof typeof fields];
    if (value === undefined || value === "") continue;
    head.pad(8);
    head.byte(code);
    head.value("g", type);
    head.value(type, value);
  }
  const listed = head.bytes();
  const start = new Writer();
  start.byte("l".charCodeAt(0));
  start.byte(types.indexOf(message.type) + 1);
  start.byte(0);
  start.byte(version);
  start.u32(bytes.length);
  start.u32(message.serial);
  start.u32(listed.length);
  const whole = new Uint8Array(sizeOf(listed.length, bytes.length));
  whole.set(start.bytes());
  whole.set(listed, headerBytes);
  whole.set(bytes, whole.length - bytes.length);
  return whole;
}

/** The header is filled up to a multiple of eight, the body is not. */
function sizeOf(fieldBytes: number, bodyBytes: number): number {
  return Math.ceil((headerBytes + fieldBytes) / 8) * 8 + bodyBytes;
}

/** The first message of `bytes` and how long it is; undefined while it is not all there. */
export function decodeMessage(
  bytes: Uint8Array,
): { readonly message: DbusMessage; readonly length: number } | undefined {
  if (bytes.length < headerBytes) return undefined;
  const reader = new Reader(bytes);
  if (reader.byte() !== "l".charCodeAt(0)) throw new Error("a big-endian message on the bus");
  const type = types[reader.byte() - 1];
  reader.at = 4;
  const bodyBytes = reader.u32();
  const serial = reader.u32();
  const fieldBytes = reader.u32();
  const length = sizeOf(fieldBytes, bodyBytes);
  if (length > limits.bytesMax) throw new Error(`a message of ${length} bytes on the bus`);
  if (bytes.length < length) return undefined;
  const found: Record<string, DbusValue> = {};
  while (reader.at < headerBytes + fieldBytes) {
    reader.pad(8);
    const code = reader.byte();
    const name = Object.entries(fields).find(([, [own]]) => own === code)?.[0];
    const value = reader.value("v");
    if (name !== undefined) found[name] = value;
  }
  const signature = `${found.signature ?? ""}`;
  const text = (name: string): string | undefined => found[name]?.toString();
  reader.at = length - bodyBytes;
  // What comes in other forms is none of ours: its body is not looked at.
  const isKnown = /^[ybuihtxsogv]*$/.test(signature);
  return {
    length,
    message: {
      type: type ?? "signal",
      serial,
      replyTo: found.replyTo === undefined ? undefined : Number(found.replyTo),
      path: text("path"),
      interface: text("interface"),
      member: text("member"),
      destination: text("destination"),
      errorName: text("errorName"),
      signature,
      body: isKnown ? [...signature].map((letter) => reader.value(letter)) : [],
    },
  };
}
