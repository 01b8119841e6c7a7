/** Asks the node's resolvers what is not the cluster's, and remembers the answers for a while. */
import { type DecodedPacket, decode } from "dns-packet";
import type { Runtime, UdpFrom } from "../../runtime/runtime.ts";
import { readMessage, writeMessage } from "./tcp-messages.ts";

export interface Forwarder {
  /** The answer as the resolver sent it, with the id of `query`; undefined when nobody answers. */
  ask(query: Uint8Array, over: "udp" | "tcp", signal: AbortSignal): Promise<Uint8Array | undefined>;
}

export interface ForwarderOptions {
  /** Files in resolv.conf format; the first that names a usable server is taken. */
  readonly resolvConfs: readonly string[];
  /** Servers to ask in place of those in the files. */
  readonly upstreams?: readonly string[];
  readonly port?: number;
}

const timeoutMs = 2000;
const longestCacheMs = 30_000;
const mostCached = 4096;
const rereadMs = 10_000;
/** What K3s falls back to when the node names no server that pods can use. */
const lastResort = "8.8.8.8";

export function createForwarder(runtime: Runtime, options: ForwarderOptions): Forwarder {
  const port = options.port ?? 53;
  const cache = new Map<string, { bytes: Uint8Array; untilMs: number }>();
  let servers: readonly string[] = [];
  let readAtMs = Number.NEGATIVE_INFINITY;
  const currentServers = async (): Promise<readonly string[]> => {
    if (options.upstreams !== undefined) return options.upstreams;
    const nowMs = runtime.clock.monotonicMs();
    if (nowMs - readAtMs > rereadMs) {
      readAtMs = nowMs;
      servers = await usableServers(runtime, options.resolvConfs);
    }
    return servers;
  };
  const remember = (key: string, bytes: Uint8Array): void => {
    const keepMs = cacheMsOf(bytes);
    if (keepMs <= 0) return;
    const oldest = cache.keys().next().value;
    if (cache.size >= mostCached && oldest !== undefined) cache.delete(oldest);
    cache.set(key, { bytes, untilMs: runtime.clock.monotonicMs() + keepMs });
  };
  return {
    ask: async (query, over, signal) => {
      // All but the id is the question: flags and EDNS change the answer too.
      const key = `${over} ${query.subarray(2).toHex()}`;
      const known = cache.get(key);
      if (known !== undefined && known.untilMs > runtime.clock.monotonicMs()) {
        return withId(known.bytes, query);
      }
      cache.delete(key);
      for (const host of await currentServers()) {
        const ask = over === "udp" ? askUdp : askTcp;
        const bytes = await ask(runtime, query, { host, port }, signal);
        if (bytes === undefined) continue;
        remember(key, bytes);
        return withId(bytes, query);
      }
      return undefined;
    },
  };
}

/** Loopback servers are the node's own: what they forward to is in another file, or is us. */
export function serversOf(resolvConf: string): readonly string[] {
  return resolvConf
    .split("\n")
    .map((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1] ?? "")
    .filter((host) => host !== "" && !/^(127\.|::1$)/.test(host));
}

async function usableServers(
  runtime: Runtime,
  paths: readonly string[],
): Promise<readonly string[]> {
  for (const path of paths) {
    const found = serversOf((await runtime.files.readText(path)) ?? "");
    if (found.length > 0) return found;
  }
  return [lastResort];
}

/** Each question from a port of its own and with an id of its own: hard to guess for a forger. */
async function askUdp(
  runtime: Runtime,
  query: Uint8Array,
  to: UdpFrom,
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  const asked = query.slice();
  asked.set(runtime.random.bytes(2), 0);
  const limit = new AbortController();
  let reply: Uint8Array | undefined;
  const socket = await runtime.net.udp(
    to.host.includes(":") ? "::" : "0.0.0.0",
    0,
    (data, from) => {
      if (from.host !== to.host || from.port !== to.port || !answersTo(data, asked)) return;
      reply = data.slice();
      limit.abort();
    },
  );
  try {
    socket.send(asked, to);
    await runtime.clock.sleep(timeoutMs, AbortSignal.any([signal, limit.signal]));
    return reply;
  } finally {
    socket.close();
  }
}

async function askTcp(
  runtime: Runtime,
  query: Uint8Array,
  to: UdpFrom,
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  const limit = new AbortController();
  const either = AbortSignal.any([signal, limit.signal]);
  void runtime.clock.sleep(timeoutMs, either).then(() => limit.abort());
  try {
    const stream = await runtime.net.dial({ type: "tcp", ...to }, either);
    either.addEventListener("abort", () => stream.close(), { once: true });
    await writeMessage(stream.writable.getWriter(), query);
    const reply = await readMessage(stream.readable.getReader());
    return reply !== undefined && answersTo(reply, query) ? reply : undefined;
  } catch {
    return undefined; // the next server is asked
  } finally {
    limit.abort();
  }
}

function answersTo(reply: Uint8Array, query: Uint8Array): boolean {
  const isResponse = ((reply[2] ?? 0) & 0x80) !== 0;
  return reply.length >= 12 && isResponse && reply[0] === query[0] && reply[1] === query[1];
}

function withId(bytes: Uint8Array, query: Uint8Array): Uint8Array {
  const copy = bytes.slice();
  copy.set(query.subarray(0, 2), 0);
  return copy;
}

/** Failures are not kept; an answer lives as long as its shortest record, within bounds. */
function cacheMsOf(bytes: Uint8Array): number {
  let packet: DecodedPacket;
  try {
    packet = decode(bytes);
  } catch {
    return 0;
  }
  if (packet.flag_tc || !/^(NOERROR|NXDOMAIN)$/.test(packet.rcode)) return 0;
  const records = [...packet.answers, ...packet.authorities];
  const seconds = records.flatMap((record) => ("ttl" in record ? [record.ttl ?? 0] : []));
  return seconds.length === 0 ? 0 : Math.min(Math.min(...seconds) * 1000, longestCacheMs);
}
