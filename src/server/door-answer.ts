/** Small steps of sending an answer, the same for HTTP/2 and HTTP/1.1. */
import type { Writable } from "node:stream";
import { AnswerHeaders, type HttpAnswer } from "../api/http-exchange.ts";
import type { ApiError } from "../lib/api-error.ts";
import type { Exchange } from "./door-exchange.ts";

/** Longer answers are sent piece by piece. */
const wholeBytesMax = 256 * 1024;

/** They belong to one connection and are ours to decide; HTTP/2 forbids them. */
const connectionHeaders: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
]);

/** Resolves once the bytes have left for the client, so that a stop does not cut them off. */
export function whole(exchange: Exchange, bytes: Uint8Array | string): Promise<void> {
  return new Promise((resolve) => {
    exchange.out.once("close", resolve);
    exchange.end(bytes);
  });
}

/** The lean form of what a web application answers. */
export async function answerOf(response: Response, isHead: boolean): Promise<HttpAnswer> {
  const headers = new AnswerHeaders();
  for (const [name, value] of response.headers) {
    if (!connectionHeaders.has(name)) headers.append(name, value);
  }
  const { status } = response;
  const length = Number(response.headers.get("content-length") ?? Number.NaN);
  if (length <= wholeBytesMax && !isHead) {
    // Head and body in one turn leave in one piece.
    return { status, headers, body: await response.bytes() };
  }
  return { status, headers, body: response.body ?? undefined };
}

export function refusal(error: ApiError): HttpAnswer {
  const headers = new AnswerHeaders({ "content-type": "application/json" });
  return { status: error.code, headers, body: JSON.stringify(error.toStatus()) };
}

/** Nobody waits for the answer any more. */
export function leave({ body }: HttpAnswer): void {
  if (body instanceof ReadableStream) void body.cancel().catch(() => {});
}

export function drained(out: Writable): Promise<void> {
  return new Promise((resolve) => {
    const finish = (): void => {
      out.off("drain", finish);
      out.off("close", finish);
      resolve();
    };
    out.on("drain", finish);
    out.on("close", finish);
  });
}
