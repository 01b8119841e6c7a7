/**
 * exec and attach over a WebSocket of v5.channel.k8s.io, which can end its input: the runtime knows
 * no such WebSocket, so each channel becomes a stream of a SPDY connection to it.
 */
import { opcodes } from "../../lib/websocket-frames.ts";
import type { HttpAnswer } from "../../runtime/http-answer.ts";
import type { ByteStream } from "../../runtime/runtime.ts";
import type { DataPiece, WebSocketPeer } from "../../runtime/web-socket.ts";
import { bytesAfter } from "./open-spdy.ts";
import {
  dataFrame,
  pingFrame,
  resetFrame,
  type SpdyFrame,
  SpdyReader,
  StreamOpener,
} from "./spdy-frames.ts";

/** The WebSocket's subprotocol. */
export const closingProtocol = "v5.channel.k8s.io";
/** What SPDY calls it; the two differ in nothing there. */
export const spdyProtocols: readonly string[] = [closingProtocol, "v4.channel.k8s.io"];

const limits = { statusBytesMax: 64 * 1024 } as const;

export interface WantedStreams {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
}

/** Numbers that stand before each message; 255 says that the channel named behind it has ended. */
const channels = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4 } as const;
type ChannelName = keyof typeof channels;
const closeChannel = 255;

interface Stream {
  readonly name: ChannelName;
  readonly channel: number;
  readonly id: number;
}

export interface RemoteCommand {
  readonly peer: WebSocketPeer;
  readonly backend: ByteStream;
  /** The runtime's 101. */
  readonly answer: HttpAnswer;
  readonly wanted: WantedStreams;
}

/** Carries both directions until the command is over or the client has gone. */
export async function serveRemoteCommand(command: RemoteCommand): Promise<void> {
  const { peer, backend } = command;
  const session = new Session(command);
  await session.openStreams();
  const listening = session.followClient().catch(() => {});
  // Without a client nobody waits for the rest.
  void listening.then(() => backend.close());
  await session.followRuntime().catch(() => {});
  backend.close(); // frees who waits for the runtime to take input
  await session.sendStatus().catch(() => {});
  await peer.close();
  await listening;
}

class Session {
  readonly #peer: WebSocketPeer;
  readonly #answer: HttpAnswer;
  readonly #toRuntime: WritableStreamDefaultWriter<Uint8Array>;
  readonly #streams: readonly Stream[];
  /** Of streams that the runtime may still send on. */
  readonly #awaited: Set<number>;
  /** Of streams that we may still send on. */
  readonly #sending: Set<number>;
  #status: Uint8Array[] = [];
  #statusBytes = 0;
  /** Of the client's message that is being read. */
  #channel: number | undefined;

  constructor({ peer, backend, answer, wanted }: RemoteCommand) {
    this.#peer = peer;
    this.#answer = answer;
    this.#toRuntime = backend.writable.getWriter();
    const { stdin, stdout, stderr, tty } = wanted;
    const isWanted = { error: true, stdin, stdout, stderr: stderr && !tty, resize: tty };
    this.#streams = (Object.keys(isWanted) as ChannelName[])
      .filter((name) => isWanted[name])
      .map((name, i) => ({ name, channel: channels[name], id: 2 * i + 1 }));
    const ids = (...names: readonly ChannelName[]): Set<number> =>
      new Set(this.#streams.filter(({ name }) => names.includes(name)).map(({ id }) => id));
    this.#awaited = ids("error", "stdout", "stderr");
    this.#sending = ids("stdin", "resize");
  }

  async openStreams(): Promise<void> {
    const opener = new StreamOpener();
    for (const { name, id } of this.#streams) {
      await this.#toRuntime.write(opener.open(id, "streamtype", name));
    }
    // An empty message tells the client that everything is in place.
    const outputs = this.#streams.filter(({ id }) => this.#awaited.has(id));
    const first = Math.min(...outputs.map(({ channel }) => channel));
    await this.#peer.send(opcodes.binary, Uint8Array.of(first));
  }

  /** Reads until the client leaves; what the runtime does not want is thrown away. */
  async followClient(): Promise<void> {
    for await (const piece of this.#peer.messages()) await this.#fromClient(piece);
  }

  async #fromClient({ payload, isLast }: DataPiece): Promise<void> {
    let bytes = payload;
    if (this.#channel === undefined && bytes.length > 0) {
      this.#channel = bytes[0];
      bytes = bytes.subarray(1);
    }
    const isClose = this.#channel === closeChannel;
    const channel = isClose ? bytes[0] : this.#channel;
    const stream = this.#streams.find((one) => one.channel === channel);
    if (isLast) this.#channel = undefined;
    if (stream === undefined || !this.#sending.has(stream.id)) return;
    if (isClose) this.#sending.delete(stream.id);
    else if (bytes.length === 0) return;
    const frame = isClose
      ? dataFrame(stream.id, new Uint8Array(), true)
      : dataFrame(stream.id, bytes);
    // When the runtime has hung up, its answer is on the way.
    await this.#toRuntime.write(frame).catch(() => this.#sending.clear());
  }

  /** Reads until all outputs and the status have come, or the runtime hangs up. */
  async followRuntime(): Promise<void> {
    const reader = new SpdyReader();
    for await (const chunk of bytesAfter(this.#answer)) {
      for (const frame of reader.push(chunk)) {
        await this.#fromRuntime(frame);
        if (this.#awaited.size === 0) return;
      }
    }
  }

  async #fromRuntime(frame: SpdyFrame): Promise<void> {
    if (frame.type === "ping") {
      // Those with an odd number answer ours, and we send none.
      if (frame.id % 2 === 0) this.#tell(pingFrame(frame.id));
    } else if (frame.type === "open") {
      this.#tell(resetFrame(frame.stream));
    } else if (frame.type === "data") {
      await this.#output(frame.stream, frame.bytes);
    } else if (frame.type === "end") {
      this.#awaited.delete(frame.stream);
      // Whoever closes its end of the input reads no more of it.
      if (this.#sending.delete(frame.stream)) {
        this.#tell(dataFrame(frame.stream, new Uint8Array(), true));
      }
    }
  }

  /** Outputs must not wait until the runtime has taken all input. */
  #tell(frame: Uint8Array): void {
    this.#toRuntime.write(frame).catch(() => {});
  }

  async #output(id: number, bytes: Uint8Array): Promise<void> {
    const stream = this.#streams.find((one) => one.id === id);
    if (stream === undefined || !this.#awaited.has(id)) return;
    if (stream.name !== "error") {
      return this.#peer.send(opcodes.binary, Uint8Array.of(stream.channel), bytes);
    }
    this.#statusBytes += bytes.length;
    if (this.#statusBytes > limits.statusBytesMax) throw new Error("the status is too long");
    this.#status.push(bytes);
  }

  /** The command's status comes last, behind all of its output. */
  async sendStatus(): Promise<void> {
    const parts = this.#statusBytes > 0 ? this.#status : [brokenOff()];
    await this.#peer.send(opcodes.binary, Uint8Array.of(channels.error), ...parts);
  }
}

/** For a runtime that hung up and never said how the command ended. */
function brokenOff(): Uint8Array {
  const message = "Internal error occurred: the container runtime closed the connection";
  const status = {
    metadata: {},
    status: "Failure",
    message,
    reason: "InternalError",
    details: { causes: [{ message: "the container runtime closed the connection" }] },
    code: 500,
  };
  return new TextEncoder().encode(JSON.stringify(status));
}
