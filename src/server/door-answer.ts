/** Small steps of sending an answer, the same for HTTP/2 and HTTP/1.1. */
import type { ServerResponse } from "node:http";
import type { Http2ServerResponse } from "node:http2";
import { AnswerHeaders, type HttpAnswer } from "../api/http-exchange.ts";
import type { ApiError } from "../lib/api-error.ts";

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

/** Both kinds of responses can do it; the types know of one only. */
export function flushHead(response: Http2ServerResponse | ServerResponse): void {
  if ("flushHeaders" in response) response.flushHeaders();
}

/** Resolves once the bytes have left for the client, so that a stop does not cut them off. */
export function whole(response: Http2ServerResponse, bytes: Uint8Array | string): Promise<void> {
  return new Promise((resolve) => {
    response.once("finish", resolve);
    response.once("close", resolve);
    response.end(bytes);
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

export function drained(response: Http2ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const finish = (): void => {
      response.off("drain", finish);
      response.off("close", finish);
      resolve();
    };
    response.on("drain", finish);
    response.on("close", finish);
  });
}
