/** JSON, one message a line, over the socket between the node's agent and the ingress process. */
import type { ByteStream } from "../../runtime/runtime.ts";

/** Far beyond any table; what is longer is no message of ours. */
const lineCharactersMax = 256 * 1024 * 1024;

export class LinesOut {
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;

  constructor(stream: ByteStream) {
    this.#writer = stream.writable.getWriter();
    // A broken connection is noticed by who reads.
    this.#writer.closed.catch(() => {});
  }

  send(message: unknown): void {
    this.#writer.write(new TextEncoder().encode(`${JSON.stringify(message)}\n`)).catch(() => {});
  }
}

/** Ends when the connection does. */
export async function* linesIn<T>(stream: ByteStream): AsyncIterable<T> {
  const decoder = new TextDecoder();
  let parts: string[] = [];
  let length = 0;
  for await (const bytes of stream.readable) {
    const [first = "", ...others] = decoder.decode(bytes, { stream: true }).split("\n");
    parts.push(first);
    length += first.length;
    if (length > lineCharactersMax) return;
    for (const other of others) {
      yield JSON.parse(parts.join("")) as T;
      parts = [other];
      length = other.length;
    }
  }
}
