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

const answerLimitMs = 65_000;

function decode(bytes: Uint8Array, type: string, isWatch: boolean): Json {
  const text = new TextDecoder().decode(bytes);
  try {
    if (type.startsWith(protobufType)) return decodeProtobuf(bytes) as Json;
    if (type.startsWith("application/yaml")) return parseYaml(text) as Json;
    if (!type.startsWith("application/json")) return text;
    if (!isWatch) return JSON.parse(text) as Json;
    return text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as Json);
  } catch {
    return text;
  }
}

export async function send(server: Server, exchange: Exchange): Promise<Answer> {
  const { method, path, body } = exchange;
  const isText = typeof body === "string" || body instanceof Uint8Array || body === undefined;
  const headers: Record<string, string> = { "accept-encoding": "identity", ...exchange.headers };
  if (body !== undefined) headers["content-type"] ??= "application/json";
  const init: BunFetchRequestInit = {
    method,
    headers,
    tls: server.tls,
    redirect: "manual",
    signal: AbortSignal.timeout(answerLimitMs),
    ...(body === undefined ? {} : { body: isText ? (body as BodyInit) : JSON.stringify(body) }),
  };
  const answer = await fetch(server.url + path, init).catch((error: unknown) => String(error));
  // A server that panics ends the connection.
  if (typeof answer === "string") return { status: 0, headers: {}, body: answer };
  const bytes = new Uint8Array(await answer.arrayBuffer());
  const type = answer.headers.get("content-type") ?? "";
  const isWatch = /[?&]watch=(1|true)/.test(path) && answer.status === 200;
  return {
    status: answer.status,
    headers: Object.fromEntries(answer.headers),
    body: decode(bytes, type, isWatch),
  };
}
