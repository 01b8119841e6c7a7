/** Answers of HTTP/1.1 on raw connections: those to requests for another protocol. */
import { joinBytes } from "../lib/bytes.ts";

const limits = { headBytesMax: 64 * 1024, bodyBytesMax: 1024 * 1024 } as const;

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Headers;
  /** The head as it came. */
  readonly raw: Uint8Array;
  /** What came right behind it. */
  readonly rest: Uint8Array;
  /** Has the lock on the connection. */
  readonly reader: ReadableStreamDefaultReader<Uint8Array>;
}

/** Throws when no answer comes. */
export async function readAnswer(readable: ReadableStream<Uint8Array>): Promise<HttpAnswer> {
  const reader = readable.getReader();
  let held: Uint8Array = new Uint8Array();
  for (;;) {
    const end = Buffer.from(held).indexOf("\r\n\r\n");
    if (end >= 0) {
      const raw = held.subarray(0, end + 4);
      const text = new TextDecoder("latin1").decode(raw);
      const [first = "", ...lines] = text.trimEnd().split("\r\n");
      const status = Number(/^HTTP\/1\.[01] (\d{3})(?: |$)/.exec(first)?.[1] ?? Number.NaN);
      if (Number.isNaN(status)) throw notHttp();
      const rest = held.subarray(end + 4);
      if (status >= 200 || status === 101) {
        return { status, headers: headersOf(lines), raw, rest, reader };
      }
      held = rest; // 100 Continue and its like are about this connection alone
      continue;
    }
    if (held.length > limits.headBytesMax) throw new Error("its answer's head is too long");
    const { done, value } = await reader.read();
    if (done) throw new Error("it closed the connection");
    held = joinBytes([held, value]);
  }
}

function notHttp(): Error {
  return new Error("its answer is not HTTP");
}

function headersOf(lines: readonly string[]): Headers {
  const headers = new Headers();
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon <= 0) throw notHttp();
    try {
      headers.append(line.slice(0, colon), line.slice(colon + 1).trim());
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      throw notHttp();
    }
  }
  return headers;
}

/** As much as the server says there is; without a length, what came along with the head. */
export async function readBody({ headers, rest, reader }: HttpAnswer): Promise<Uint8Array> {
  const length = Number(headers.get("content-length") ?? "0");
  if (!Number.isInteger(length) || length > limits.bodyBytesMax) return new Uint8Array();
  let body = rest;
  while (body.length < length) {
    const { done, value } = await reader.read().catch(() => ({ done: true, value: undefined }));
    if (done || value === undefined) break;
    body = joinBytes([body, value]);
  }
  return body.subarray(0, length);
}
