import { expect, test } from "bun:test";
import { createRuntime } from "./real.ts";
import type { ByteStream } from "./runtime.ts";
import { joinStreams, TunnelSession } from "./tunnel-session.ts";
import { openWebSocket, WebSocketPeer } from "./web-socket.ts";

const runtime = createRuntime({ logLevel: "error" });
const loopback = { type: "tcp", host: "127.0.0.1", port: 0 } as const;
const never = new AbortController().signal;

interface Pair extends Disposable {
  /** The end that a server has. */
  readonly server: TunnelSession;
  /** Ends the agent's end as if it were switched off. */
  cut(): void;
  readonly ended: Promise<unknown>;
}

/** The head of a request; what follows stays in the stream. */
async function headersOf(stream: ByteStream): Promise<Headers> {
  const reader = stream.readable.getReader();
  let text = "";
  while (!text.includes("\r\n\r\n")) {
    const { value } = await reader.read();
    text += new TextDecoder().decode(value);
  }
  reader.releaseLock();
  const key = /^sec-websocket-key: (.*)\r$/im.exec(text)?.[1] ?? "";
  return new Headers({ "sec-websocket-key": key });
}

/** A tunnel by which the server may have the agent dial `port`. */
async function tunnelTo(port: number): Promise<Pair> {
  const accepted = Promise.withResolvers<WebSocketPeer>();
  const door = await runtime.net.listen(loopback, async (stream) => {
    const headers = await headersOf(stream);
    const peer = new WebSocketPeer(stream, runtime.clock);
    await peer.accept(headers, undefined);
    accepted.resolve(peer);
  });
  const stream = await runtime.net.dial({ ...loopback, port: door.port }, never);
  const peer = await openWebSocket(stream, { host: "here", path: "/" }, runtime);
  const agent = new TunnelSession({
    runtime,
    peer,
    isClient: true,
    placeOf: (protocol, address) =>
      protocol === "tcp" && address === `127.0.0.1:${port}`
        ? { host: "127.0.0.1", port }
        : undefined,
  });
  agent.run(never).catch(() => {});
  const server = new TunnelSession({
    runtime,
    peer: await accepted.promise,
    isClient: false,
    placeOf: () => undefined,
  });
  const ended = server.run(never).catch((error: unknown) => error);
  return { server, ended, cut: () => stream.close(), [Symbol.dispose]: () => door.close() };
}

/** A server that sends back what it is sent. */
const listenEcho = () =>
  runtime.net.listen(loopback, (stream) => {
    stream.readable.pipeTo(stream.writable).catch(() => {});
  });

async function readBytes(stream: ByteStream, count: number): Promise<Uint8Array> {
  const reader = stream.readable.getReader();
  const parts: Uint8Array[] = [];
  for (let bytes = 0; bytes < count; ) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    bytes += value.length;
  }
  reader.releaseLock();
  return Buffer.concat(parts);
}

test("connections carry bytes both ways, whatever readers of others are like", async () => {
  const echo = await listenEcho();
  using tunnel = await tunnelTo(echo.port);
  const address = `127.0.0.1:${echo.port}`;
  const [slow, quick] = [tunnel.server.dial("tcp", address), tunnel.server.dial("tcp", address)];
  const sent = Uint8Array.from({ length: 12 << 20 }, (_, i) => i * 7);
  const writer = slow.writable.getWriter();
  const writing = (async () => {
    for (let at = 0; at < sent.length; at += 1 << 16)
      await writer.write(sent.slice(at, at + 65_536));
  })();
  // Nobody reads the first: it must hold up neither the second nor, once read, itself.
  const greeting = new TextEncoder().encode("hello");
  await quick.writable.getWriter().write(greeting);
  expect(await readBytes(quick, greeting.length)).toEqual(Buffer.from(greeting));
  expect(Buffer.compare(await readBytes(slow, sent.length), sent)).toBe(0);
  await writing;
  slow.close();
  quick.close();
  echo.close();
});

test("the far end's farewell, its refusal and its silence are told", async () => {
  const greeter = await runtime.net.listen(loopback, async (stream) => {
    const writer = stream.writable.getWriter();
    await writer.write(new TextEncoder().encode("bye"));
    await writer.close();
  });
  using tunnel = await tunnelTo(greeter.port);
  const address = `127.0.0.1:${greeter.port}`;
  const all = await new Response(tunnel.server.dial("tcp", address).readable).text();
  expect(all).toBe("bye");
  const elsewhere = tunnel.server.dial("tcp", "192.0.2.1:80");
  await expect(new Response(elsewhere.readable).text()).rejects.toThrow("connect not allowed");
  greeter.close();
  const closed = tunnel.server.dial("tcp", address);
  await expect(new Response(closed.readable).text()).rejects.toThrow(/refused/i);
});

test("a tunnel that is cut ends what goes by it", async () => {
  const echo = await listenEcho();
  using tunnel = await tunnelTo(echo.port);
  const stream = tunnel.server.dial("tcp", `127.0.0.1:${echo.port}`);
  await stream.writable.getWriter().write(Uint8Array.of(1));
  expect(await readBytes(stream, 1)).toEqual(Buffer.of(1));
  tunnel.cut();
  await expect(readBytes(stream, 1)).rejects.toThrow("tunnel disconnect");
  await tunnel.ended;
  echo.close();
});

test("joinStreams() ends both when one ends, after its last bytes", async () => {
  const echo = await listenEcho();
  using tunnel = await tunnelTo(echo.port);
  const port = await runtime.net.listen(loopback, (stream) => {
    void joinStreams(stream, tunnel.server.dial("tcp", `127.0.0.1:${echo.port}`));
  });
  const client = await runtime.net.dial({ ...loopback, port: port.port }, never);
  const writer = client.writable.getWriter();
  await writer.write(new Uint8Array(100_000));
  expect((await readBytes(client, 100_000)).length).toBe(100_000);
  client.close();
  port.close();
  echo.close();
});
