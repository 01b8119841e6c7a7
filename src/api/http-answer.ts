/** From ApiResponses and errors to HTTP answers. */
import { gzipSync } from "node:zlib";
import type { ApiError } from "../lib/api-error.ts";
import type { Typed } from "../schema/protobuf-encode.ts";
import { AnswerHeaders, type HttpAnswer } from "./http-exchange.ts";
import { encodeAs, type Format, mediaTypes } from "./media.ts";
import { formatOfDocument } from "./negotiate.ts";
import { Pieces } from "./pieces.ts";
import type { ApiResponse } from "./request.ts";

const limits = {
  /** Smaller answers are not worth compressing. */
  gzipBytesMin: 128 * 1024,
  warningCharactersMax: 256,
  warningsCharactersMax: 4096,
} as const;

/** How the client wants the bytes. */
export interface Encoding {
  readonly pretty: boolean;
  readonly gzip: boolean;
  readonly accept: string;
  readonly isHead: boolean;
}

/** The answer to a request for a resource. */
export function httpAnswer(answer: ApiResponse, encoding: Encoding): HttpAnswer {
  const { status, warnings = [] } = answer;
  switch (answer.type) {
    case "object": {
      const headers = new AnswerHeaders({ "content-type": "application/json" });
      addWarnings(headers, warnings);
      return bytesAnswer(jsonBytes(answer, encoding.pretty), status, headers, encoding);
    }
    case "bytes": {
      const headers = new AnswerHeaders({ "content-type": answer.contentType, ...answer.headers });
      addWarnings(headers, warnings);
      return bytesAnswer(answer.bytes, status, headers, encoding);
    }
    case "stream": {
      const headers = new AnswerHeaders({ "content-type": answer.contentType, ...answer.headers });
      addWarnings(headers, warnings);
      return { status, headers, body: answer.frames };
    }
  }
}

function jsonBytes(
  answer: ApiResponse & { readonly type: "object" },
  pretty: boolean,
): Uint8Array | Pieces | string {
  if (pretty) return encodeAs("json", answer.object, pretty);
  return answer.json?.() ?? JSON.stringify(answer.object);
}

function bytesAnswer(
  body: Uint8Array | Pieces | string,
  status: number,
  headers: AnswerHeaders,
  encoding: Encoding,
): HttpAnswer {
  if (encoding.isHead) return { status, headers, body: undefined };
  const isPacked = encoding.gzip && (body instanceof Pieces || body.length >= limits.gzipBytesMin);
  if (isPacked) {
    headers.set("content-encoding", "gzip");
    headers.set("vary", "Accept-Encoding");
  }
  if (body instanceof Pieces) return { status, headers, body: isPacked ? body.gzipped() : body };
  const bytes = isPacked ? gzipSync(body, { level: 1 }) : body;
  // The listener sends a body of known length in one piece.
  headers.set("content-length", String(byteLength(bytes)));
  return { status, headers, body: bytes };
}

function byteLength(bytes: Uint8Array | string): number {
  return typeof bytes === "string" ? Buffer.byteLength(bytes) : bytes.length;
}

/** A document that is no resource's answer, in the form the client reads. */
export function documentAnswer(object: Typed, encoding: Encoding): HttpAnswer {
  const format: Format = formatOfDocument(encoding.accept);
  const headers = new AnswerHeaders({ "content-type": mediaTypes[format] });
  return bytesAnswer(encodeAs(format, object, encoding.pretty), 200, headers, encoding);
}

export function jsonResponse(object: unknown, status: number): Response {
  const text = JSON.stringify(object);
  const headers = {
    "content-type": "application/json",
    "content-length": String(byteLength(text)),
  };
  return new Response(text, { status, headers });
}

/** The Status of an error, in the format the client reads. */
export function statusAnswer(error: ApiError, encoding: Encoding): HttpAnswer {
  const status = error.toStatus();
  const headers = new AnswerHeaders();
  const retryAfter = error.details?.retryAfterSeconds;
  if (retryAfter !== undefined) headers.set("retry-after", String(retryAfter));
  addWarnings(headers, error.warnings);
  const format = formatOfDocument(encoding.accept);
  headers.set("content-type", mediaTypes[format]);
  const text = encodeAs(format, status, encoding.pretty);
  headers.set("content-length", String(byteLength(text)));
  return { status: error.code, headers, body: encoding.isHead ? undefined : text };
}

/** `299 - "text"`, each once, cut when there is much to warn about. */
export function addWarnings(headers: AnswerHeaders, warnings: readonly string[]): void {
  if (warnings.length === 0) return;
  const distinct = [...new Set(warnings)];
  const total = distinct.reduce((sum, text) => sum + text.length, 0);
  let left: number = limits.warningsCharactersMax;
  for (const text of distinct) {
    const cut =
      total > limits.warningsCharactersMax ? text.slice(0, limits.warningCharactersMax) : text;
    if (cut.length > left) return;
    left -= cut.length;
    headers.append("warning", `299 - "${quoted(cut)}"`);
  }
}

function quoted(text: string): string {
  return text.replace(/[^ -~]/g, "?").replace(/[\\"]/g, "\\$&");
}
