/** Requests of `node:http2` (and of HTTP/1.1 beside it) as web requests. */
import type { Http2ServerRequest } from "node:http2";
import { readableOf } from "../runtime/readable.ts";

/** Bodies up to this size are read whole before the handler runs: cheaper than a stream. */
const wholeBodyBytesMax = 64 * 1024;

/**
 * The segment of a path that steps to itself or up, decoded. URLs resolve such steps by
 * themselves, so that `DELETE .../pods/..` would become the deletion of a namespace.
 */
export function dotSegmentOf(target: string): string | undefined {
  const [path = ""] = target.split(/[?#]/, 1);
  const segments = path.split(/[/\\]/).map((segment) => segment.replace(/%2e/gi, "."));
  return segments.find((segment) => segment === "." || segment === "..");
}

/** Undefined when the target is not a plain path: proxies' forms are not ours to serve. */
function targetOf(request: Http2ServerRequest): { url: string; headers: Headers } | undefined {
  if (!request.url.startsWith("/") || dotSegmentOf(request.url) !== undefined) return undefined;
  const headers = new Headers();
  const raw = request.rawHeaders;
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? "";
    if (name === ":authority") headers.set("host", raw[i + 1] ?? "");
    else if (!name.startsWith(":")) headers.append(name, raw[i + 1] ?? "");
  }
  // The host is the client's word and part of no decision; routers want a plain one.
  return { url: `https://localhost${request.url}`, headers };
}

/** Undefined when the request cannot be expressed, which is the client's fault. */
export async function toWebRequest(
  request: Http2ServerRequest,
  signal: AbortSignal,
): Promise<Request | undefined> {
  const target = targetOf(request);
  const { method } = request;
  if (target === undefined || method === "CONNECT" || method === "TRACE") return undefined;
  const { url, headers } = target;
  try {
    if (method === "GET" || method === "HEAD") return new Request(url, { method, headers, signal });
    const length = Number(headers.get("content-length") ?? Number.NaN);
    const body =
      length === 0
        ? null
        : length <= wholeBodyBytesMax
          ? await wholeBody(request)
          : bodyStream(request);
    // Streams as bodies need `duplex`, which the DOM's types do not know.
    const init = { method, headers, signal, body, duplex: "half" };
    return new Request(url, init as RequestInit);
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

/** The head of a request to switch protocols. */
export function upgradeRequest(request: Http2ServerRequest): Request | undefined {
  const target = targetOf(request);
  if (target === undefined) return undefined;
  try {
    return new Request(target.url, { method: request.method, headers: target.headers });
  } catch {
    return undefined; // a method or header that the platform refuses
  }
}

function wholeBody(request: Http2ServerRequest): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = [];
    request.on("data", (chunk: Uint8Array) => chunks.push(chunk));
    request.on("end", () =>
      resolve(chunks.length === 1 ? (chunks[0] ?? new Uint8Array()) : Buffer.concat(chunks)),
    );
    request.on("error", reject);
    request.on("close", () => reject(new Error("The client went away")));
  });
}

function bodyStream(request: Http2ServerRequest): ReadableStream<Uint8Array> {
  // What still comes after a cancel is thrown away.
  const cancel = (): void => void request.resume();
  return readableOf(request, { closedEarly: new Error("The client went away"), cancel });
}
