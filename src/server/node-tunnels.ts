/**
 * Tunnels that agents have opened to this server: kubelets answer by them whose port nothing
 * reaches. Each has a port on loopback, where TLS clients find the kubelet as if it were there.
 */
import { refuse } from "../agent/streaming/streams.ts";
import type { Listener, Runtime } from "../runtime/runtime.ts";
import { joinStreams, TunnelSession } from "../runtime/tunnel-session.ts";
import { asksForWebSocket, WebSocketPeer } from "../runtime/web-socket.ts";
import type { IncomingUpgrade } from "./front-door.ts";

const tunnelPath = "/v1-k3s/connect";
/** Agents ping every five seconds: who has not for so long is not relied upon. */
const silenceMsMax = 15_000;
const nodeGroup = "system:nodes";

export function asksForTunnel({ request }: IncomingUpgrade): boolean {
  return new URL(request.url).pathname === tunnelPath;
}

interface OpenTunnel {
  readonly peer: WebSocketPeer;
  readonly listener: Listener;
}

export interface NodeTunnelsOptions {
  readonly runtime: Pick<Runtime, "clock" | "net" | "log">;
  /** Where the node's kubelet listens. */
  readonly kubeletPort: (nodeName: string) => number;
}

export class NodeTunnels {
  readonly #open = new Map<string, OpenTunnel>();

  constructor(private readonly options: NodeTunnelsOptions) {}

  /** The port on loopback that leads to the node's kubelet; undefined without a tunnel. */
  portTo(nodeName: string): number | undefined {
    const tunnel = this.#open.get(nodeName);
    if (tunnel === undefined) return undefined;
    const silentMs = this.options.runtime.clock.monotonicMs() - tunnel.peer.heardMs;
    return silentMs > silenceMsMax ? undefined : tunnel.listener.port;
  }

  /** Takes the request of a node for a tunnel; resolves when that has ended. */
  async serve({ request, peer: asking, stream }: IncomingUpgrade): Promise<void> {
    const { commonName = "", organizations = [] } = asking.certificate ?? {};
    const [, nodeName] = /^system:node:(.+)$/.exec(commonName) ?? [];
    if (nodeName === undefined || !organizations.includes(nodeGroup))
      return await refuse(stream, 401, "Unauthorized");
    if (!asksForWebSocket(request.headers))
      return await refuse(stream, 400, "a tunnel is a WebSocket");
    const { runtime } = this.options;
    const peer = new WebSocketPeer(stream, runtime.clock);
    await peer.accept(request.headers, undefined);
    await this.#keep(nodeName, peer);
  }

  async #keep(nodeName: string, peer: WebSocketPeer): Promise<void> {
    const { runtime, kubeletPort } = this.options;
    // Agents dial for servers, never the other way round.
    const session = new TunnelSession({ runtime, peer, isClient: false, placeOf: () => undefined });
    const loopback = { type: "tcp", host: "127.0.0.1", port: 0 } as const;
    const listener = await runtime.net.listen(loopback, (stream) => {
      const far = session.dial("tcp", `127.0.0.1:${kubeletPort(nodeName)}`);
      void joinStreams(stream, far);
    });
    const tunnel = { peer, listener };
    this.#open.set(nodeName, tunnel);
    runtime.log.info("A tunnel is open", { node: nodeName });
    try {
      await session.run(new AbortController().signal);
    } finally {
      listener.close();
      // The agent may have come back before its old tunnel was found to be dead.
      if (this.#open.get(nodeName) === tunnel) this.#open.delete(nodeName);
      runtime.log.info("A tunnel has ended", { node: nodeName });
    }
  }
}
