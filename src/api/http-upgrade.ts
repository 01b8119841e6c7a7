/** Requests that ask for another protocol: exec and its like, watches over WebSockets. */
import { ApiError } from "../lib/api-error.ts";
import type { ByteStream, Clock } from "../runtime/runtime.ts";
import { asksForWebSocket } from "../runtime/web-socket.ts";
import type { Aggregator } from "./aggregation/aggregator.ts";
import { recordAnswer } from "./audit/finish.ts";
import { unknownResource } from "./errors.ts";
import { streamOf } from "./http-exchange.ts";
import type { Pipeline } from "./pipeline.ts";
import type { ApiRequest } from "./request.ts";
import type { RequestEntry } from "./request-entry.ts";
import { isServed } from "./request-path.ts";
import { foreignAttributes, parseTarget, type ResourceRequests } from "./resource-requests.ts";
import { serveWebSocket } from "./websocket.ts";

export interface UpgradeParts {
  readonly pipeline: Pipeline;
  readonly resources: ResourceRequests;
  readonly clock: Clock;
  readonly entry: RequestEntry;
  /** API groups that other servers implement. */
  readonly aggregator: Aggregator | undefined;
}

/** Lets the pipeline hand the stream over; a refusal is written to it. */
export async function serveUpgrade(
  parts: UpgradeParts,
  request: Request,
  stream: ByteStream,
): Promise<void> {
  const { pipeline, resources, entry, aggregator } = parts;
  try {
    const user = await entry.enter();
    const url = new URL(request.url);
    const target = parseTarget(url.pathname);
    const foreign = aggregator?.find(url.pathname);
    if (foreign !== undefined && target !== undefined) {
      const attributes = foreignAttributes(pipeline.registry, request, target, user);
      await pipeline.authorize(attributes, entry.trail);
      await aggregator?.upgrade(foreign, request, user, stream);
      await entry.trail?.complete();
      return;
    }
    if (target === undefined || !isServed(pipeline.registry, target)) {
      throw unknownResource();
    }
    const by = { user, audit: entry.trail };
    const apiRequest = resources.requestFor(request, url.searchParams, target, by);
    await upgraded(parts, apiRequest, stream);
    await entry.trail?.complete();
  } catch (error) {
    if (!(error instanceof ApiError)) {
      await entry.trail?.panicked(error);
      throw error;
    }
    entry.trail?.failed(error);
    const head = new Response(null, { status: error.code });
    if (entry.trail !== undefined) await recordAnswer(entry.trail, head);
    await writeRefusal(stream, error);
  }
}

async function upgraded(
  parts: UpgradeParts,
  request: ApiRequest,
  stream: ByteStream,
): Promise<void> {
  if (request.verb !== "connect" && asksForWebSocket(request.headers ?? new Headers())) {
    return webSocket(parts, request, stream);
  }
  await parts.pipeline.upgrade(request, stream);
}

/** Watches and logs may come over a WebSocket; nothing else may. */
async function webSocket(
  { pipeline, clock }: UpgradeParts,
  request: ApiRequest,
  stream: ByteStream,
): Promise<void> {
  const isLog = request.subresource === "log";
  if (!isLog && request.verb !== "watch") return pipeline.upgrade(request, stream);
  const headers = request.headers ?? new Headers();
  const gone = new AbortController();
  const answer = await pipeline.handle({ ...request, signal: gone.signal });
  if (answer.type !== "stream") throw new ApiError("BadRequest", "this does not stream");
  await request.audit?.switching();
  const { frames } = answer;
  const readable = frames instanceof ReadableStream ? frames : streamOf(frames);
  try {
    await serveWebSocket({ headers, stream }, clock, readable, isLog ? "bytes" : "event");
  } finally {
    gone.abort();
  }
}

/** Answers an upgrade with a Status, as a plain HTTP/1.1 response. */
async function writeRefusal(stream: ByteStream, error: ApiError): Promise<void> {
  const body = new TextEncoder().encode(JSON.stringify(error.toStatus()));
  const head =
    `HTTP/1.1 ${error.code} ${error.reason || "Error"}\r\ncontent-type: application/json\r\n` +
    `content-length: ${body.length}\r\nconnection: close\r\n\r\n`;
  const writer = stream.writable.getWriter();
  try {
    await writer.write(Buffer.concat([new TextEncoder().encode(head), body]));
    await writer.close();
  } finally {
    stream.close();
  }
}
