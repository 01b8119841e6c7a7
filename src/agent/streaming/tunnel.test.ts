import { expect, test } from "bun:test";
import { encodeFrame, FrameReader, opcodes } from "../../lib/websocket-frames.ts";
import type { ByteStream } from "../../runtime/runtime.ts";
import { createSimulatedRuntime } from "../../runtime/simulated.ts";
import { WebSocketPeer } from "../../runtime/web-socket.ts";
import { serveTunnel, tunnelledProtocols, tunnelProtocol } from "./tunnel.ts";

test("protocols of SPDY are told by their prefix, and chosen by the runtime", () => {
  const offered = ["v5.channel.k8s.io", "SPDY/3.1+portforward.k8s.io", "SPDY/3.1+other"];
  expect(tunnelledProtocols(offered)).toEqual(["portforward.k8s.io"]);
  const answer = (headers: Record<string, string>) => ({
    status: 101,
    headers: new Headers(headers),
    raw: new Uint8Array(),
    rest: new Uint8Array(),
    reader: new ReadableStream<Uint8Array>().getReader(),
  });
  const chosen = answer({ "x-stream-protocol-version": "portforward.k8s.io" });
  expect(tunnelProtocol(chosen)).toBe("SPDY/3.1+portforward.k8s.io");
  expect(tunnelProtocol(answer({}))).toBeUndefined();
});

test("bytes go both ways, and the end of one side ends the other", async () => {
  const [toPeer, fromPeer] = [new TransformStream(), new TransformStream()];
  const [toTunnel, fromTunnel] = [new TransformStream(), new TransformStream()];
  const runtimeEnd = toTunnel.writable.getWriter();
  let isClosed = false;
  const client: ByteStream = {
    readable: toPeer.readable,
    writable: fromPeer.writable,
    close: () => {},
  };
  const backend: ByteStream = {
    readable: toTunnel.readable,
    writable: fromTunnel.writable,
    close: () => {
      isClosed = true;
      runtimeEnd.close().catch(() => {});
    },
  };
  const peer = new WebSocketPeer(client, createSimulatedRuntime(1).clock);
  const answer = {
    status: 101,
    headers: new Headers(),
    raw: new Uint8Array(),
    rest: Uint8Array.of(1),
    reader: backend.readable.getReader(),
  };
  const served = serveTunnel(peer, backend, answer);
  const [say, heard] = [toPeer.writable.getWriter(), fromPeer.readable.getReader()];
  const next = async (): Promise<Uint8Array | undefined> => {
    const { value } = await heard.read();
    return [...new FrameReader().push(value ?? new Uint8Array())][0]?.payload;
  };
  expect(await next()).toEqual(Uint8Array.of(1));
  void runtimeEnd.write(Uint8Array.of(2, 3));
  expect(await next()).toEqual(Uint8Array.of(2, 3));
  const runtimeHeard = fromTunnel.readable.getReader();
  void say.write(encodeFrame(opcodes.binary, Uint8Array.of(4, 5)));
  expect((await runtimeHeard.read()).value).toEqual(Uint8Array.of(4, 5));
  void say.close();
  expect(await next()).toEqual(Uint8Array.of(0x03, 0xe8));
  await served;
  expect(isClosed).toBe(true);
});
