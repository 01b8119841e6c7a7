/** Listens for clients and serves them by the orders that it is given. */

import { NodeStream } from "../../runtime/node-stream.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { StreamDuplex } from "../../runtime/stream-duplex.ts";
import type { StreamListener, Streams, TlsPair } from "../../runtime/stream-sockets.ts";
import { Certificates } from "./certificates.ts";
import { Http1Client } from "./http1-client.ts";
import { Http2Client } from "./http2-client.ts";
import { IngressGateway } from "./ingress-gateway.ts";
import { createIngressMetrics } from "./ingress-metrics.ts";
import type { EntryPoint, IngressOrder, IngressReport } from "./route-table.ts";

export interface IngressServerOptions {
  readonly runtime: Pick<Runtime, "clock" | "log" | "random">;
  readonly streams: Streams;
  readonly host: string;
  /** 0 takes any. */
  readonly ports: Readonly<Record<EntryPoint, number>>;
  /** Shown to who asks for a name that has no certificate. */
  readonly fallback: TlsPair;
  readonly report: (report: IngressReport) => void;
  readonly logAccess: (line: string) => void;
}

const limits = { listenAgainMs: 2000, drainMs: 10_000, drainPollMs: 50 } as const;

export class IngressServer {
  readonly #options: IngressServerOptions;
  readonly #gateway: IngressGateway;
  readonly #certificates = new Certificates();
  readonly #listeners = new Map<EntryPoint, StreamListener>();

  constructor(options: IngressServerOptions) {
    const { runtime, streams, logAccess } = options;
    this.#options = options;
    const metrics = createIngressMetrics();
    this.#gateway = new IngressGateway({ ...runtime, streams, metrics, logAccess });
  }

  take(order: Exclude<IngressOrder, { type: "start" | "stop" }>): void {
    switch (order.type) {
      case "routes":
        this.#gateway.setRoutes(order.routes);
        return;
      case "backends":
        this.#gateway.setBackends(order.backends);
        return;
      case "certificates":
        this.#certificates.replace(order.certificates);
        return;
      case "metrics": {
        const text = this.#gateway.options.metrics.text();
        this.#options.report({ type: "metrics", id: order.id, text });
        return;
      }
    }
  }

  /** Serves until the signal aborts, then until the requests that run are answered. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options.runtime;
    const ticking = new AbortController();
    this.#gateway.run(ticking.signal);
    await Promise.all([this.#listen("web", signal), this.#listen("websecure", signal)]);
    if (!signal.aborted) this.#options.report({ type: "listening", ports: this.ports() });
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
    for (const listener of this.#listeners.values()) listener.close();
    await this.#gateway.drain(clock.monotonicMs() + limits.drainMs, limits.drainPollMs);
    ticking.abort();
  }

  get isListening(): boolean {
    return this.#listeners.size === 2;
  }

  ports(): Readonly<Record<EntryPoint, number>> {
    const portOf = (entryPoint: EntryPoint): number => this.#listeners.get(entryPoint)?.port ?? 0;
    return { web: portOf("web"), websecure: portOf("websecure") };
  }

  /** Whoever has the port may leave it: tries until it can be had. */
  async #listen(entryPoint: EntryPoint, signal: AbortSignal): Promise<void> {
    const { runtime, report } = this.#options;
    for (let told = ""; !signal.aborted; ) {
      try {
        this.#listeners.set(entryPoint, await this.#open(entryPoint));
        return;
      } catch (error) {
        const code = error instanceof Error && "code" in error ? String(error.code) : `${error}`;
        if (code !== told) report({ type: "refused", entryPoint, code });
        told = code;
        await runtime.clock.sleep(limits.listenAgainMs, signal);
      }
    }
  }

  async #open(entryPoint: EntryPoint): Promise<StreamListener> {
    const { streams, host, ports, fallback } = this.#options;
    const gateway = this.#gateway;
    const acceptHttp2 = streams.http2Server(({ session, remoteAddress }) => {
      new Http2Client(gateway, session, { clientIp: remoteAddress, entryPoint });
    });
    if (entryPoint === "web") {
      return streams.listen(host, ports.web, (socket) => {
        new Http1Client(gateway, socket, "web", (plain, read) =>
          acceptHttp2(new StreamDuplex(plain, read)),
        );
      });
    }
    const face = {
      fallback,
      certificateFor: (name: string) => this.#certificates.find(name),
      protocols: ["h2", "http/1.1"],
    };
    return await streams.listenTls(host, ports.websecure, face, (socket, protocol) => {
      if (protocol === "h2") acceptHttp2(socket);
      else new Http1Client(gateway, new NodeStream(socket), "websecure");
    });
  }
}
