/**
 * Reaches the kubelets of other machines: by the tunnel of the node, or else at the address and
 * port that its Node object tells.
 */
import { refuse } from "../agent/streaming/streams.ts";
import { passUpgrade } from "../api/upgrade-tunnel.ts";
import { nodes } from "../client/resources.ts";
import type { Node } from "../gen/core-v1.ts";
import type { NodeConnector, RequestHead } from "../groups/node-connector.ts";
import { ApiError } from "../lib/api-error.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import type { LiveSets } from "../live/live-set.ts";
import type { Pki } from "../pki/ensure.ts";
import type { ByteStream, Clock, Net, Runtime, TlsOptions } from "../runtime/runtime.ts";
import { NodeTunnels } from "./node-tunnels.ts";
import type { ServerOptions } from "./options.ts";

const dialMs = 10_000;
const kubeletPortDefault = 10250;
/** What each connection says for itself. */
const ofConnection: ReadonlySet<string> = new Set(["connection", "host", "upgrade"]);

export interface RemoteNodesOptions {
  readonly net: Net;
  readonly clock: Clock;
  readonly live: () => LiveSets;
  /** Whom kubelets know as their API server, and by whom theirs are vouched for. */
  readonly tls: () => TlsOptions;
  /** `InternalIP`, `ExternalIP` and the like: the first that a node has is dialled. */
  readonly addressTypes: readonly string[];
  /** The port on loopback of the node's tunnel, while it has one. */
  readonly tunnelTo: (nodeName: string) => number | undefined;
}

export interface KubeletPlace {
  readonly host: string;
  readonly port: number;
}

/** Where a node's kubelet listens; undefined when it tells no address. */
export function kubeletPlace(
  node: DeepReadonly<Node>,
  addressTypes: readonly string[],
): KubeletPlace | undefined {
  const { addresses = [] } = node.status ?? {};
  const port = kubeletPort(node);
  for (const type of addressTypes) {
    const host = addresses.find((one) => one.type === type)?.address;
    if (host !== undefined) return { host, port };
  }
  return undefined;
}

export function kubeletPort(node: DeepReadonly<Node> | undefined): number {
  return node?.status?.daemonEndpoints?.kubeletEndpoint?.Port ?? kubeletPortDefault;
}

export class RemoteNodes implements NodeConnector {
  constructor(private readonly options: RemoteNodesOptions) {}

  async nodeFetch(nodeName: string, request: Request): Promise<Response> {
    const place = this.#placeOf(nodeName);
    if (place === undefined) return unreachable(`node ${nodeName} tells no address`);
    const { pathname, search } = new URL(request.url);
    const host = place.host.includes(":") ? `[${place.host}]` : place.host;
    const asked = new Request(`https://${host}:${place.port}${pathname}${search}`, request);
    asked.headers.delete("host");
    try {
      return await this.options.net.fetch(asked, { tls: this.options.tls() });
    } catch (error) {
      if (request.signal.aborted) throw error;
      return unreachable(dialProblem(place, error));
    }
  }

  /** Nothing of the client reaches the kubelet before that has agreed to switch protocols. */
  async nodeStream(nodeName: string, head: RequestHead, socket: ByteStream): Promise<void> {
    const place = this.#placeOf(nodeName);
    if (place === undefined) return await refuse(socket, 502, `node ${nodeName} tells no address`);
    const opened = await this.#dial(place).catch((error: unknown) => dialProblem(place, error));
    if (typeof opened === "string") return await refuse(socket, 502, opened);
    const { method, path, headers } = head;
    try {
      const passed = {
        method,
        pathAndQuery: path,
        host: `${place.host}:${place.port}`,
        protocol: headers.get("upgrade") ?? "",
        headers: [...headers].filter(([name]) => !ofConnection.has(name)),
      };
      const { clock } = this.options;
      await passUpgrade(socket, opened, passed, { clock, passesRedirects: false });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      await refuse(socket, 502, error.message);
    } finally {
      socket.close();
    }
  }

  async #dial({ host, port }: KubeletPlace): Promise<ByteStream> {
    const { clock, net, tls } = this.options;
    const over = new AbortController();
    const late = new AbortController();
    void clock.sleep(dialMs, over.signal).then(() => {
      if (!over.signal.aborted) late.abort(new Error("i/o timeout"));
    });
    try {
      return await net.dial({ type: "tcp", host, port }, late.signal, tls());
    } finally {
      over.abort();
    }
  }

  #placeOf(nodeName: string): KubeletPlace | undefined {
    const { live, addressTypes, tunnelTo } = this.options;
    const port = tunnelTo(nodeName);
    if (port !== undefined) return { host: "127.0.0.1", port };
    const node = live().of(nodes).get(nodeName)?.object;
    return node === undefined ? undefined : kubeletPlace(node, addressTypes);
  }
}

/** `made` is there by the time of the first request; no tunnels with the mode `disabled`. */
export function createRemoteNodes(
  { flannel, egressSelectorMode }: Pick<ServerOptions, "flannel" | "egressSelectorMode">,
  runtime: Runtime,
  { pki, live }: { readonly pki: () => Pki; readonly live: () => LiveSets },
): { readonly remote: RemoteNodes; readonly tunnels: NodeTunnels | undefined } {
  const { net, clock } = runtime;
  const [inner, outer] = ["InternalIP", "ExternalIP"] as const;
  const portOf = (name: string): number => kubeletPort(live().of(nodes).get(name)?.object);
  const tunnels =
    egressSelectorMode === "disabled"
      ? undefined
      : new NodeTunnels({ runtime, kubeletPort: portOf });
  const remote = new RemoteNodes({
    net,
    clock,
    live,
    tunnelTo: (nodeName) => tunnels?.portTo(nodeName),
    tls: () => {
      const { authorities, leaves } = pki();
      const { certPem: cert, keyPem: key } = leaves["client-kube-apiserver"];
      return { ca: authorities["server-ca"].certPem, cert, key };
    },
    addressTypes: [...(flannel.usesExternalIp ? [outer, inner] : [inner, outer]), "Hostname"],
  });
  return { remote, tunnels };
}

function dialProblem({ host, port }: KubeletPlace, error: unknown): string {
  const why = error instanceof Error ? error.message : String(error);
  return `error dialing backend: dial tcp ${host}:${port}: ${why}`;
}

function unreachable(message: string): Response {
  return new Response(message, { status: 502 });
}
