/** Port-forward over a WebSocket: its messages carry the bytes of a SPDY connection. */
import { opcodes } from "../../lib/websocket-frames.ts";
import type { HttpAnswer } from "../../runtime/http-answer.ts";
import type { ByteStream } from "../../runtime/runtime.ts";
import type { WebSocketPeer } from "../../runtime/web-socket.ts";
import { bytesAfter } from "./open-spdy.ts";

const prefix = "SPDY/3.1+";

/** Names of the WebSocket's subprotocols that carry SPDY, as SPDY's. */
export function tunnelledProtocols(offered: readonly string[]): string[] {
  return offered
    .filter((name) => name.startsWith(prefix) && name.endsWith(".k8s.io"))
    .map((name) => name.slice(prefix.length));
}

/** The WebSocket's name for what the runtime chose. */
export function tunnelProtocol(answer: HttpAnswer): string | undefined {
  const chosen = answer.headers.get("x-stream-protocol-version")?.trim();
  return chosen ? `${prefix}${chosen}` : undefined;
}

/** Carries bytes both ways until either side ends. */
export async function serveTunnel(
  peer: WebSocketPeer,
  backend: ByteStream,
  answer: HttpAnswer,
): Promise<void> {
  const writer = backend.writable.getWriter();
  const sending = (async () => {
    let isOpen = true;
    for await (const { payload } of peer.messages()) {
      if (isOpen) await writer.write(payload).catch(() => (isOpen = false));
    }
  })().catch(() => {});
  void sending.then(() => backend.close());
  const answering = (async () => {
    for await (const bytes of bytesAfter(answer)) await peer.send(opcodes.binary, bytes);
  })();
  await answering.catch(() => {});
  await peer.close();
  backend.close();
  await sending;
}
