/**
 * The way from a joined node to its servers: a port on loopback that leads to the server that
 * answered last, and to another one when that fails. It stays with one; it does not share out.
 */
import type { ByteStream, Runtime } from "../../runtime/runtime.ts";
import type { Scope } from "../../runtime/scope.ts";

const limits = { dialMs: 10_000 } as const;

export interface LoadBalancerOptions {
  readonly runtime: Runtime;
  readonly scope: Scope;
  /** 0 takes any. */
  readonly port: number;
  /** `https://host:port`, as the node was told. */
  readonly serverUrl: string;
  /** K3s' file that remembers the servers: `<data-dir>/agent/etc/k3s-agent-load-balancer.json`. */
  readonly stateFile: string;
}

export interface LoadBalancer {
  /** `https://127.0.0.1:6444`. */
  readonly url: string;
  /** Learns which servers there are, as `host:port`. */
  update(addresses: readonly string[]): Promise<void>;
}

interface State {
  readonly ServerURL: string;
  readonly ServerAddresses: readonly string[];
}

export async function startLoadBalancer(options: LoadBalancerOptions): Promise<LoadBalancer> {
  const { runtime, scope, stateFile } = options;
  const balancer = new Balancer(options);
  await balancer.load();
  const place = { type: "tcp", host: "127.0.0.1", port: options.port } as const;
  const listener = await runtime.net.listen(place, (stream) => void balancer.carry(stream));
  scope.defer(() => listener.close());
  return {
    url: `https://127.0.0.1:${listener.port}`,
    update: (addresses) => balancer.update(addresses, stateFile),
  };
}

/** Where a URL leads, as `host:port`. */
export function addressOf(url: string): string {
  const { hostname, port } = new URL(url);
  return `${hostname}:${port === "" ? 443 : port}`;
}

class Balancer {
  /** The one that answered last stands first. */
  #servers: readonly string[];

  constructor(private readonly options: LoadBalancerOptions) {
    this.#servers = [addressOf(options.serverUrl)];
  }

  /** Servers known from an earlier run: the one that was given may be away for good. */
  async load(): Promise<void> {
    const { runtime, stateFile, serverUrl } = this.options;
    const text = await runtime.files.readText(stateFile);
    if (text === undefined) return;
    const state = JSON.parse(text) as State;
    if (state.ServerURL === serverUrl) this.#merge(state.ServerAddresses);
  }

  async update(addresses: readonly string[], stateFile: string): Promise<void> {
    const { runtime, serverUrl } = this.options;
    this.#merge(addresses);
    const state: State = { ServerURL: serverUrl, ServerAddresses: [...addresses].sort() };
    const text = `${JSON.stringify(state)}\n`;
    if ((await runtime.files.readText(stateFile)) === text) return;
    await runtime.files.mkdir(stateFile.slice(0, stateFile.lastIndexOf("/")), 0o755);
    await runtime.files.writeAtomic(stateFile, text, 0o600);
  }

  /** Keeps the order of those that stay; the given one is the last resort. */
  #merge(addresses: readonly string[]): void {
    const given = addressOf(this.options.serverUrl);
    const known = this.#servers.filter((one) => addresses.includes(one));
    this.#servers = [...new Set([...known, ...addresses, given])];
  }

  async carry(client: ByteStream): Promise<void> {
    const server = await this.#dialAny();
    if (server === undefined) return client.close();
    const { log } = this.options.runtime;
    try {
      await Promise.all([
        client.readable.pipeTo(server.writable),
        server.readable.pipeTo(client.writable),
      ]);
    } catch (error) {
      log.debug("A connection to the server has ended", { error: String(error) });
    } finally {
      client.close();
      server.close();
    }
  }

  async #dialAny(): Promise<ByteStream | undefined> {
    for (const address of this.#servers) {
      try {
        const stream = await this.#dial(address);
        if (this.#servers[0] !== address)
          this.#servers = [address, ...this.#servers.filter((one) => one !== address)];
        return stream;
      } catch (error) {
        this.options.runtime.log.debug("A server does not answer", { address, error: `${error}` });
      }
    }
    return undefined;
  }

  async #dial(address: string): Promise<ByteStream> {
    const { net, clock } = this.options.runtime;
    const at = address.lastIndexOf(":");
    const host = address.slice(0, at).replace(/^\[|\]$/g, "");
    const over = new AbortController();
    const late = new AbortController();
    void clock.sleep(limits.dialMs, over.signal).then(() => {
      if (!over.signal.aborted) late.abort(new Error("the server did not answer in time"));
    });
    try {
      const port = Number(address.slice(at + 1));
      return await net.dial({ type: "tcp", host, port }, late.signal);
    } finally {
      over.abort();
    }
  }
}
