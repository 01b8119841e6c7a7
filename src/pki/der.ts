/** The few DER forms that an X.509 certificate is made of: written from parts, read by walking. */
import { joinBytes } from "../lib/bytes.ts";

export type Der = Uint8Array;

const tags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utf8String: 0x0c,
  sequence: 0x30,
  set: 0x31,
  utcTime: 0x17,
  generalizedTime: 0x18,
} as const;

function lengthBytes(length: number): Der {
  if (length < 0x80) return Uint8Array.of(length);
  const bytes: number[] = [];
  for (let rest = length; rest > 0; rest >>>= 8) bytes.unshift(rest & 0xff);
  return Uint8Array.of(0x80 | bytes.length, ...bytes);
}

/** One value: tag, length, and its contents one after the other. */
export function tlv(tag: number, ...contents: readonly Der[]): Der {
  const body = joinBytes(contents);
  return joinBytes([Uint8Array.of(tag), lengthBytes(body.length), body]);
}

export const sequence = (...parts: readonly Der[]): Der => tlv(tags.sequence, ...parts);
export const octetString = (content: Der): Der => tlv(tags.octetString, content);
export const nullValue = tlv(tags.null);
export const trueValue = tlv(tags.boolean, Uint8Array.of(0xff));
export const utf8String = (text: string): Der =>
  tlv(tags.utf8String, new TextEncoder().encode(text));
/** `[number]` wrapped around whole values. */
export const explicit = (number: number, ...parts: readonly Der[]): Der =>
  tlv(0xa0 | number, ...parts);
/** `[number]` in place of the value's own tag; for primitive contents. */
export const implicit = (number: number, content: Der): Der => tlv(0x80 | number, content);

/** DER orders the members of a SET OF by their bytes. */
export function setOf(...members: readonly Der[]): Der {
  return tlv(tags.set, ...members.toSorted(Buffer.compare));
}

/** A non-negative integer from its big-endian bytes. */
export function integer(bytes: Der): Der {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const body = bytes.subarray(start);
  const needsSign = ((body[0] ?? 0) & 0x80) !== 0;
  return tlv(tags.integer, needsSign ? Uint8Array.of(0, ...body) : body);
}

export function bitString(content: Der, unusedBits = 0): Der {
  return tlv(tags.bitString, Uint8Array.of(unusedBits), content);
}

export function oid(dotted: string): Der {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const bytes: number[] = [];
  for (const arc of [first * 40 + second, ...rest]) {
    const groups = [arc & 0x7f];
    for (let high = Math.floor(arc / 128); high > 0; high = Math.floor(high / 128)) {
      groups.unshift((high & 0x7f) | 0x80);
    }
    bytes.push(...groups);
  }
  return tlv(tags.oid, Uint8Array.from(bytes));
}

/** Seconds precision; UTCTime ends with 2049, as RFC 5280 wants it. */
export function time(date: Date): Der {
  const digits = date.toISOString().replace(/[-:T]/g, "").slice(0, 14);
  const text = new TextEncoder();
  if (date.getUTCFullYear() >= 2050) return tlv(tags.generalizedTime, text.encode(`${digits}Z`));
  return tlv(tags.utcTime, text.encode(`${digits.slice(2)}Z`));
}

export interface DerNode {
  readonly tag: number;
  /** Tag, length and content. */
  readonly whole: Der;
  readonly content: Der;
}

/** The values in `bytes`, one after the other; throws on bytes that are not whole values. */
export function readDer(bytes: Der): readonly DerNode[] {
  const nodes: DerNode[] = [];
  for (let at = 0; at < bytes.length; ) {
    const tag = bytes[at] ?? 0;
    let length = bytes[at + 1] ?? 0;
    let head = 2;
    if (length >= 0x80) {
      const count = length & 0x7f;
      if (count === 0 || count > 4) throw new RangeError("Cannot read DER: bad length");
      length = 0;
      for (let i = 0; i < count; i++) length = length * 256 + (bytes[at + 2 + i] ?? 0);
      head += count;
    }
    const end = at + head + length;
    if (end > bytes.length) throw new RangeError("Cannot read DER: the value is cut off");
    nodes.push({
      tag,
      whole: bytes.subarray(at, end),
      content: bytes.subarray(at + head, end),
    });
    at = end;
  }
  return nodes;
}
