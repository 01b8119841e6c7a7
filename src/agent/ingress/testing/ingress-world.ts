/** An ingress server on loopback, backends that answer as a test wants, clients that send bytes. */
import { connect, type Socket } from "node:net";
import { createRuntime } from "../../../runtime/real.ts";
import { createStreams } from "../../../runtime/stream-sockets.ts";
import { IngressServer } from "../ingress-server.ts";
import type { Backend, IngressReport, Route } from "../route-table.ts";
import { testPairs } from "./test-pairs.ts";

export interface IngressWorld extends AsyncDisposable {
  readonly server: IngressServer;
  readonly reports: readonly IngressReport[];
  readonly accessLog: readonly string[];
  readonly web: number;
  readonly websecure: number;
}

export async function startWorld(): Promise<IngressWorld> {
  const runtime = createRuntime({ logLevel: "error" });
  const reports: IngressReport[] = [];
  const accessLog: string[] = [];
  const { promise: up, resolve } = Promise.withResolvers<void>();
  const server = new IngressServer({
    runtime,
    streams: createStreams(runtime.log),
    host: "127.0.0.1",
    ports: { web: 0, websecure: 0 },
    fallback: testPairs().fallback,
    report: (report) => {
      reports.push(report);
      if (report.type === "listening") resolve();
    },
    logAccess: (line) => void accessLog.push(line),
  });
  const stop = new AbortController();
  const done = server.run(stop.signal);
  await up;
  return {
    server,
    reports,
    accessLog,
    ...server.ports(),
    async [Symbol.asyncDispose]() {
      stop.abort();
      await done;
    },
  };
}

/** All of `host` to one backend. */
export function routeTo(backend: string, given: Partial<Route> = {}): Route {
  return {
    ingress: "default/web",
    host: "",
    path: "/",
    match: "prefix",
    isDefault: false,
    entryPoints: ["web", "websecure"],
    backend,
    rules: {},
    ...given,
  };
}

export function serve(
  { server }: IngressWorld,
  endpoints: readonly string[],
  given: Partial<Route> = {},
  backend: Partial<Backend> = {},
): void {
  server.take({
    type: "backends",
    backends: [{ name: "b", protocol: "http", endpoints, ...backend }],
  });
  server.take({ type: "routes", routes: [routeTo("b", given)] });
}

/** A backend that hands each connection's bytes to `onData`. */
export function rawBackend(
  onData: (socket: Bun.Socket, text: string, connection: number) => void,
): { readonly endpoint: string } & Disposable {
  let connections = 0;
  const numbers = new Map<Bun.Socket, number>();
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open: (socket) => void numbers.set(socket, ++connections),
      data: (socket, bytes) => onData(socket, bytes.toString("latin1"), numbers.get(socket) ?? 0),
    },
  });
  return {
    endpoint: `127.0.0.1:${listener.port}`,
    [Symbol.dispose]: () => listener.stop(true),
  };
}

/** A client's connection, byte by byte. */
export class RawClient implements Disposable {
  #text = "";
  #isClosed = false;
  #wake: () => void = () => {};
  readonly socket: Socket;

  constructor(port: number) {
    this.socket = connect({ host: "127.0.0.1", port });
    this.socket.on("data", (bytes) => {
      this.#text += bytes.toString("latin1");
      this.#wake();
    });
    this.socket.on("error", () => {});
    this.socket.on("close", () => {
      this.#isClosed = true;
      this.#wake();
    });
  }

  send(text: string): void {
    this.socket.write(text, "latin1");
  }

  /** What has come, as soon as it holds `wanted`; consumed. Fails when it ends first. */
  async until(wanted: string | RegExp): Promise<string> {
    const isThere = (): boolean =>
      typeof wanted === "string" ? this.#text.includes(wanted) : wanted.test(this.#text);
    while (!isThere()) {
      if (this.#isClosed) throw new Error(`Closed before ${wanted}: ${this.#text}`);
      await this.#change();
    }
    const text = this.#text;
    this.#text = "";
    return text;
  }

  /** All that came until the other side closed. */
  async closed(): Promise<string> {
    while (!this.#isClosed) await this.#change();
    return this.#text;
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}
