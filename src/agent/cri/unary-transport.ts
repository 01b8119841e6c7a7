/**
 * Unary gRPC calls over an HTTP/2 session, and nothing else of the protocol: no compression, no
 * interceptors, one message each way. Starting a pod takes some twenty of them.
 */
import type { ClientHttp2Stream, IncomingHttpHeaders } from "node:http2";
import { create, type DescMessage, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, type Transport, type UnaryResponse } from "@connectrpc/connect";
import type { Http2SessionManager } from "@connectrpc/connect-node";

/** A flag (compressed or not) and the length stand before each message. */
const prefixSize = 5;
const cancelCode = 8;
const requestHeaders = { "content-type": "application/grpc+proto", te: "trailers" } as const;

/** Makes the `unary` of a transport whose streams go another way. */
export function unaryOver(session: Http2SessionManager): Transport["unary"] {
  return async (method, signal, timeoutMs, _header, input) => {
    const over = timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs);
    const both = [signal, over].filter((one) => one !== undefined);
    const stop = both.length > 1 ? AbortSignal.any(both) : both[0];
    if (stop?.aborted === true) throw canceled(stop);
    const path = `/${method.parent.typeName}/${method.name}`;
    const body = framed(toBinary(method.input, create(method.input, input)));
    let stream: ClientHttp2Stream;
    try {
      stream = await session.request("POST", path, requestHeaders, {});
    } catch (error) {
      throw unreachable(error);
    }
    const bytes = await exchange(stream, body, stop);
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

function framed(message: Uint8Array): Uint8Array {
  const frame = new Uint8Array(prefixSize + message.length);
  new DataView(frame.buffer).setUint32(1, message.length);
  frame.set(message, prefixSize);
  return frame;
}

/** Sends the one message and resolves with the one that comes back. */
function exchange(
  stream: ClientHttp2Stream,
  body: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
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
      if (headers["grpc-status"] !== undefined) status = headers;
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
    stream.end(body);
  });
}

function failureOf(status: IncomingHttpHeaders): ConnectError | undefined {
  const code = status["grpc-status"];
  if (code === "0") return undefined;
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
