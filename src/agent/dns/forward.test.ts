import { afterEach, expect, test } from "bun:test";
import * as dns from "dns-packet";
import { createRuntime } from "../../runtime/real.ts";
import type { Runtime, UdpSocket } from "../../runtime/runtime.ts";
import type { Server } from "./ask-server.ts";
import { createForwarder } from "./forward.ts";

const real = createRuntime({ logLevel: "error" });
const never = new AbortController().signal;
const sockets: UdpSocket[] = [];

afterEach(() => {
  for (const socket of sockets.splice(0)) socket.close();
});

/** A server that answers with `ttl`, or never, and counts. */
async function startServer(ttl: number | "silent"): Promise<Server & { asked: number }> {
  const socket = await real.net.udp("127.0.0.1", 0, (data, from) => {
    server.asked += 1;
    if (ttl === "silent") return;
    const { id, questions } = dns.decode(data);
    const [{ name, type } = { name: "", type: "A" }] = questions;
    const isUnknown = name.toLowerCase() === "no.example";
    const soa = { mname: "a", rname: "b", serial: 1, refresh: 1, retry: 1, expire: 1, minimum: 2 };
    const reply = dns.encode({
      id,
      type: "response",
      flags: isUnknown ? 3 : 0,
      questions,
      answers: isUnknown || type !== "A" ? [] : [{ name, type: "A", ttl, data: "192.0.2.1" }],
      authorities: isUnknown ? [{ name: "example", type: "SOA", ttl: 900, data: soa }] : [],
    });
    socket.send(reply, from);
  });
  sockets.push(socket);
  const server = { host: "127.0.0.1", port: socket.port, asked: 0 };
  return server;
}

/** The real runtime with a clock that `pass` moves on. */
function movable(): { runtime: Runtime; pass: (ms: number) => void } {
  let ahead = 0;
  const clock = { ...real.clock, monotonicMs: () => real.clock.monotonicMs() + ahead };
  const pass = (ms: number): void => {
    ahead += ms;
  };
  return { runtime: { ...real, clock }, pass };
}

function query(name: string, id = 1): Uint8Array {
  const questions = [{ name, type: "A" }];
  return new Uint8Array(dns.encode({ id, type: "query", flags: 256, questions }));
}

test("an answer is kept as long as it lives, and grows old meanwhile", async () => {
  const server = await startServer(20);
  const { runtime, pass } = movable();
  const forwarder = createForwarder(runtime, { servers: async () => [server] });
  const ttlOf = async (id: number): Promise<unknown> => {
    const reply = dns.decode((await forwarder.ask(query("A.Example", id), "udp", never)) as never);
    expect(reply.id).toBe(id);
    expect(reply.questions[0]?.name).toBe("A.Example");
    return (reply.answers[0] as { ttl?: number }).ttl;
  };
  await forwarder.ask(query("a.example"), "udp", never);
  pass(7000);
  expect(await ttlOf(2)).toBe(13);
  expect(server.asked).toBe(1);
  pass(14_000);
  expect(await ttlOf(3)).toBe(20);
  expect(server.asked).toBe(2);
});

test("what does not exist is kept for as long as the zone says", async () => {
  const server = await startServer(20);
  const { runtime, pass } = movable();
  const forwarder = createForwarder(runtime, { servers: async () => [server] });
  const ask = () => forwarder.ask(query("no.example"), "udp", never);
  await ask();
  pass(1500);
  await ask();
  expect(server.asked).toBe(1);
  pass(1000);
  await ask();
  expect(server.asked).toBe(2);
});

test("a server that is silent is asked last for a while, and the same question once", async () => {
  const silent = await startServer("silent");
  const server = await startServer(0);
  const { runtime, pass } = movable();
  // A timeout passes at once, unless an answer comes first.
  const clock = {
    ...runtime.clock,
    sleep: (_ms: number, signal: AbortSignal) => real.clock.sleep(100, signal),
  };
  const options = { servers: async () => [silent, server] };
  const forwarder = createForwarder({ ...runtime, clock }, options);
  const both = await Promise.all([1, 2].map((id) => forwarder.ask(query("a.b", id), "udp", never)));
  expect(both.map((reply) => reply?.[1])).toEqual([1, 2]);
  expect([silent.asked, server.asked]).toEqual([1, 1]);
  await forwarder.ask(query("c.d"), "udp", never);
  expect([silent.asked, server.asked]).toEqual([1, 2]);
  pass(11_000);
  await forwarder.ask(query("e.f"), "udp", never);
  expect([silent.asked, server.asked]).toEqual([2, 3]);
});

test("nobody's answer is no answer", async () => {
  const forwarder = createForwarder(real, { servers: async () => [] });
  expect(await forwarder.ask(query("a.b"), "udp", never)).toBeUndefined();
});
