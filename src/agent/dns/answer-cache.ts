/** Answers of other servers, kept for as long as they may be; handed out with what time is left. */
import type { Clock } from "../../runtime/runtime.ts";
import { questionOf } from "./wire-question.ts";

export interface AnswerCache {
  /** Under the id and in the spelling of `query`. */
  get(query: Uint8Array, over: "udp" | "tcp"): Uint8Array | undefined;
  put(query: Uint8Array, over: "udp" | "tcp", reply: Uint8Array): void;
}

const limits = { entriesMax: 4096, negativeMsMax: 30_000 } as const;

interface Entry {
  readonly reply: Uint8Array;
  /** Where its records keep their time to live. */
  readonly offsets: readonly number[];
  readonly atMs: number;
  readonly untilMs: number;
}

export function createAnswerCache(clock: Clock, longestMs: number): AnswerCache {
  const entries = new Map<string, Entry>();
  return {
    get: (query, over) => {
      const question = questionOf(query);
      const entry = question && entries.get(`${over} ${question.key}`);
      const nowMs = clock.monotonicMs();
      if (question === undefined || entry === undefined || entry.untilMs <= nowMs) return undefined;
      const reply = Buffer.from(entry.reply);
      reply.set(query.subarray(0, 2), 0);
      // Clients that mix upper and lower case against forgers want their own spelling back.
      reply.set(query.subarray(headBytes, question.end), headBytes);
      age(reply, entry.offsets, Math.floor((nowMs - entry.atMs) / 1000));
      return reply;
    },
    put: (query, over, reply) => {
      const question = questionOf(query);
      const lasting = lifeOf(reply);
      if (question === undefined || lasting === undefined) return;
      const keepMs = Math.min(lasting.seconds * 1000, longestMs);
      if (keepMs <= 0) return;
      const key = `${over} ${question.key}`;
      const oldest = entries.keys().next().value;
      if (entries.size >= limits.entriesMax && oldest !== undefined) entries.delete(oldest);
      const atMs = clock.monotonicMs();
      entries.delete(key);
      const { offsets } = lasting;
      entries.set(key, { reply: Buffer.from(reply), offsets, atMs, untilMs: atMs + keepMs });
    },
  };
}

const headBytes = 12;

function age(reply: Uint8Array, offsets: readonly number[], seconds: number): void {
  const view = new DataView(reply.buffer, reply.byteOffset, reply.byteLength);
  for (const offset of offsets) {
    view.setUint32(offset, Math.max(0, view.getUint32(offset) - seconds));
  }
}

const types = { SOA: 6, OPT: 41 } as const;

/**
 * How long a whole answer may be kept: as its shortest record, and one that denies as its SOA
 * says (RFC 2308); undefined for failures and for what was cut off.
 */
function lifeOf(reply: Uint8Array): { seconds: number; offsets: readonly number[] } | undefined {
  const view = new DataView(reply.buffer, reply.byteOffset, reply.byteLength);
  if (reply.length < headBytes) return undefined;
  const rcode = view.getUint8(3) & 0xf;
  const isCut = (view.getUint8(2) & 0x02) !== 0;
  if (isCut || (rcode !== 0 && rcode !== 3) || view.getUint16(4) !== 1) return undefined;
  const offsets: number[] = [];
  let seconds = Number.POSITIVE_INFINITY;
  const records = view.getUint16(6) + view.getUint16(8) + view.getUint16(10);
  try {
    let at = skipName(view, headBytes) + 4;
    for (let i = 0; i < records; i++) {
      at = skipName(view, at);
      const type = view.getUint16(at);
      const end = at + 10 + view.getUint16(at + 8);
      if (type !== types.OPT) {
        offsets.push(at + 4);
        seconds = Math.min(seconds, view.getUint32(at + 4));
        if (type === types.SOA) seconds = Math.min(seconds, view.getUint32(end - 4));
      }
      at = end;
    }
  } catch {
    return undefined; // it ends too early
  }
  if (offsets.length === 0) return undefined;
  const denies = rcode === 3 || view.getUint16(6) === 0;
  return { seconds: denies ? Math.min(seconds, limits.negativeMsMax / 1000) : seconds, offsets };
}

function skipName(view: DataView, start: number): number {
  let at = start;
  for (;;) {
    const length = view.getUint8(at);
    if (length === 0) return at + 1;
    if (length >= 0xc0) return at + 2;
    at += length + 1;
  }
}
