/** The cluster's DNS inside k3: CoreDNS's kubernetes, hosts, forward and cache plugins in one. */
import * as dns from "dns-packet";
import { endpointSlices, namespaces, nodes, services } from "../../client/resources.ts";
import type { LiveSets } from "../../live/live-set.ts";
import type { ByteStream, Runtime } from "../../runtime/runtime.ts";
import type { Scope } from "../../runtime/scope.ts";
import { answer, type Reply, soaOf } from "./answer.ts";
import { type ClusterNames, clusterNames } from "./cluster-names.ts";
import { createForwarder, type Forwarder } from "./forward.ts";
import { messages, writeMessage } from "./tcp-messages.ts";

export interface DnsContext {
  readonly runtime: Runtime;
  readonly live: LiveSets;
  readonly scope: Scope;
  /** Where it listens, over UDP and TCP: the cluster DNS address. */
  readonly address: string;
  readonly port?: number;
  /** For example `cluster.local`. */
  readonly domain: string;
  /** The node's resolver files; the usual ones by default. */
  readonly resolvConfs?: readonly string[];
  /** Servers to forward to in place of the node's. */
  readonly upstreams?: readonly string[];
  readonly forwardPort?: number;
}

/** A packet that survives every path without being cut up. */
const largestUdp = 1232;
const usualResolvConfs = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];
const rcodes = { FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4 } as const;

interface Desk {
  readonly runtime: Runtime;
  readonly names: ClusterNames;
  readonly forwarder: Forwarder;
  readonly domain: string;
  readonly signal: AbortSignal;
}

/** Listens at once; until the lists are in, questions about the cluster fail as temporary. */
export async function startDns(context: DnsContext): Promise<{ readonly port: number }> {
  const { runtime, live, scope, domain } = context;
  const desk: Desk = {
    runtime,
    names: clusterNames(live),
    domain,
    signal: scope.signal,
    forwarder: createForwarder(runtime, {
      resolvConfs: context.resolvConfs ?? usualResolvConfs,
      ...(context.upstreams === undefined ? {} : { upstreams: context.upstreams }),
      ...(context.forwardPort === undefined ? {} : { port: context.forwardPort }),
    }),
  };
  let isReady = false;
  scope.task("ready", async (signal) => {
    await Promise.all([
      live.of(services).ready(signal),
      live.of(endpointSlices).ready(signal),
      live.of(namespaces).ready(signal),
      live.of(nodes).ready(signal),
    ]);
    isReady = true;
  });
  const respond = async (query: Uint8Array, over: "udp" | "tcp") => {
    try {
      return await respondTo(desk, query, over, isReady);
    } catch (error) {
      runtime.log.debug("A DNS question could not be answered", { error });
      return failure(query, rcodes.SERVFAIL);
    }
  };
  const socket = await runtime.net.udp(context.address, context.port ?? 53, (data, from) => {
    void respond(data.slice(), "udp").then((bytes) => {
      if (bytes !== undefined) socket.send(bytes, from);
    });
  });
  scope.defer(() => socket.close());
  const tcp = { type: "tcp", host: context.address, port: socket.port } as const;
  const listener = await runtime.net.listen(tcp, (stream) => {
    void serveTcp(stream, (query) => respond(query, "tcp"));
  });
  scope.defer(() => listener.close());
  return { port: socket.port };
}

async function serveTcp(
  stream: ByteStream,
  respond: (query: Uint8Array) => Promise<Uint8Array | undefined>,
): Promise<void> {
  const writer = stream.writable.getWriter();
  try {
    for await (const query of messages(stream.readable.getReader())) {
      const bytes = await respond(query);
      if (bytes === undefined) break;
      await writeMessage(writer, bytes);
    }
    await writer.close();
  } catch {
    stream.close(); // the client went away
  }
}

async function respondTo(
  desk: Desk,
  bytes: Uint8Array,
  over: "udp" | "tcp",
  isReady: boolean,
): Promise<Uint8Array | undefined> {
  // Too short to name an id, or an answer: replying could start a loop.
  if (bytes.length < 12 || ((bytes[2] ?? 0) & 0x80) !== 0) return undefined;
  let query: dns.DecodedPacket;
  try {
    query = dns.decode(bytes);
  } catch {
    return failure(bytes, rcodes.FORMERR);
  }
  const question = query.questions[0];
  if (query.opcode !== "QUERY") return failure(bytes, rcodes.NOTIMP);
  if (question === undefined || query.questions.length > 1) return failure(bytes, rcodes.FORMERR);
  const reply = answer(question, desk.names, desk.domain);
  if (reply.type === "forward") {
    const forwarded = await desk.forwarder.ask(bytes, over, desk.signal);
    return forwarded ?? failure(bytes, rcodes.SERVFAIL);
  }
  if (!isReady) return failure(bytes, rcodes.SERVFAIL);
  return encodeReply(desk, query, await recordsOf(desk, question, reply), over);
}

interface Records {
  readonly rcode: number;
  readonly answers: readonly dns.Answer[];
  readonly more: readonly dns.Answer[];
}

async function recordsOf(
  desk: Desk,
  question: dns.Question,
  reply: Exclude<Reply, { type: "forward" }>,
): Promise<Records> {
  switch (reply.type) {
    case "no-such-name":
      return { rcode: rcodes.NXDOMAIN, answers: [], more: [] };
    case "answers":
      return { rcode: 0, answers: shuffled(desk.runtime, reply.answers), more: reply.more };
    case "alias":
      return {
        rcode: 0,
        answers: [reply.alias, ...(await follow(desk, question, reply.target))],
        more: [],
      };
  }
}

/** The addresses of an alias's target; an alias alone is an answer too. */
async function follow(
  desk: Desk,
  question: dns.Question,
  target: string,
): Promise<readonly dns.Answer[]> {
  const next = { ...question, name: target };
  const reply = answer(next, desk.names, desk.domain);
  if (reply.type === "answers") return reply.answers;
  // An alias of an alias is left to the client: two of them may point at each other.
  if (reply.type !== "forward") return reply.type === "alias" ? [reply.alias] : [];
  const query = dns.encode({ type: "query", flags: dns.RECURSION_DESIRED, questions: [next] });
  const bytes = await desk.forwarder.ask(new Uint8Array(query), "udp", desk.signal);
  return bytes === undefined ? [] : dns.decode(bytes).answers;
}

function encodeReply(
  desk: Desk,
  query: dns.DecodedPacket,
  records: Records,
  over: "udp" | "tcp",
): Uint8Array {
  const edns = query.additionals.find((record) => record.type === "OPT");
  const client = edns?.type === "OPT" ? edns.udpPayloadSize : 512;
  const limit = over === "tcp" ? 65_535 : Math.min(Math.max(512, client), largestUdp);
  const opt: readonly dns.Answer[] =
    edns === undefined
      ? []
      : [{ name: ".", type: "OPT", udpPayloadSize: largestUdp, flags: 0, options: [] }];
  const flags =
    dns.AUTHORITATIVE_ANSWER |
    dns.RECURSION_AVAILABLE |
    (query.flags & dns.RECURSION_DESIRED) |
    records.rcode;
  const encode = (count: number, truncated: boolean): Uint8Array =>
    dns.encode({
      id: query.id,
      type: "response",
      flags: truncated ? flags | dns.TRUNCATED_RESPONSE : flags,
      questions: query.questions,
      answers: records.answers.slice(0, count),
      authorities: records.answers.length === 0 ? [soaOf(desk.domain)] : [],
      additionals: truncated ? opt : [...records.more, ...opt],
    });
  const total = records.answers.length;
  const whole = encode(total, false);
  if (whole.length <= limit) return whole;
  // As many answers as fit: some resolvers never come back over TCP.
  let count = Math.min(total, Math.floor((total * limit) / whole.length));
  for (; count > 0; count--) {
    const part = encode(count, true);
    if (part.length <= limit) return part;
  }
  return encode(0, true);
}

/** The question comes back with a code and nothing else. */
function failure(query: Uint8Array, rcode: number): Uint8Array {
  const head = query.slice(0, 12);
  head[2] = 0x80 | ((query[2] ?? 0) & 0x79);
  head[3] = 0x80 | rcode;
  head.fill(0, 4);
  return head;
}

/** Clients take the first address: each gets another one. */
function shuffled<T>(runtime: Runtime, items: readonly T[]): readonly T[] {
  const mixed = [...items];
  for (let i = mixed.length - 1; i > 0; i--) {
    const other = runtime.random.int(i + 1);
    const held = mixed[i] as T;
    mixed[i] = mixed[other] as T;
    mixed[other] = held;
  }
  return mixed;
}
