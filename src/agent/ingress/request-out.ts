/** The head of a request as a backend gets it: without what was for us, with who asked. */
import type { Field } from "./header-fields.ts";
import type { EntryPoint } from "./route-table.ts";

/** What is needed of a request to pass it on, whatever protocol it came by. */
export interface Request {
  readonly method: string;
  /** As the client named it, with its port. */
  readonly host: string;
  readonly fields: readonly Field[];
  /** Fields that the client meant for us alone. */
  readonly connection: readonly string[];
  readonly entryPoint: EntryPoint;
  readonly clientIp: string;
}

export interface Outgoing {
  readonly target: string;
  /** Undefined: the client's. */
  readonly host: string | undefined;
  readonly forwardedPrefix: string | undefined;
}

/** Never passed on as they came; the framing is written anew. */
const ownFields: ReadonlySet<string> = new Set([
  "host",
  "connection",
  "keep-alive",
  "proxy-connection",
  "proxy-authenticate",
  "proxy-authorization",
  "te",
  "trailer",
  "transfer-encoding",
  "content-length",
  "upgrade",
  "expect",
  "http2-settings",
  "forwarded",
  "x-real-ip",
]);

/** Of an answer: what counts between a backend and us only. */
const answerFields: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "trailer",
  "transfer-encoding",
  "content-length",
  "upgrade",
]);

/** Programs that read fields from their environment take `_` for `-`. */
function isOwn(lower: string): boolean {
  const name = lower.includes("_") ? lower.replaceAll("_", "-") : lower;
  return ownFields.has(name) || name.startsWith("x-forwarded-");
}

/** The fields to pass on, without those of the connection. */
export function passedOn({ fields, connection }: Request): readonly Field[] {
  return fields.filter(({ lower }) => !isOwn(lower) && !connection.includes(lower));
}

/** What tells the backend whom it speaks to. */
export function forwardedFields(
  { host, entryPoint, clientIp }: Request,
  { forwardedPrefix }: Outgoing,
): readonly (readonly [name: string, value: string])[] {
  const isTls = entryPoint === "websecure";
  const fields: (readonly [string, string])[] = [
    ["X-Forwarded-For", clientIp],
    ["X-Forwarded-Host", host],
    ["X-Forwarded-Port", portOf(host) ?? (isTls ? "443" : "80")],
    ["X-Forwarded-Proto", isTls ? "https" : "http"],
    ["X-Real-Ip", clientIp],
  ];
  if (forwardedPrefix !== undefined) fields.push(["X-Forwarded-Prefix", forwardedPrefix]);
  return fields;
}

function portOf(host: string): string | undefined {
  return /:(\d+)$/.exec(host)?.[1];
}

/** The head up to its framing and empty line, which whoever sends it adds. */
export function requestText(request: Request, outgoing: Outgoing): string {
  const { method, host } = request;
  let text = `${method} ${outgoing.target} HTTP/1.1\r\nHost: ${outgoing.host ?? host}\r\n`;
  for (const { name, lower, value } of request.fields) {
    if (!isOwn(lower) && !request.connection.includes(lower)) text += `${name}: ${value}\r\n`;
  }
  for (const [name, value] of forwardedFields(request, outgoing)) text += `${name}: ${value}\r\n`;
  return text;
}

/** The fields of an answer for the client, without its framing and those that are `dropped`. */
export function answerFieldsOf(
  fields: readonly Field[],
  connection: readonly string[],
  dropped: readonly string[] = [],
): readonly Field[] {
  return fields.filter(
    ({ lower }) =>
      !answerFields.has(lower) && !connection.includes(lower) && !dropped.includes(lower),
  );
}
