/** HTTP requests in which headers of one name are several lines: `fetch` joins them by commas. */
import { type IncomingMessage, request as requestPlainly } from "node:http";
import { request as requestByTls } from "node:https";
import { Readable } from "node:stream";
import type { ReadableStream as NodeStream } from "node:stream/web";
import { goTrust } from "./go-trust.ts";
import { readableOf } from "./readable.ts";
import type { FetchOptions } from "./runtime.ts";

const bodyless: ReadonlySet<number> = new Set([204, 205, 304]);

/** Sends `request` with the further `lines`; redirects are answered, not followed. */
export async function fetchWithLines(
  request: Request,
  lines: NonNullable<FetchOptions["headerLines"]>,
  tls: FetchOptions["tls"],
): Promise<Response> {
  const answer = await send(request, lines, tls);
  const headers = new Headers();
  for (let at = 0; at + 1 < answer.rawHeaders.length; at += 2) {
    headers.append(answer.rawHeaders[at] ?? "", answer.rawHeaders[at + 1] ?? "");
  }
  const status = answer.statusCode ?? 502;
  const isEmpty = bodyless.has(status) || request.method === "HEAD";
  const closedEarly = new Error("The connection was closed before the end of the answer");
  const body = isEmpty
    ? null
    : readableOf(answer, { closedEarly, cancel: () => void answer.destroy() });
  return new Response(body, { status, headers });
}

/** As Go writes them: in UTF-8, byte by byte, and on one line whatever they hold. */
function lineOf(value: string): string {
  const bytes = Buffer.from(value.replace(/[\r\n]/g, " ").trim());
  return bytes.toString("latin1");
}

function send(
  request: Request,
  lines: NonNullable<FetchOptions["headerLines"]>,
  tls: FetchOptions["tls"],
): Promise<IncomingMessage> {
  const { method, signal, body } = request;
  const headers: Record<string, string | string[]> = Object.fromEntries(request.headers);
  for (const [name, value] of lines) headers[name] = [headers[name] ?? [], lineOf(value)].flat();
  const { serverName, ...secrets } = tls ?? {};
  const names = serverName === undefined ? {} : { servername: serverName };
  const start = new URL(request.url).protocol === "https:" ? requestByTls : requestPlainly;
  return new Promise((resolve, reject) => {
    // A connection of its own: one that is kept would be shared by callers of other certificates.
    const options = {
      method,
      headers,
      signal,
      agent: false as const,
      ...secrets,
      ...names,
      ...goTrust,
    };
    const sent = start(request.url, options, resolve);
    sent.once("error", reject);
    if (body === null) sent.end();
    else
      Readable.fromWeb(body as unknown as NodeStream)
        .on("error", reject)
        .pipe(sent);
  });
}
