/**
 * What k3 is when it is called `etcd`: it keeps no data itself, but answers for its health and
 * tells the API server beside it which folder to store in. Tools that start a pair of
 * kube-apiserver and etcd (envtest) need no more of it.
 */
import type { ByteStream, Runtime } from "../runtime/runtime.ts";
import { StartError } from "./start-error.ts";

export interface EtcdDoorOptions {
  /** Where the API server is to keep its data; absolute. */
  readonly dataDir: string;
  readonly listen: readonly { readonly host: string; readonly port: number }[];
}

/** The path by which the API server asks; etcd has none of this name. */
const storePath = "/k3/store";
const headBytesMax = 16 * 1024;

/** Answers until `signal` aborts. */
export async function runEtcdDoor(
  { dataDir, listen }: EtcdDoorOptions,
  runtime: Runtime,
  signal: AbortSignal,
): Promise<void> {
  await runtime.files.mkdir(dataDir, 0o700);
  const answers: ReadonlyMap<string, unknown> = new Map<string, unknown>([
    ["/health", { health: "true", reason: "" }],
    ["/version", { etcdserver: "3.6.0", etcdcluster: "3.6.0", storage: "3.6.0" }],
    [storePath, { dataDir }],
  ]);
  const listeners = await Promise.all(
    listen.map(({ host, port }) =>
      runtime.net
        .listen({ type: "tcp", host, port }, (stream) => {
          answer(stream, answers).catch((error: unknown) => {
            runtime.log.debug("connection ended", { reason: String(error) });
            stream.close();
          });
        })
        .catch((cause: unknown) => {
          throw new StartError(`Cannot listen on ${host}:${port}: ${reasonOf(cause)}`, { cause });
        }),
    ),
  );
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
  for (const listener of listeners) listener.close();
}

/** One request per connection. */
async function answer(stream: ByteStream, answers: ReadonlyMap<string, unknown>): Promise<void> {
  const found = answers.get(await pathOf(stream));
  const body = found === undefined ? "404 page not found\n" : JSON.stringify(found);
  const head = [
    `HTTP/1.1 ${found === undefined ? "404 Not Found" : "200 OK"}`,
    `Content-Type: ${found === undefined ? "text/plain" : "application/json"}`,
    `Content-Length: ${body.length}`,
    "Connection: close",
  ];
  const writer = stream.writable.getWriter();
  await writer.write(new TextEncoder().encode(`${head.join("\r\n")}\r\n\r\n${body}`));
  await writer.close();
}

/** What a GET asks for; "" for whatever is no such request. */
async function pathOf(stream: ByteStream): Promise<string> {
  // Not for await: leaving that would close the stream before the answer.
  const reader = stream.readable.getReader();
  let head = "";
  while (!head.includes("\r\n\r\n") && head.length < headBytesMax) {
    const { value } = await reader.read();
    if (value === undefined) break;
    head += Buffer.from(value).toString("latin1");
  }
  return /^GET ([^ ?]+)/.exec(head)?.[1] ?? "";
}

/** The folder that the etcd at `url` names; throws StartError when it is not one of ours. */
export async function storeFolderOf(url: string, { net }: Pick<Runtime, "net">): Promise<string> {
  const response = await net.fetch(new Request(new URL(storePath, url))).catch((cause: unknown) => {
    throw new StartError(`Cannot reach ${url}: ${reasonOf(cause)}`, { cause });
  });
  const body: unknown = await response.json().catch(() => undefined);
  const folder = typeof body === "object" && body !== null && "dataDir" in body && body.dataDir;
  if (response.ok && typeof folder === "string") return folder;
  throw new StartError(
    `Cannot use --etcd-servers=${url}: it is not k3 called etcd, and other servers come later`,
  );
}

function reasonOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
