/**
 * Plugins that announce themselves by a socket below `plugins_registry`: each is asked who it is,
 * handed to those who know its type, and taken back when its socket goes.
 */
import { createClient } from "@connectrpc/connect";
import { type PluginInfo, Registration } from "../gen/cri/pluginregistration_pb.ts";
import type { Host } from "../runtime/host.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { criMessage, openSocket } from "./cri/client.ts";

/** Who takes plugins of one type; what it throws is told to the plugin. */
export interface PluginHandler {
  validate(plugin: Plugin): void;
  register(plugin: Plugin): Promise<void>;
  deregister(plugin: Registered): Promise<void>;
}

/** One instance of a plugin: there may be two of a name while it is replaced. */
export interface Registered {
  readonly name: string;
  /** The socket to talk to it by. */
  readonly endpoint: string;
}

export interface Plugin extends Registered {
  readonly versions: readonly string[];
}

export interface PluginRegistryOptions {
  readonly runtime: Runtime;
  readonly host: Host;
  /** /var/lib/kubelet/plugins_registry */
  readonly dir: string;
  /** By type: CSIPlugin, DRAPlugin. */
  readonly handlers: ReadonlyMap<string, PluginHandler>;
}

const limits = {
  /** Nested directories are not watched, only looked at. */
  everyMs: 5_000,
  callMs: 5_000,
  retryMsMin: 500,
  retryMsMax: 122_000,
} as const;

interface Taken extends Registered {
  readonly handler: PluginHandler;
}

type Known =
  | { readonly state: "registering"; readonly stamp: string }
  | {
      readonly state: "refused";
      readonly stamp: string;
      readonly retryAtMs: number;
      readonly waitMs: number;
    }
  | ({ readonly state: "registered"; readonly stamp: string } & Taken);

export class PluginRegistry {
  readonly #options: PluginRegistryOptions;
  /** By the path of the socket. */
  readonly #known = new Map<string, Known>();
  #wake = new AbortController();

  constructor(options: PluginRegistryOptions) {
    this.#options = options;
  }

  /** Follows the directory until the signal aborts. */
  async follow(signal: AbortSignal): Promise<void> {
    const { runtime, host, dir } = this.#options;
    await host.mkdir(dir, 0o755);
    void this.#watch(signal).catch((error: unknown) => {
      if (!signal.aborted) runtime.log.warn("Cannot watch for plugins", { dir, error: `${error}` });
    });
    while (!signal.aborted) {
      this.#wake = new AbortController();
      const waitMs = await this.#look().catch((error: unknown) => {
        runtime.log.warn("Cannot look for plugins", { dir, error: `${error}` });
        return limits.everyMs;
      });
      await runtime.clock.sleep(waitMs, AbortSignal.any([signal, this.#wake.signal]));
    }
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { runtime, dir } = this.#options;
    for await (const _name of runtime.files.watch(dir, signal)) this.#wake.abort();
  }

  /** Compares what is there with what is known; when to look again. */
  async #look(): Promise<number> {
    const found = await this.#sockets(this.#options.dir);
    for (const [path, known] of this.#known) {
      if (found.get(path) === known.stamp || known.state === "registering") continue;
      this.#known.delete(path);
      if (known.state === "registered") await this.#deregister(known);
    }
    const nowMs = this.#options.runtime.clock.monotonicMs();
    let waitMs: number = limits.everyMs;
    for (const [path, stamp] of found) {
      const known = this.#known.get(path);
      const leftMs = known?.state === "refused" ? known.retryAtMs - nowMs : 0;
      if (known !== undefined && known.state !== "refused") continue;
      if (leftMs > 0) {
        waitMs = Math.min(waitMs, leftMs);
        continue;
      }
      this.#known.set(path, { state: "registering", stamp });
      void this.#register(path, stamp, known?.waitMs ?? 0);
    }
    return waitMs;
  }

  /** Paths of the sockets, each with what tells it from another one of the same path. */
  async #sockets(dir: string): Promise<Map<string, string>> {
    const { host } = this.#options;
    const found = new Map<string, string>();
    for (const name of await host.list(dir)) {
      if (name.startsWith(".")) continue;
      const path = `${dir}/${name}`;
      const info = await host.stat(path, false);
      if (info?.kind === "socket") found.set(path, `${info.inode} ${info.mtimeMs}`);
      if (info?.kind !== "directory") continue;
      for (const [below, stamp] of await this.#sockets(path)) found.set(below, stamp);
    }
    return found;
  }

  async #register(path: string, stamp: string, waitedMs: number): Promise<void> {
    const { log, clock } = this.#options.runtime;
    try {
      this.#known.set(path, { state: "registered", stamp, ...(await this.#introduce(path)) });
    } catch (error) {
      log.warn("Cannot register a plugin", { socket: path, error: criMessage(error) });
      const waitMs = Math.min(Math.max(waitedMs * 2, limits.retryMsMin), limits.retryMsMax);
      const retryAtMs = clock.monotonicMs() + waitMs;
      this.#known.set(path, { state: "refused", stamp, retryAtMs, waitMs });
    }
    this.#wake.abort();
  }

  async #introduce(path: string): Promise<Taken> {
    const { transport, close } = openSocket(path);
    const client = createClient(Registration, transport);
    const options = { timeoutMs: limits.callMs };
    try {
      const info = await client.getInfo({}, options);
      const handler = this.#options.handlers.get(info.type);
      try {
        if (handler === undefined) throw new Error(noHandler(info, path));
        await take(handler, pluginOf(info, path));
      } catch (error) {
        const message = `RegisterPlugin error -- ${criMessage(error)}`;
        await client.notifyRegistrationStatus({ error: message }, options);
        throw error;
      }
      const { name, endpoint } = pluginOf(info, path);
      const taken = { name, endpoint, handler };
      try {
        await client.notifyRegistrationStatus({ pluginRegistered: true }, options);
      } catch (error) {
        await this.#deregister(taken);
        throw error;
      }
      return taken;
    } finally {
      close();
    }
  }

  async #deregister({ name, endpoint, handler }: Taken): Promise<void> {
    await handler.deregister({ name, endpoint }).catch((error: unknown) => {
      this.#options.runtime.log.warn("Cannot take a plugin back", { name, error: `${error}` });
    });
  }
}

function pluginOf({ name, supportedVersions, endpoint }: PluginInfo, path: string): Plugin {
  return { name, versions: supportedVersions, endpoint: endpoint === "" ? path : endpoint };
}

async function take(handler: PluginHandler, plugin: Plugin): Promise<void> {
  try {
    handler.validate(plugin);
  } catch (error) {
    throw new Error(`plugin validation failed with err: ${criMessage(error)}`);
  }
  try {
    await handler.register(plugin);
  } catch (error) {
    throw new Error(`plugin registration failed with err: ${criMessage(error)}`);
  }
}

function noHandler({ type }: PluginInfo, path: string): string {
  return `no handler registered for plugin type: ${type} at socket ${path}`;
}
