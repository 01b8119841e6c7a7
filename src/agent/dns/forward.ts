/** Asks other servers what is not the cluster's, and remembers their answers for a while. */
import type { Runtime } from "../../runtime/runtime.ts";
import { createAnswerCache } from "./answer-cache.ts";
import { askServer, type Over, type Server } from "./ask-server.ts";

export interface Forwarder {
  /** The answer as the server sent it, with the id of `query`; undefined when nobody answers. */
  ask(query: Uint8Array, over: Over, signal: AbortSignal): Promise<Uint8Array | undefined>;
}

export interface ForwarderOptions {
  /** Whom to ask, first to last; asked for anew with every question. */
  readonly servers: () => Promise<readonly Server[]>;
  /** How the servers take turns; `sequential` asks the first as long as it answers. */
  readonly policy?: "random" | "round_robin" | "sequential";
  /** Answers are not kept longer. */
  readonly cacheMs?: number;
}

const limits = {
  cacheMs: 30_000,
  /** Clients ask again after five seconds: an answer later than that serves nobody. */
  patienceMs: 5000,
  /** A server that has not answered is asked after all others for so long. */
  restMs: 10_000,
} as const;

export function createForwarder(runtime: Runtime, options: ForwarderOptions): Forwarder {
  const { clock, random } = runtime;
  const cache = createAnswerCache(clock, options.cacheMs ?? limits.cacheMs);
  const restsUntilMs = new Map<string, number>();
  /** The same question asked twice is forwarded once. */
  const asking = new Map<string, Promise<Uint8Array | undefined>>();
  let turn = 0;

  const inOrder = async (): Promise<readonly Server[]> => {
    const servers = await options.servers();
    turn += 1;
    const first = { sequential: 0, round_robin: turn, random: random.int(servers.length || 1) };
    const start = first[options.policy ?? "sequential"] % (servers.length || 1);
    const turned = [...servers.slice(start), ...servers.slice(0, start)];
    const nowMs = clock.monotonicMs();
    const rests = (server: Server): boolean => (restsUntilMs.get(keyOf(server)) ?? 0) > nowMs;
    return [...turned.filter((one) => !rests(one)), ...turned.filter(rests)];
  };
  const askAll = async (
    query: Uint8Array,
    over: Over,
    signal: AbortSignal,
  ): Promise<Uint8Array | undefined> => {
    const giveUpMs = clock.monotonicMs() + limits.patienceMs;
    for (const server of await inOrder()) {
      const leftMs = giveUpMs - clock.monotonicMs();
      if (leftMs <= 0 || signal.aborted) break;
      const reply = await askServer(runtime, { server, query, over, patienceMs: leftMs, signal });
      if (reply !== undefined) {
        restsUntilMs.delete(keyOf(server));
        cache.put(query, over, reply);
        return reply;
      }
      restsUntilMs.set(keyOf(server), clock.monotonicMs() + limits.restMs);
    }
    return undefined;
  };
  return {
    ask: async (query, over, signal) => {
      const known = cache.get(query, over);
      if (known !== undefined) return known;
      const key = `${over} ${query.subarray(2).toHex()}`;
      const same = asking.get(key) ?? askAll(query, over, signal);
      asking.set(key, same);
      try {
        const reply = await same;
        return reply === undefined ? undefined : withId(reply, query);
      } finally {
        asking.delete(key);
      }
    },
  };
}

function keyOf({ host, port }: Server): string {
  return `${host} ${port}`;
}

function withId(bytes: Uint8Array, query: Uint8Array): Uint8Array {
  const copy = Buffer.from(bytes); // a slice of a Buffer would share its bytes
  copy.set(query.subarray(0, 2), 0);
  return copy;
}
