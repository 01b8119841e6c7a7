/**
 * Messages of K3s' tunnels, in the form of rancher/remotedialer: varints as Go writes them (message
 * id, connection id, type, and a deadline that nobody reads any more), then the payload.
 */
import { joinBytes } from "./bytes.ts";

export const tunnelTypes = {
  data: 1,
  connect: 2,
  /** The connection has ended, `EOF` in good order. */
  error: 3,
  addClient: 4,
  removeClient: 5,
  pause: 6,
  resume: 7,
  /** Ids of all connections that the sender still has. */
  syncConnections: 8,
} as const;

export interface TunnelMessage {
  readonly type: number;
  readonly connection: number;
  readonly payload: Uint8Array;
}

const deadlineMs = 15_000;
const hasDeadline: ReadonlySet<number> = new Set([tunnelTypes.data, tunnelTypes.connect]);

export function encodeTunnelMessage(id: number, message: TunnelMessage): Uint8Array {
  const { type, connection, payload } = message;
  const numbers = [id, connection, type, ...(hasDeadline.has(type) ? [deadlineMs] : [])];
  return joinBytes([Uint8Array.from(numbers.flatMap(varint)), payload]);
}

/** Throws at what is no message. */
export function decodeTunnelMessage(bytes: Uint8Array): TunnelMessage {
  const reader = new VarintReader(bytes);
  reader.take(); // the message's own id
  const connection = reader.take();
  const type = Number(reader.take());
  if (hasDeadline.has(type)) reader.take();
  if (connection < 0n || connection > Number.MAX_SAFE_INTEGER)
    throw new RangeError("a tunnel's message is about a connection beyond all numbers");
  return { type, connection: Number(connection), payload: reader.rest() };
}

/** Each id in eight bytes, the lowest first. */
export function encodeConnectionIds(ids: readonly number[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(ids.length * 8));
  for (const [i, id] of ids.entries()) view.setBigInt64(i * 8, BigInt(id), true);
  return new Uint8Array(view.buffer);
}

export function decodeConnectionIds(payload: Uint8Array): readonly number[] {
  if (payload.length % 8 !== 0) throw new RangeError("a list of connections has half an id");
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  return Array.from({ length: payload.length / 8 }, (_, i) =>
    Number(view.getBigInt64(i * 8, true)),
  );
}

/** Zigzag, seven bits at a time. */
function varint(value: number): number[] {
  const bytes: number[] = [];
  let left = BigInt.asUintN(64, (BigInt(value) << 1n) ^ (BigInt(value) >> 63n));
  while (left >= 0x80n) {
    bytes.push(Number(left & 0x7fn) | 0x80);
    left >>= 7n;
  }
  return [...bytes, Number(left)];
}

class VarintReader {
  #at = 0;

  constructor(private readonly bytes: Uint8Array) {}

  take(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.bytes[this.#at++];
      if (byte === undefined) break;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return (value >> 1n) ^ -(value & 1n);
    }
    throw new RangeError("a tunnel's message ends within a number");
  }

  rest(): Uint8Array {
    return this.bytes.subarray(this.#at);
  }
}
