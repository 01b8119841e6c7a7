/**
 * gRPC calls over an HTTP/2 session as the kubelet makes them, and nothing else of the protocol: no
 * compression, no interceptors, one message there and one or many back. A pod's life takes some
 * ten calls and as many events.
 */
import type { ClientHttp2Stream, IncomingHttpHeaders } from "node:http2";
import {
  create,
  type DescMessage,
  type DescMethod,
  fromBinary,
  type Message,
  toBinary,
} from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  type StreamResponse,
  type Transport,
  type UnaryResponse,
} from "@connectrpc/connect";
import type { Http2SessionManager } from "@connectrpc/connect-node";

/** A flag (compressed or not) and the length stand before each message. */
const prefixSize = 5;
const cancelCode = 8;
const requestHeaders = { "content-type": "application/grpc+proto", te: "trailers" } as const;

/** Makes the `unary` of a transport whose streams go another way. */
export function unaryOver(session: Http2SessionManager): Transport["unary"] {
  return async (method, signal, timeoutMs, _header, input) => {
    const stop = endOf(signal, timeoutMs);
    const stream = await open(session, method, create(method.input, input), stop);
    const bytes = await exchange(stream, stop);
    return {
      stream: false,
      service: method.parent,
      method,
      header: new Headers(),
      trailer: new Headers(),
      message: fromBinary(method.output, bytes),
    } as UnaryResponse<typeof method.input, typeof method.output & DescMessage>;
  };
}

/** Makes the `stream` of a transport for calls that are asked once and answered many times. */
export function streamOver(session: Http2SessionManager): Transport["stream"] {
  return async (method, signal, timeoutMs, _header, input) => {
    const stop = endOf(signal, timeoutMs);
    const [request] = await Array.fromAsync(input);
    const stream = await open(session, method, create(method.input, request), stop);
    return {
      stream: true,
      service: method.parent,
      method,
      header: new Headers(),
      trailer: new Headers(),
      message: messagesOf(stream, stop, (bytes) => fromBinary(method.output, bytes)),
    } as StreamResponse<typeof method.input, typeof method.output>;
  };
}

/** Sends the one message and opens the way for what comes back. */
async function open(
  session: Http2SessionManager,
  method: DescMethod,
  message: Message,
  stop: AbortSignal | undefined,
): Promise<ClientHttp2Stream> {
  if (stop?.aborted === true) throw canceled(stop);
  const path = `/${method.parent.typeName}/${method.name}`;
  try {
    const stream = await session.request("POST", path, requestHeaders, {});
    stream.end(framed(toBinary(method.input, message)));
    return stream;
  } catch (error) {
    throw unreachable(error);
  }
}

function endOf(
  signal: AbortSignal | undefined,
  timeoutMs: number | undefined,
): AbortSignal | undefined {
  const over = timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs);
  const both = [signal, over].filter((one) => one !== undefined);
  return both.length > 1 ? AbortSignal.any(both) : both[0];
}

function framed(message: Uint8Array): Uint8Array {
  const frame = new Uint8Array(prefixSize + message.length);
  new DataView(frame.buffer).setUint32(1, message.length);
  frame.set(message, prefixSize);
  return frame;
}

/** Resolves with the one message that comes back. */
function exchange(stream: ClientHttp2Stream, signal: AbortSignal | undefined): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let status: IncomingHttpHeaders = {};
    const onAbort = (): void => {
      stream.close(cancelCode);
      reject(canceled(signal));
    };
    signal?.addEventListener("abort", onAbort);
    stream.on("response", (headers) => {
      // An error without an answer comes in the headers alone.
      if (isLast(headers)) status = headers;
    });
    stream.on("trailers", (trailers) => {
      status = trailers;
    });
    stream.on("data", (chunk: Buffer) => void chunks.push(chunk));
    stream.on("error", (error) => reject(unreachable(error)));
    stream.on("close", () => {
      signal?.removeEventListener("abort", onAbort);
      const failure = failureOf(status);
      if (failure !== undefined) reject(failure);
      else resolve(Buffer.concat(chunks).subarray(prefixSize));
    });
  });
}

/** The messages as they come; leaving off early closes the stream. */
async function* messagesOf<T>(
  stream: ClientHttp2Stream,
  signal: AbortSignal | undefined,
  decode: (bytes: Uint8Array) => T,
): AsyncIterable<T> {
  const frames = new FrameReader();
  let status: IncomingHttpHeaders = {};
  let failure: Error | undefined;
  const noteStatus = (headers: IncomingHttpHeaders): void => {
    if (isLast(headers)) status = headers;
  };
  const onAbort = (): void => {
    failure = canceled(signal);
    stream.close(cancelCode);
  };
  let next = Promise.withResolvers<void>();
  let isOver = false;
  stream.on("response", noteStatus);
  stream.on("trailers", noteStatus);
  stream.on("data", (chunk: Buffer) => {
    frames.push(chunk);
    next.resolve();
  });
  stream.on("error", (error) => {
    failure ??= unreachable(error);
  });
  stream.on("close", () => {
    isOver = true;
    next.resolve();
  });
  signal?.addEventListener("abort", onAbort);
  try {
    for (;;) {
      for (let bytes = frames.take(); bytes !== undefined; bytes = frames.take()) {
        yield decode(bytes);
      }
      if (isOver) break;
      await next.promise;
      next = Promise.withResolvers<void>();
    }
    const told = failure ?? failureOf(status);
    if (told !== undefined) throw told;
  } finally {
    signal?.removeEventListener("abort", onAbort);
    stream.close(cancelCode);
  }
}

/** Cuts what arrives into messages again. */
class FrameReader {
  #chunk: Buffer = Buffer.alloc(0);

  push(chunk: Buffer): void {
    this.#chunk = this.#chunk.length === 0 ? chunk : Buffer.concat([this.#chunk, chunk]);
  }

  take(): Uint8Array | undefined {
    if (this.#chunk.length < prefixSize) return undefined;
    const end = prefixSize + this.#chunk.readUInt32BE(1);
    if (this.#chunk.length < end) return undefined;
    const bytes = this.#chunk.subarray(prefixSize, end);
    this.#chunk = this.#chunk.subarray(end);
    return bytes;
  }
}

/** True for headers after which nothing comes. */
function isLast(headers: IncomingHttpHeaders): boolean {
  const { ":status": http = 200 } = headers;
  return headers["grpc-status"] !== undefined || Number(http) !== 200;
}

function failureOf(status: IncomingHttpHeaders): ConnectError | undefined {
  const code = status["grpc-status"];
  if (code === "0") return undefined;
  // Who does not even know the path has no such service.
  if (Number(status[":status"]) === 404)
    return new ConnectError("unknown service", Code.Unimplemented);
  if (code === undefined) return new ConnectError("the answer broke off", Code.Unavailable);
  return new ConnectError(decodeURIComponent(`${status["grpc-message"] ?? ""}`), Number(code));
}

function canceled(signal: AbortSignal | undefined): ConnectError {
  const reason: unknown = signal?.reason;
  const isTimeout = reason instanceof Error && reason.name === "TimeoutError";
  return isTimeout
    ? new ConnectError("the operation timed out", Code.DeadlineExceeded)
    : new ConnectError("This operation was aborted", Code.Canceled);
}

function unreachable(error: unknown): ConnectError {
  const told = error instanceof ConnectError ? error.rawMessage : error;
  const message = told instanceof Error ? told.message : `${told}`;
  return new ConnectError(message, Code.Unavailable, undefined, undefined, error);
}
