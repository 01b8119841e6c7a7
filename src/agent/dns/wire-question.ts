/** What a query asks, read from its bytes alone: enough to know the same question again. */

export interface WireQuestion {
  /** Name in lower case, type, class, and what else changes the answer. */
  readonly key: string;
  /** Where the question section ends. */
  readonly end: number;
}

const headBytes = 12;
const longestName = 255;

/** Undefined unless it is one question, plainly written. */
export function questionOf(query: Uint8Array): WireQuestion | undefined {
  if (query.length < headBytes + 5 || query[4] !== 0 || query[5] !== 1) return undefined;
  let at = headBytes;
  for (let length = query[at] ?? 0; length !== 0; length = query[at] ?? 0) {
    if (length > 63) return undefined;
    at += length + 1;
    if (at >= query.length || at - headBytes > longestName) return undefined;
  }
  const end = at + 5;
  if (end > query.length) return undefined;
  let key = "";
  for (let i = headBytes; i < at; i++) {
    const byte = query[i] ?? 0;
    key += String.fromCharCode(byte >= 65 && byte <= 90 ? byte + 32 : byte);
  }
  // RD, AD and CD, then type and class, then EDNS with its size and DO.
  key += ` ${(query[2] ?? 0) & 0x01} ${(query[3] ?? 0) & 0x30} ${query.subarray(at, end).toHex()}`;
  return { key: key + (query.length > end ? ednsOf(query, end) : ""), end };
}

/** Payload size and flags of the OPT record behind the question; options do not count. */
function ednsOf(query: Uint8Array, at: number): string {
  const isOpt = query[at] === 0 && query[at + 1] === 0 && query[at + 2] === 41;
  return ` ${(isOpt ? query.subarray(at + 1, at + 9) : query.subarray(at)).toHex()}`;
}
