/** Asks a container runtime's streaming server for SPDY. */
import { type HttpAnswer, readAnswer } from "../../runtime/http-answer.ts";
import type { ByteStream } from "../../runtime/runtime.ts";

/** Sends the request; the caller looks whether the answer is 101. */
export async function askForSpdy(
  backend: ByteStream,
  target: URL,
  protocols: readonly string[],
): Promise<HttpAnswer> {
  const lines = [
    `POST ${target.pathname}${target.search} HTTP/1.1`,
    `Host: ${target.host}`,
    "Connection: Upgrade",
    "Upgrade: SPDY/3.1",
    "Content-Length: 0",
    ...protocols.map((protocol) => `X-Stream-Protocol-Version: ${protocol}`),
  ];
  const writer = backend.writable.getWriter();
  await writer.write(new TextEncoder().encode(`${lines.join("\r\n")}\r\n\r\n`));
  writer.releaseLock();
  return readAnswer(backend.readable);
}

/** What follows the answer, until the runtime ends it. */
export async function* bytesAfter({ rest, reader }: HttpAnswer): AsyncGenerator<Uint8Array> {
  if (rest.length > 0) yield rest;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}
