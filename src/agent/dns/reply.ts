/** Answers as bytes: cut to what the client can take, or a code and nothing else. */
import * as dns from "dns-packet";
import { soaOf } from "./answer.ts";
import type { Over } from "./ask-server.ts";

export interface Records {
  readonly rcode: number;
  readonly answers: readonly dns.Answer[];
  /** Of the authority section; the zone's SOA when absent and there are no answers. */
  readonly authorities?: readonly dns.Answer[];
  readonly more: readonly dns.Answer[];
  /** Whether the answer is from our own data. */
  readonly isAuthoritative: boolean;
}

export const rcodes = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
} as const;

/** A packet that survives every path without being cut up. */
const largestUdp = 1232;
const largestTcp = 65_535;
const smallestUdp = 512;

/** What the OPT record of a query says, when there is one. */
export function ednsOf(query: dns.DecodedPacket): dns.OptAnswer | undefined {
  return query.additionals.find((record) => record.type === "OPT");
}

/** As many answers as fit: some resolvers never come back over TCP. */
export function encodeReply(
  query: dns.DecodedPacket,
  records: Records,
  over: Over,
  domain: string,
): Uint8Array {
  const edns = ednsOf(query);
  const client = edns?.udpPayloadSize ?? smallestUdp;
  const limit = over === "tcp" ? largestTcp : Math.min(Math.max(smallestUdp, client), largestUdp);
  const opt = edns === undefined ? [] : [optRecord(0)];
  const flags =
    (records.isAuthoritative ? dns.AUTHORITATIVE_ANSWER : 0) |
    dns.RECURSION_AVAILABLE |
    (query.flags & dns.RECURSION_DESIRED) |
    records.rcode;
  const none = records.answers.length === 0;
  const authorities = records.authorities ?? (none ? [soaOf(domain)] : []);
  const encode = (count: number, truncated: boolean): Uint8Array =>
    dns.encode({
      id: query.id,
      type: "response",
      flags: truncated ? flags | dns.TRUNCATED_RESPONSE : flags,
      questions: query.questions,
      answers: records.answers.slice(0, count),
      authorities,
      additionals: truncated ? opt : [...records.more, ...opt],
    });
  const total = records.answers.length;
  const whole = encode(total, false);
  if (whole.length <= limit) return whole;
  let count = Math.min(total, Math.floor((total * limit) / whole.length));
  for (; count > 0; count--) {
    const part = encode(count, true);
    if (part.length <= limit) return part;
  }
  return encode(0, true);
}

/** The id comes back with a code and nothing else. */
export function failure(query: Uint8Array, rcode: number): Uint8Array {
  const head = Buffer.from(query.subarray(0, 12));
  head[2] = 0x80 | ((query[2] ?? 0) & 0x79);
  head[3] = 0x80 | rcode;
  head.fill(0, 4);
  return head;
}

/** Refuses a version of EDNS that is not there yet (RFC 6891, 6.1.3). */
export function badVersion(query: dns.DecodedPacket): Uint8Array {
  const { id, questions } = query;
  return dns.encode({ id, type: "response", questions, additionals: [optRecord(1)] });
}

/** `extended` are the upper eight bits of the code. */
function optRecord(extended: number): dns.OptAnswer {
  return {
    name: ".",
    type: "OPT",
    udpPayloadSize: largestUdp,
    extendedRcode: extended,
    flags: 0,
    options: [],
  };
}
