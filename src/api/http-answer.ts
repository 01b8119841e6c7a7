/** From ApiResponses and errors to HTTP responses. */
import { gzipSync } from "node:zlib";
import type { ApiError } from "../lib/api-error.ts";
import type { Typed } from "../schema/protobuf-encode.ts";
import { encodeAs, type Format, mediaTypes } from "./media.ts";
import { formatOfDocument } from "./negotiate.ts";
import { Pieces } from "./pieces.ts";
import type { ApiResponse } from "./request.ts";

const limits = {
  /** Smaller answers are not worth compressing. */
  gzipBytesMin: 128 * 1024,
  /** Longer lists are made while they are sent. */
  piecesBytesMin: 256 * 1024,
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

export function answerResponse(answer: ApiResponse, encoding: Encoding): Response {
  switch (answer.type) {
    case "object": {
      const bytes = jsonBytes(answer, encoding.pretty);
      const headers = new Headers({ "content-type": "application/json" });
      return bytesResponse(bytes, answer.status, headers, answer.warnings ?? [], encoding);
    }
    case "bytes": {
      const headers = new Headers({ "content-type": answer.contentType, ...answer.headers });
      return bytesResponse(answer.bytes, answer.status, headers, answer.warnings ?? [], encoding);
    }
    case "stream": {
      const headers = new Headers({ "content-type": answer.contentType, ...answer.headers });
      addWarnings(headers, answer.warnings ?? []);
      return new Response(answer.frames, { status: answer.status, headers });
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

function bytesResponse(
  body: Uint8Array | Pieces | string,
  status: number,
  headers: Headers,
  warnings: readonly string[],
  encoding: Encoding,
): Response {
  addWarnings(headers, warnings);
  if (encoding.isHead) return new Response(null, { status, headers });
  if (body instanceof Pieces && body.length >= limits.piecesBytesMin) {
    return piecesResponse(body, status, headers, encoding);
  }
  const bytes = body instanceof Pieces ? body.bytes() : body;
  if (!encoding.gzip || bytes.length < limits.gzipBytesMin) {
    // The listener sends a body of known length in one piece.
    headers.set("content-length", String(byteLength(bytes)));
    return new Response(bytes as Uint8Array<ArrayBuffer> | string, { status, headers });
  }
  headers.set("content-encoding", "gzip");
  headers.set("vary", "Accept-Encoding");
  const packed = gzipSync(bytes, { level: 1 });
  headers.set("content-length", String(packed.length));
  return new Response(packed, { status, headers });
}

function piecesResponse(
  pieces: Pieces,
  status: number,
  headers: Headers,
  encoding: Encoding,
): Response {
  if (encoding.gzip) {
    headers.set("content-encoding", "gzip");
    headers.set("vary", "Accept-Encoding");
    return new Response(pieces.gzipped(), { status, headers });
  }
  headers.set("content-length", String(pieces.length));
  return new Response(pieces.stream(), { status, headers });
}

function byteLength(bytes: Uint8Array | string): number {
  return typeof bytes === "string" ? Buffer.byteLength(bytes) : bytes.length;
}

/** A document that is no resource's answer, in the form the client reads. */
export function documentResponse(object: Typed, encoding: Encoding): Response {
  const format: Format = formatOfDocument(encoding.accept);
  const headers = new Headers({ "content-type": mediaTypes[format] });
  return bytesResponse(encodeAs(format, object, encoding.pretty), 200, headers, [], encoding);
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
export function statusResponse(error: ApiError, encoding: Encoding): Response {
  const status = error.toStatus();
  const headers = new Headers();
  const retryAfter = error.details?.retryAfterSeconds;
  if (retryAfter !== undefined) headers.set("retry-after", String(retryAfter));
  const format = formatOfDocument(encoding.accept);
  headers.set("content-type", mediaTypes[format]);
  const text = encodeAs(format, status, encoding.pretty);
  headers.set("content-length", String(byteLength(text)));
  const body = text as Uint8Array<ArrayBuffer> | string;
  return new Response(encoding.isHead ? null : body, { status: error.code, headers });
}

/** `299 - "text"`, each once, cut when there is much to warn about. */
export function addWarnings(headers: Headers, warnings: readonly string[]): void {
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
