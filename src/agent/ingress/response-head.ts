/** Reads the head of a backend's answer, and how its body is delimited. */
import {
  type Field,
  fieldOf,
  hasIllegalCharacters,
  isToken,
  listOf,
  parseFields,
} from "./header-fields.ts";
import { type Framing, noBody } from "./request-head.ts";

export interface ResponseHead {
  readonly status: number;
  readonly reason: string;
  readonly fields: readonly Field[];
  readonly connection: readonly string[];
  /** "close": the body lasts until the connection ends. */
  readonly framing: Framing | { readonly type: "close" };
  /** Whether the connection can carry another request afterwards. */
  readonly keepsAlive: boolean;
}

/** `head` without the empty line at its end; undefined when it cannot be relied on. */
export function parseResponseHead(head: string, method: string): ResponseHead | undefined {
  if (hasIllegalCharacters(head)) return undefined;
  const end = head.indexOf("\r\n");
  const line = end === -1 ? head : head.slice(0, end);
  const found = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: (.*))?$/.exec(line);
  if (found === null) return undefined;
  const [, minor, code, reason = ""] = found;
  const fields = parseFields(head, end === -1 ? head.length : end + 2);
  if (fields === undefined || fields === "too-many") return undefined;
  const status = Number(code);
  const connection = listOf(fieldOf(fields, "connection") ?? "");
  const framing = framingOf(fields, status, method);
  if (framing === undefined) return undefined;
  const keepsAlive =
    framing.type !== "close" &&
    (minor === "1" ? !connection.includes("close") : connection.includes("keep-alive"));
  return { status, reason, fields, connection, framing, keepsAlive };
}

function framingOf(
  fields: readonly Field[],
  status: number,
  method: string,
): ResponseHead["framing"] | undefined {
  const lengths = fields.filter(({ lower }) => lower === "content-length");
  const codings = fields.filter(({ lower }) => lower === "transfer-encoding");
  const [length] = lengths;
  const [coding] = codings;
  if (lengths.some(({ value }) => value !== length?.value)) return undefined;
  if (length !== undefined && !/^\d{1,15}$/.test(length.value)) return undefined;
  if (method === "HEAD" || status < 200 || status === 204 || status === 304) return noBody;
  if (coding !== undefined) {
    if (codings.length > 1 || length !== undefined) return undefined;
    return coding.value.toLowerCase() === "chunked" ? { type: "chunked" } : undefined;
  }
  if (length === undefined) return { type: "close" };
  return length.value === "0" ? noBody : { type: "length", bytes: Number(length.value) };
}

export function reasonOf(status: number, given: string): string {
  if (given !== "" && !/[^\t -~]/.test(given)) return given;
  return reasons[status] ?? (isToken(given) ? given : "Status");
}

const reasons: Readonly<Record<number, string>> = {
  100: "Continue",
  101: "Switching Protocols",
  200: "OK",
  204: "No Content",
  301: "Moved Permanently",
  302: "Found",
  307: "Temporary Redirect",
  308: "Permanent Redirect",
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  408: "Request Timeout",
  413: "Request Entity Too Large",
  414: "Request URI Too Long",
  417: "Expectation Failed",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
  505: "HTTP Version Not Supported",
};
