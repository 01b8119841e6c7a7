/** The agent's end of tunnels: servers reach the kubelet by them whatever stands between. */
import type { Runtime, TlsOptions } from "../../runtime/runtime.ts";
import { TunnelSession } from "../../runtime/tunnel-session.ts";
import { openWebSocket } from "../../runtime/web-socket.ts";

const limits = { dialMs: 10_000, retryMs: 3_000 } as const;
const path = "/v1-k3s/connect";
const loopback: ReadonlySet<string> = new Set(["127.0.0.1", "[::1]", "localhost"]);

export interface TunnelClientOptions {
  readonly runtime: Runtime;
  /** `host:port` that leads to the one server there is, or to one of several. */
  readonly nearest: string;
  readonly tls: TlsOptions;
  /** Where the kubelet listens on this machine. */
  readonly kubelet: { readonly host: string; readonly port: number };
}

export class TunnelClient {
  /** By the `host:port` of the server. */
  readonly #open = new Map<string, AbortController>();

  constructor(
    private readonly options: TunnelClientOptions,
    private readonly signal: AbortSignal,
  ) {
    signal.addEventListener("abort", () => this.#closeBut([]), { once: true });
  }

  /** Keeps a tunnel to each of several servers; a single one is reached as everything else is. */
  follow(servers: readonly string[]): void {
    const wanted = servers.length > 1 ? servers : [this.options.nearest];
    this.#closeBut(wanted);
    for (const server of wanted) {
      if (this.#open.has(server) || this.signal.aborted) continue;
      const stop = new AbortController();
      this.#open.set(server, stop);
      void this.#keep(server, stop.signal);
    }
  }

  #closeBut(wanted: readonly string[]): void {
    for (const [server, stop] of this.#open) {
      if (wanted.includes(server)) continue;
      this.#open.delete(server);
      stop.abort();
    }
  }

  async #keep(server: string, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.options.runtime;
    while (!signal.aborted) {
      try {
        await this.#hold(server, signal);
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        if (!signal.aborted) log.warn("The tunnel to the server ended", { server, error: why });
      }
      await clock.sleep(limits.retryMs, signal);
    }
  }

  async #hold(server: string, signal: AbortSignal): Promise<void> {
    const { runtime, tls, kubelet } = this.options;
    const { hostname: host, port } = new URL(`https://${server}`);
    const late = new AbortController();
    const giveUp = AbortSignal.any([signal, late.signal]);
    void runtime.clock
      .sleep(limits.dialMs, giveUp)
      .then(() => late.abort(new Error("i/o timeout")));
    const place = { type: "tcp", host: host.replace(/^\[|\]$/g, ""), port: Number(port) } as const;
    const stream = await runtime.net.dial(place, giveUp, tls);
    const onAbort = (): void => stream.close();
    giveUp.addEventListener("abort", onAbort, { once: true });
    const peer = await openWebSocket(stream, { host: server, path }, runtime);
    giveUp.removeEventListener("abort", onAbort);
    late.abort();
    const session = new TunnelSession({
      runtime,
      peer,
      isClient: true,
      placeOf: (protocol, address) => {
        const asked = protocol === "tcp" ? URL.parse(`https://${address}`) : null;
        const isKubelet = asked?.port === String(kubelet.port) && loopback.has(asked.hostname);
        return isKubelet ? kubelet : undefined;
      },
    });
    runtime.log.info("A tunnel to the server is open", { server });
    await session.run(signal);
  }
}
