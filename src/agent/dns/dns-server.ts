/** The cluster's DNS inside k3: CoreDNS's kubernetes, hosts, forward and cache plugins in one. */
import * as dns from "dns-packet";
import { endpointSlices, namespaces, services } from "../../client/resources.ts";
import type { EventRecorder } from "../../live/events.ts";
import type { LiveSets } from "../../live/live-set.ts";
import type { ByteStream, Runtime } from "../../runtime/runtime.ts";
import type { Scope } from "../../runtime/scope.ts";
import type { Over, Server } from "./ask-server.ts";
import { clusterNames } from "./cluster-names.ts";
import { followDnsConfig } from "./dns-config.ts";
import { createDnsMetrics, type DnsMetrics } from "./dns-metrics.ts";
import { createForwarder, type Forwarder } from "./forward.ts";
import { type NodeResolvers, nodeResolvers } from "./node-resolvers.ts";
import { badVersion, ednsOf, encodeReply, failure, rcodes } from "./reply.ts";
import { type Resolving, resolve } from "./resolve.ts";
import { messages, writeMessage } from "./tcp-messages.ts";
import type { ForwardRule } from "./zone-rules.ts";
import { zoneOfName } from "./zones.ts";

export interface DnsContext {
  readonly runtime: Runtime;
  readonly live: LiveSets;
  readonly events: EventRecorder;
  readonly scope: Scope;
  /** Where it listens, over UDP and TCP: the cluster DNS addresses. */
  readonly addresses: readonly string[];
  readonly port?: number;
  /** Of the metrics, over HTTP; 0 takes any, if there is one address. */
  readonly metricsPort: number;
  /** For example `cluster.local`. */
  readonly domain: string;
  /** The node's resolver files; the usual ones by default. */
  readonly resolvConfs?: readonly string[];
  /** Servers to forward to in place of the node's. */
  readonly upstreams?: readonly Server[];
}

const usualResolvConfs = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];

interface Desk {
  readonly runtime: Runtime;
  readonly metrics: DnsMetrics;
  readonly resolvers: NodeResolvers;
  /** Made for each question: the rules may have changed. */
  readonly resolving: () => Resolving;
}

interface Ports {
  readonly port: number;
  readonly metricsPort: number;
}

/**
 * Listens at once; until the lists are in, questions about the cluster fail as temporary. Answers
 * the ports at the first address.
 */
export async function startDns(context: DnsContext): Promise<Ports> {
  const { runtime, scope } = context;
  const desk = createDesk(context);
  const respond = async (query: Uint8Array, over: Over): Promise<Uint8Array | undefined> => {
    try {
      return await respondTo(desk, query, over);
    } catch (error) {
      runtime.log.debug("A DNS question could not be answered", { error });
      return failure(query, rcodes.SERVFAIL);
    }
  };
  const listen = async (address: string): Promise<Ports> => {
    const socket = await runtime.net.udp(address, context.port ?? 53, (data, from) => {
      void respond(Buffer.from(data), "udp").then((bytes) => {
        if (bytes !== undefined) socket.send(bytes, from);
      });
    });
    scope.defer(() => socket.close());
    const tcp = { type: "tcp", host: address, port: socket.port } as const;
    const listener = await runtime.net.listen(tcp, (stream) => {
      void serveTcp(stream, (query) => respond(query, "tcp"));
    });
    scope.defer(() => listener.close());
    const metrics = await runtime.net.serve(address, context.metricsPort, desk.metrics.serve);
    scope.defer(() => metrics.close());
    return { port: socket.port, metricsPort: metrics.port };
  };
  const [ports] = await Promise.all(context.addresses.map(listen));
  if (ports === undefined) throw new Error("The cluster's DNS has no address to listen on");
  return ports;
}

function createDesk(context: DnsContext): Desk {
  const { runtime, live, scope, domain } = context;
  const names = clusterNames(live);
  const config = followDnsConfig(context);
  const resolvers = nodeResolvers(runtime, {
    paths: context.resolvConfs ?? usualResolvConfs,
    ownAddresses: context.addresses,
    signal: scope.signal,
  });
  const { upstreams } = context;
  const ofNode = createForwarder(runtime, {
    servers: upstreams === undefined ? resolvers.servers : async () => upstreams,
  });
  /** Each rule keeps its cache and its knowledge of servers for as long as it stands. */
  const ofRules = new WeakMap<ForwardRule, Forwarder>();
  const forwarder = (rule: ForwardRule | undefined): Forwarder => {
    if (rule === undefined) return ofNode;
    const { policy, cacheMs } = rule;
    const servers = rule.servers.length > 0 ? async () => rule.servers : resolvers.servers;
    const made = ofRules.get(rule) ?? createForwarder(runtime, { servers, policy, cacheMs });
    ofRules.set(rule, made);
    return made;
  };
  let isReady = false;
  scope.task("ready", async (signal) => {
    const sets = [live.of(services), live.of(endpointSlices), live.of(namespaces)];
    await Promise.all(sets.map((set) => set.ready(signal)));
    isReady = true;
  });
  const { random } = runtime;
  const fixed = { names, domain, random, forwarder, signal: scope.signal };
  return {
    runtime,
    metrics: createDnsMetrics(runtime.clock),
    resolvers,
    resolving: () => ({ ...fixed, config: config(), isReady }),
  };
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
  over: Over,
): Promise<Uint8Array | undefined> {
  // Too short to name an id, or an answer: replying could start a loop.
  if (bytes.length < 12 || ((bytes[2] ?? 0) & 0x80) !== 0) return undefined;
  const done = desk.metrics.begin(over);
  const reply = await replyTo(desk, bytes, over);
  done(reply);
  return reply;
}

async function replyTo(desk: Desk, bytes: Uint8Array, over: Over): Promise<Uint8Array> {
  let query: dns.DecodedPacket;
  try {
    query = dns.decode(bytes);
  } catch {
    return failure(bytes, rcodes.FORMERR);
  }
  const question = query.questions[0];
  if (query.opcode !== "QUERY") return failure(bytes, rcodes.NOTIMP);
  if (question === undefined || query.questions.length > 1) return failure(bytes, rcodes.FORMERR);
  if ((ednsOf(query)?.ednsVersion ?? 0) > 0) return badVersion(query);
  if (question.class !== "IN" || /^[AI]XFR$/.test(question.type)) {
    return failure(bytes, rcodes.REFUSED);
  }
  if (desk.resolvers.isOwnProbe(question.name)) return failure(bytes, rcodes.REFUSED);
  const resolving = desk.resolving();
  if (zoneOfName(resolving.config.custom, question.name.toLowerCase()).logsQueries) {
    desk.runtime.log.info("DNS question", { name: question.name, type: question.type, over });
  }
  const resolved = resolve(resolving, { question, bytes, over });
  const found = resolved instanceof Promise ? await resolved : resolved;
  return found instanceof Uint8Array ? found : encodeReply(query, found, over, resolving.domain);
}
