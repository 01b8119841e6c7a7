/**
 * Passes a request to switch protocols on to another server. Only after that server has agreed do
 * bytes of the client reach it: an answer that refuses ends both connections, so that nothing can
 * be sent over a connection that carries our credentials (CVE-2018-1002105).
 */
import { ApiError } from "../lib/api-error.ts";
import { joinBytes } from "../lib/bytes.ts";
import { type HttpAnswer, readAnswer, readBody } from "../runtime/http-answer.ts";
import type { ByteStream, Clock } from "../runtime/runtime.ts";

const limits = { answerMs: 60_000 } as const;

export interface UpgradeHead {
  readonly method: string;
  readonly pathAndQuery: string;
  readonly host: string;
  /** What the client asked for, such as `websocket` or `SPDY/3.1`. */
  readonly protocol: string;
  /** Without those that are about the connection. */
  readonly headers: Iterable<readonly [name: string, value: string]>;
}

export interface TunnelOptions {
  readonly clock: Clock;
  /** False: an answer that leads elsewhere is told as an error, and not where it leads. */
  readonly passesRedirects: boolean;
}

/** Resolves when both sides have ended; throws ApiError when there is no answer to pass on. */
export async function passUpgrade(
  client: ByteStream,
  backend: ByteStream,
  head: UpgradeHead,
  options: TunnelOptions,
): Promise<void> {
  const over = new AbortController();
  void options.clock.sleep(limits.answerMs, over.signal).then(() => {
    if (!over.signal.aborted) backend.close();
  });
  try {
    await send(backend, encodeHead(head));
    const answer = await readAnswer(backend.readable).catch((error: unknown) => {
      const why = error instanceof Error ? error.message : String(error);
      throw new ApiError("ServiceUnavailable", `error trying to reach service: ${why}`);
    });
    over.abort();
    if (answer.status === 101) return await pipe(client, backend, answer);
    const leadsAway = answer.status >= 300 && answer.status < 400;
    if (leadsAway && !options.passesRedirects && answer.headers.has("location")) {
      throw redirectRefused();
    }
    await passRefusal(client, answer);
  } finally {
    over.abort();
    backend.close();
  }
}

/** In upstream's words; the client learns nothing of where the answer led. */
export function redirectRefused(): ApiError {
  const message = "the backend attempted to redirect this request, which is not permitted";
  return new ApiError("", message, { code: 502 });
}

/** As Go writes headers. The name of a user may hold anything: it must not begin a line. */
function oneLine(value: string): string {
  return value.replace(/[\r\n]/g, " ").trim();
}

function encodeHead({ method, pathAndQuery, host, protocol, headers }: UpgradeHead): Uint8Array {
  const lines = [
    `${method} ${pathAndQuery} HTTP/1.1`,
    `Host: ${host}`,
    "Connection: Upgrade",
    `Upgrade: ${protocol}`,
    ...[...headers].map(([name, value]) => `${name}: ${oneLine(value)}`),
  ];
  return new TextEncoder().encode(`${lines.join("\r\n")}\r\n\r\n`);
}

async function pipe(client: ByteStream, backend: ByteStream, answer: HttpAnswer): Promise<void> {
  await send(client, joinBytes([answer.raw, answer.rest]));
  answer.reader.releaseLock();
  await Promise.allSettled([
    client.readable.pipeTo(backend.writable),
    backend.readable.pipeTo(client.writable),
  ]);
  client.close();
}

/** The refusal as the backend told it, and the end of the client's connection. */
async function passRefusal(client: ByteStream, answer: HttpAnswer): Promise<void> {
  const { status, headers } = answer;
  const body = await readBody(answer);
  const kept = [...headers].filter(([name]) => !connectionHeaders.has(name));
  const lines = [
    `HTTP/1.1 ${status} Refused`,
    ...kept.map(([name, value]) => `${name}: ${value}`),
    `content-length: ${body.length}`,
    "connection: close",
  ];
  const head = new TextEncoder().encode(`${lines.join("\r\n")}\r\n\r\n`);
  await send(client, joinBytes([head, body]));
  await client.writable.close().catch(() => {}); // it may have gone already
  client.close();
}

const connectionHeaders: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "keep-alive",
  "transfer-encoding",
  "upgrade",
]);

async function send({ writable }: ByteStream, bytes: Uint8Array): Promise<void> {
  const writer = writable.getWriter();
  try {
    await writer.write(bytes);
  } finally {
    writer.releaseLock();
  }
}
