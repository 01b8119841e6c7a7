/** The plain HTTP port on loopback that tells whether a part of the node lives. */
import type { ByteStream, Runtime } from "../runtime/runtime.ts";
import type { Scope } from "../runtime/scope.ts";

export interface HealthPortOptions {
  readonly runtime: Runtime;
  readonly scope: Scope;
  readonly port: number;
  /** Why the part is not well; undefined when it is. */
  readonly problem: () => string | undefined;
}

/** A port that another process has is only told of: nothing of the node depends on it. */
export async function startHealthPort(options: HealthPortOptions): Promise<void> {
  const { runtime, scope, port, problem } = options;
  try {
    const address = { type: "tcp", host: "127.0.0.1", port } as const;
    const listener = await runtime.net.listen(address, (stream) => {
      void answer(stream, problem()).catch(() => stream.close());
    });
    scope.defer(() => listener.close());
  } catch (error) {
    runtime.log.warn("Cannot open the health port", { port, error: `${error}` });
  }
}

async function answer(stream: ByteStream, problem: string | undefined): Promise<void> {
  const path = await requestPath(stream);
  const isKnown = path === "/healthz";
  const status = !isKnown ? "404 Not Found" : problem === undefined ? "200 OK" : "500 Error";
  const body = !isKnown ? "404 page not found\n" : (problem ?? "ok");
  const head = [
    `HTTP/1.1 ${status}`,
    "Content-Type: text/plain; charset=utf-8",
    `Content-Length: ${body.length}`,
    "Connection: close",
  ];
  const writer = stream.writable.getWriter();
  await writer.write(new TextEncoder().encode(`${head.join("\r\n")}\r\n\r\n${body}`));
  await writer.close();
}

const headBytesMax = 8 * 1024;

async function requestPath(stream: ByteStream): Promise<string> {
  const decoder = new TextDecoder();
  const reader = stream.readable.getReader();
  let text = "";
  while (!text.includes("\r\n\r\n") && text.length < headBytesMax) {
    const { done, value } = await reader.read();
    if (done) break;
    text += decoder.decode(value, { stream: true });
  }
  reader.releaseLock();
  return text.split(" ")[1]?.split("?")[0] ?? "";
}
