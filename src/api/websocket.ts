/**
 * Answers that stream (logs, watches) over a WebSocket, for clients that cannot read a long HTTP
 * answer: browsers. Nothing is read from the client but its goodbye.
 */
import { opcodes } from "../lib/websocket-frames.ts";
import type { ByteStream, Clock } from "../runtime/runtime.ts";
import { offeredProtocols, WebSocketPeer } from "../runtime/web-socket.ts";

/** What each message holds: a JSON event as text, or bytes as they come. */
export type MessageForm = "event" | "bytes";

const limits = { messageBytesMax: 64 * 1024 } as const;
/** Upstream's names; with base64 the bytes come as text. */
const protocols = ["base64.binary.k8s.io", "binary.k8s.io"] as const;
type Protocol = (typeof protocols)[number];

export interface Client {
  /** Of its request. */
  readonly headers: Headers;
  readonly stream: ByteStream;
}

/** Shakes hands, then sends `frames` until they end or the client leaves. */
export async function serveWebSocket(
  { headers, stream }: Client,
  clock: Clock,
  frames: ReadableStream<Uint8Array>,
  form: MessageForm,
): Promise<void> {
  const protocol = offeredProtocols(headers).find((one): one is Protocol =>
    (protocols as readonly string[]).includes(one),
  );
  const peer = new WebSocketPeer(stream, clock);
  const source = frames.getReader();
  const leave = (): void => void source.cancel().catch(() => {});
  try {
    await peer.accept(headers, protocol);
    void followClient(peer).then(leave, leave);
    for (;;) {
      const { done, value } = await source.read();
      if (done) break;
      for (const [opcode, payload] of messagesOf(value, form, protocol)) {
        await peer.send(opcode, payload);
      }
    }
  } finally {
    leave();
    await peer.close();
  }
}

async function followClient(peer: WebSocketPeer): Promise<void> {
  for await (const _piece of peer.messages()) {
    // It has nothing to say.
  }
}

function* messagesOf(
  bytes: Uint8Array,
  form: MessageForm,
  protocol: Protocol | undefined,
): Iterable<readonly [opcode: number, payload: Uint8Array]> {
  if (form === "event") {
    // A chunk holds whole events, one on each line.
    for (const line of new TextDecoder().decode(bytes).split("\n")) {
      if (line !== "") yield [opcodes.text, new TextEncoder().encode(line)];
    }
    return;
  }
  for (let at = 0; at < bytes.length; at += limits.messageBytesMax) {
    const part = bytes.subarray(at, at + limits.messageBytesMax);
    yield protocol === "base64.binary.k8s.io"
      ? [opcodes.text, new TextEncoder().encode(part.toBase64())]
      : [opcodes.binary, part];
  }
}
