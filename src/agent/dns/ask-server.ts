/** One question to one other server, over UDP, TCP or TLS. */
import type { Runtime } from "../../runtime/runtime.ts";
import { readMessage, writeMessage } from "./tcp-messages.ts";

export type Over = "udp" | "tcp";

export interface Server {
  readonly host: string;
  readonly port: number;
  /** TCP whatever the client came by. */
  readonly onlyTcp?: boolean;
  /** DNS over TLS (RFC 7858); the name its certificate must hold. */
  readonly tlsName?: string;
}

export interface Asked {
  readonly server: Server;
  readonly query: Uint8Array;
  readonly over: Over;
  readonly patienceMs: number;
  readonly signal: AbortSignal;
}

const timeoutMs = 2000;

/** Undefined when there is no answer in time. */
export async function askServer(runtime: Runtime, asked: Asked): Promise<Uint8Array | undefined> {
  const { server, over, signal } = asked;
  const limit = new AbortController();
  const either = AbortSignal.any([signal, limit.signal]);
  const waitMs = Math.min(timeoutMs, asked.patienceMs);
  // Each question with an id of its own, hard to guess for a forger.
  const query = Buffer.from(asked.query);
  query.set(runtime.random.bytes(2), 0);
  const overTcp = over === "tcp" || server.onlyTcp || server.tlsName !== undefined;
  void runtime.clock.sleep(waitMs, either).then(() => limit.abort());
  try {
    return await (overTcp ? byTcp : byUdp)(runtime, query, server, either);
  } catch {
    return undefined; // refused, unreachable or too late: the next one is asked
  } finally {
    limit.abort();
  }
}

/** From a port of its own, as hard to guess as the id. */
async function byUdp(
  runtime: Runtime,
  query: Uint8Array,
  { host, port }: Server,
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  const { promise, resolve } = Promise.withResolvers<Uint8Array | undefined>();
  const own = host.includes(":") ? "::" : "0.0.0.0";
  const socket = await runtime.net.udp(own, 0, (data, from) => {
    if (from.host === host && from.port === port && answersTo(data, query))
      resolve(Buffer.from(data));
  });
  const giveUp = (): void => resolve(undefined);
  signal.addEventListener("abort", giveUp, { once: true });
  try {
    if (!signal.aborted) socket.send(query, { host, port });
    return await (signal.aborted ? undefined : promise);
  } finally {
    signal.removeEventListener("abort", giveUp);
    socket.close();
  }
}

async function byTcp(
  runtime: Runtime,
  query: Uint8Array,
  { host, port, tlsName }: Server,
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  const tls = tlsName === undefined ? undefined : { serverName: tlsName };
  const stream = await runtime.net.dial({ type: "tcp", host, port }, signal, tls);
  signal.addEventListener("abort", () => stream.close(), { once: true });
  await writeMessage(stream.writable.getWriter(), query);
  const reply = await readMessage(stream.readable.getReader());
  return reply !== undefined && answersTo(reply, query) ? reply : undefined;
}

function answersTo(reply: Uint8Array, query: Uint8Array): boolean {
  const isResponse = ((reply[2] ?? 0) & 0x80) !== 0;
  return reply.length >= 12 && isResponse && reply[0] === query[0] && reply[1] === query[1];
}
