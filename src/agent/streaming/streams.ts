/**
 * exec, attach and port-forward. What the runtime's streaming server speaks itself is never parsed:
 * the request head is replayed to it, then bytes are piped. Newer WebSockets become SPDY.
 */
import { readBody } from "../../runtime/http-answer.ts";
import type { ByteStream } from "../../runtime/runtime.ts";
import { asksForWebSocket, offeredProtocols, WebSocketPeer } from "../../runtime/web-socket.ts";
import { criMessage } from "../cri/client.ts";
import { latestOf } from "../kubelet/cri-state.ts";
import type { Kubelet } from "../kubelet/kubelet.ts";
import { HttpError } from "./http-error.ts";
import { askForSpdy } from "./open-spdy.ts";
import {
  closingProtocol,
  serveRemoteCommand,
  spdyProtocols,
  type WantedStreams,
} from "./remote-command.ts";
import { serveTunnel, tunnelledProtocols, tunnelProtocol } from "./tunnel.ts";

export interface ContainerRef {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
}

/** The head of a request that asks for an upgrade. */
export interface UpgradeHead {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  /** In the order they came, names as they were sent. */
  readonly headers: readonly (readonly [string, string])[];
}

/** The head of an upgrade that a listener has turned into a web request. */
export function upgradeHead(request: Request): UpgradeHead {
  const { pathname, search } = new URL(request.url);
  return { method: request.method, url: `${pathname}${search}`, headers: [...request.headers] };
}

type Kind = "exec" | "attach" | "portForward";

interface StreamRequest {
  readonly kind: Kind;
  readonly ref: ContainerRef;
  readonly query: URLSearchParams;
}

function parseStream(url: string): StreamRequest {
  const parsed = new URL(url, "http://localhost");
  const [, kind, namespace, pod, ...rest] = parsed.pathname.split("/").map(decodeURIComponent);
  const isKnown = kind === "exec" || kind === "attach" || kind === "portForward";
  if (!isKnown || namespace === undefined || pod === undefined) {
    throw new HttpError(404, "404 page not found");
  }
  // An optional uid stands before the container's name.
  const container = rest[rest.length - 1] ?? "";
  return { kind, ref: { namespace, pod, container }, query: parsed.searchParams };
}

/** Serves one request to switch protocols, until one side ends. */
export async function serveStream(
  kubelet: Kubelet,
  head: UpgradeHead,
  socket: ByteStream,
): Promise<void> {
  try {
    const request = parseStream(head.url);
    const target = new URL(await streamUrl(kubelet, request));
    const headers = new Headers(
      head.headers.map(([name, value]): [string, string] => [name, value]),
    );
    const offered = asksForWebSocket(headers) ? offeredProtocols(headers) : [];
    const tunnelled = tunnelledProtocols(offered);
    if (request.kind === "portForward" && tunnelled.length > 0) {
      return await overSpdy(kubelet, { headers, socket, target, protocols: tunnelled });
    }
    if (request.kind !== "portForward" && offered.includes(closingProtocol)) {
      const wanted = wantedStreams(request.query);
      return await overSpdy(kubelet, { headers, socket, target, protocols: spdyProtocols, wanted });
    }
    await pipeTo(kubelet, head, socket, target);
  } catch (error) {
    const status = error instanceof HttpError ? error.status : 500;
    await refuse(socket, status, criMessage(error));
  }
}

function wantedStreams(query: URLSearchParams): WantedStreams {
  const isTrue = (...names: string[]): boolean =>
    names.some((name) => ["true", "1"].includes(query.get(name) ?? ""));
  const tty = isTrue("tty");
  return {
    tty,
    stdin: isTrue("stdin", "input"),
    stdout: isTrue("stdout", "output"),
    stderr: isTrue("stderr", "error") && !tty,
  };
}

/** Asks the runtime where it will serve this stream. */
async function streamUrl(kubelet: Kubelet, request: StreamRequest): Promise<string> {
  const { kind, ref, query } = request;
  const { cri, cache } = kubelet.context;
  const record = kubelet.findPod(ref.namespace, ref.pod);
  if (record === undefined) throw new HttpError(404, "pod does not exist");
  const state = await cache.read(record.uid);
  if (kind === "portForward") {
    const sandbox = state.sandboxes.find((entry) => entry.ready);
    if (sandbox === undefined) throw new HttpError(404, "pod does not exist");
    const port = query
      .getAll("port")
      .flatMap((text) => text.split(","))
      .map(Number)
      .filter((value) => Number.isInteger(value) && value > 0);
    return (await cri.runtime.portForward({ podSandboxId: sandbox.id, port })).url;
  }
  const latest = latestOf(state, ref.container);
  if (latest === undefined) throw new HttpError(404, `container not found ("${ref.container}")`);
  const base = { containerId: latest.id, ...wantedStreams(query) };
  if (kind === "attach") return (await cri.runtime.attach(base)).url;
  return (await cri.runtime.exec({ ...base, cmd: query.getAll("command") })).url;
}

function dial(kubelet: Kubelet, target: URL): Promise<ByteStream> {
  const address = { type: "tcp", host: target.hostname, port: Number(target.port) } as const;
  return kubelet.context.runtime.net.dial(address, new AbortController().signal);
}

interface SpdyRequest {
  /** The client's. */
  readonly headers: Headers;
  readonly socket: ByteStream;
  readonly target: URL;
  /** What SPDY calls what the client offers. */
  readonly protocols: readonly string[];
  /** Of a command; without them the WebSocket carries SPDY itself. */
  readonly wanted?: WantedStreams;
}

/** Serves a WebSocket that the runtime does not know, by SPDY to the runtime. */
async function overSpdy(kubelet: Kubelet, request: SpdyRequest): Promise<void> {
  const { headers, socket, target, protocols, wanted } = request;
  const backend = await dial(kubelet, target);
  try {
    const answer = await askForSpdy(backend, target, protocols);
    if (answer.status !== 101) {
      const message = new TextDecoder().decode(await readBody(answer)).trim();
      return await refuse(socket, answer.status, message);
    }
    const peer = new WebSocketPeer(socket, kubelet.context.runtime.clock);
    await peer.accept(headers, wanted === undefined ? tunnelProtocol(answer) : closingProtocol);
    if (wanted === undefined) await serveTunnel(peer, backend, answer);
    else await serveRemoteCommand({ peer, backend, answer, wanted });
  } finally {
    backend.close();
  }
}

async function pipeTo(
  kubelet: Kubelet,
  head: UpgradeHead,
  socket: ByteStream,
  target: URL,
): Promise<void> {
  const upstream = await dial(kubelet, target);
  try {
    const lines = head.headers.map(([name, value]) =>
      name.toLowerCase() === "host" ? `${name}: ${target.host}` : `${name}: ${value}`,
    );
    const first = `${head.method} ${target.pathname}${target.search} HTTP/1.1`;
    const writer = upstream.writable.getWriter();
    await writer.write(new TextEncoder().encode(`${[first, ...lines].join("\r\n")}\r\n\r\n`));
    writer.releaseLock();
    // The end of either direction is passed on; the answer's end is the end of it all.
    const sending = socket.readable.pipeTo(upstream.writable).catch(() => {});
    await upstream.readable.pipeTo(socket.writable).catch(() => {});
    upstream.close();
    await sending;
  } finally {
    upstream.close();
    socket.close();
  }
}

/** Ends a raw connection with an HTTP answer in place of an upgrade. */
export async function refuse(socket: ByteStream, status: number, message: string): Promise<void> {
  const words: Readonly<Record<number, string>> = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    502: "Bad Gateway",
    503: "Service Unavailable",
  };
  const body = new TextEncoder().encode(message);
  const head = [
    `HTTP/1.1 ${status} ${words[status] ?? "Internal Server Error"}`,
    "Content-Type: text/plain; charset=utf-8",
    `Content-Length: ${body.length}`,
    "Connection: close",
  ];
  const writer = socket.writable.getWriter();
  try {
    await writer.write(new TextEncoder().encode(`${head.join("\r\n")}\r\n\r\n`));
    await writer.write(body);
    await writer.close();
  } catch {
    // The caller hung up before the answer.
  } finally {
    socket.close();
  }
}
