/** Sends one request to one server and reads the whole answer. */
import { parse as parseYaml } from "yaml";
import { decodeProtobuf, protobufType } from "../../src/schema/protobuf-decode.ts";
import type { Server } from "./servers.ts";

export type Json = null | boolean | number | string | Json[] | JsonObject;
export interface JsonObject {
  [name: string]: Json;
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export interface Exchange {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** An object is sent as JSON; text and bytes as they are. */
  readonly body?: JsonObject | readonly Json[] | string | Uint8Array;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Decoded JSON, YAML or protobuf; the events of a watch; otherwise the text. */
  readonly body: Json;
}

const limitsMs = { answer: 20_000, watch: 3000 } as const;

/** A length and the bytes behind it, as protobuf writes a member: `[bytes, what is left]`. */
function member(bytes: Uint8Array): readonly [Uint8Array, Uint8Array] {
  let length = 0;
  let at = 1;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++] ?? 0;
    length |= (byte & 0x7f) << shift;
    if (byte < 0x80) return [bytes.subarray(at, at + length), bytes.subarray(at + length)];
  }
}

/** Frames of a length and an event: its type, and the object in an envelope. */
function protobufEvents(bytes: Uint8Array): Json {
  const events: Json[] = [];
  let rest = bytes;
  while (rest.length > 0) {
    const length = new DataView(rest.buffer, rest.byteOffset).getUint32(0);
    const [type, object] = member(rest.subarray(4, 4 + length));
    const [envelope] = member(member(object)[0]);
    events.push({
      type: new TextDecoder().decode(type),
      object: decodeProtobuf(envelope) as Json,
    });
    rest = rest.subarray(4 + length);
  }
  return events;
}

function decode(bytes: Uint8Array, type: string, isWatch: boolean): Json {
  const text = new TextDecoder().decode(bytes);
  try {
    if (type.startsWith(protobufType) && isWatch) return protobufEvents(bytes);
    if (type.startsWith(protobufType)) return decodeProtobuf(bytes) as Json;
    if (type.startsWith("application/yaml")) return parseYaml(text) as Json;
    if (!/^application\/(json|[\w-]+\+json)/.test(type)) return text;
    const isList =
      text.startsWith("{") && text.trimEnd().endsWith("]}") && !text.includes('"type"');
    if (!isWatch || isList) return JSON.parse(text) as Json;
    return text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as Json);
  } catch {
    return text;
  }
}

/** What arrives until the end or the time limit: a watch may have no end of its own. */
async function readAll(answer: Response): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  try {
    for await (const part of answer.body ?? []) parts.push(part);
  } catch (error) {
    if (!(error instanceof Error || error instanceof DOMException)) throw error;
  }
  return Buffer.concat(parts);
}

export async function send(server: Server, exchange: Exchange): Promise<Answer> {
  const { method, path, body } = exchange;
  const isText = typeof body === "string" || body instanceof Uint8Array || body === undefined;
  const headers: Record<string, string> = { "accept-encoding": "identity", ...exchange.headers };
  if (body !== undefined) headers["content-type"] ??= "application/json";
  const asksToWatch = /[?&/]watch[=/]/.test(path);
  const init: BunFetchRequestInit = {
    method,
    headers,
    tls: server.tls,
    redirect: "manual",
    signal: AbortSignal.timeout(asksToWatch ? limitsMs.watch : limitsMs.answer),
    ...(body === undefined ? {} : { body: isText ? (body as BodyInit) : JSON.stringify(body) }),
  };
  const answer = await fetch(server.url + path, init).catch((error: unknown) => String(error));
  // A server that panics ends the connection.
  if (typeof answer === "string") return { status: 0, headers: {}, body: answer };
  const bytes = await readAll(answer);
  const type = answer.headers.get("content-type") ?? "";
  return {
    status: answer.status,
    headers: Object.fromEntries(answer.headers),
    body: decode(bytes, type, asksToWatch && answer.status === 200),
  };
}
