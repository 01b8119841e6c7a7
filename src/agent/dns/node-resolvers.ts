/**
 * The servers that the node itself asks. One of them that sends questions back to us would have
 * them go round for ever: each is sent a name that only we know, and is left out if it returns.
 */
import { encode } from "dns-packet";
import type { Runtime } from "../../runtime/runtime.ts";
import { askServer, type Server } from "./ask-server.ts";

export interface NodeResolvers {
  servers(): Promise<readonly Server[]>;
  /** Whether a question's name is one that was sent out to find loops; notes who brought it. */
  isOwnProbe(name: string): boolean;
}

export interface NodeResolverOptions {
  /** Files in resolv.conf format; the first that names a usable server is taken. */
  readonly paths: readonly string[];
  /** Where we listen. */
  readonly ownAddresses: readonly string[];
  readonly signal: AbortSignal;
}

const rereadMs = 10_000;
const probeLabelBytes = 12;
const probeMs = 2000;
/** What K3s falls back to when the node names no server that pods can use. */
const lastResort: Server = { host: "8.8.8.8", port: 53 };

export function nodeResolvers(runtime: Runtime, options: NodeResolverOptions): NodeResolvers {
  const { clock, log } = runtime;
  let servers: readonly Server[] = [];
  let readAtMs = Number.NEGATIVE_INFINITY;
  let reading: Promise<void> | undefined;
  const probes = new Map<string, Server>();
  const looping = new Set<string>();

  const probe = async (server: Server): Promise<void> => {
    const name = `${runtime.random.bytes(probeLabelBytes).toHex()}.loop`;
    probes.set(name, server);
    const query = encode({ type: "query", questions: [{ name, type: "HINFO" }] });
    const { signal } = options;
    await askServer(runtime, { server, query, over: "udp", patienceMs: probeMs, signal });
    probes.delete(name);
  };
  const reread = async (): Promise<void> => {
    const found = await usableServers(runtime, options);
    const isNew = ({ host }: Server): boolean => !servers.some((one) => one.host === host);
    for (const server of found.filter(isNew)) {
      looping.delete(server.host);
      void probe(server);
    }
    servers = found;
  };
  return {
    servers: async () => {
      const nowMs = clock.monotonicMs();
      if (nowMs - readAtMs > rereadMs) {
        readAtMs = nowMs;
        reading = reread();
      }
      await reading;
      return servers.filter(({ host }) => !looping.has(host));
    },
    isOwnProbe: (name) => {
      const server = probes.get(name);
      if (server === undefined) return false;
      if (!looping.has(server.host)) {
        log.error("A server of the node asks the cluster's DNS in turn: it is left out", {
          server: server.host,
        });
      }
      looping.add(server.host);
      return true;
    },
  };
}

/** Loopback servers are the node's own: what they forward to is in another file, or is us. */
export function serversOf(resolvConf: string): readonly Server[] {
  return resolvConf
    .split("\n")
    .map((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1] ?? "")
    .filter((host) => host !== "" && !/^(127\.|::1$)/.test(host))
    .map((host) => ({ host, port: 53 }));
}

async function usableServers(
  runtime: Runtime,
  { paths, ownAddresses }: NodeResolverOptions,
): Promise<readonly Server[]> {
  for (const path of paths) {
    const named = serversOf((await runtime.files.readText(path)) ?? "");
    const found = named.filter(({ host }) => !ownAddresses.includes(host));
    if (found.length > 0) return found;
  }
  return [lastResort];
}
