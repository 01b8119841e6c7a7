/** Drivers of dynamic resource allocation that have registered on this node. */
import { Code, ConnectError } from "@connectrpc/connect";
import type { Client } from "../../client/client.ts";
import { resourceSlices } from "../../client/resources.ts";
import type { NodeWatchResourcesResponse } from "../../gen/cri/dra-health_pb.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { Scope } from "../../runtime/scope.ts";
import type { Plugin, PluginHandler, Registered } from "../plugin-registry.ts";
import { DraClient, type DraService, draServices } from "./dra-client.ts";

export interface DraDriversOptions {
  readonly runtime: Runtime;
  readonly client: Client;
  readonly scope: Scope;
  readonly nodeName: string;
  /** What a driver tells of its devices; undefined when it tells no more. */
  readonly onHealth: (driver: string, told: NodeWatchResourcesResponse | undefined) => void;
}

/** Upstream's: how long a driver may be away before its slices go, and how often it is tried. */
const limits = {
  awayMsMax: 30_000,
  retryMs: 5_000,
  wipeRetryMsMin: 1_000,
  wipeRetryMsMax: 300_000,
} as const;

interface Instance {
  readonly endpoint: string;
  readonly client: DraClient;
  readonly stop: AbortController;
  isConnected: boolean;
}

export class DraDrivers implements PluginHandler {
  readonly #options: DraDriversOptions;
  /** By driver, the newest last: two of them run while one replaces the other. */
  readonly #instances = new Map<string, readonly Instance[]>();
  /** Drivers whose slices are about to go. */
  readonly #leaving = new Map<string, AbortController>();

  constructor(options: DraDriversOptions) {
    this.#options = options;
  }

  /** No driver is there when a kubelet starts: pods must not come for its devices. */
  start(): void {
    const { scope } = this.#options;
    scope.task("stale-resource-slices", (signal) => this.#wipe(undefined, signal));
    scope.defer(() => {
      for (const { client } of [...this.#instances.values()].flat()) client.close();
    });
  }

  /** Throws where no such driver has registered. */
  client(driver: string): DraClient {
    const known = this.#instances.get(driver) ?? [];
    const best = known.findLast(({ isConnected }) => isConnected) ?? known.at(-1);
    if (best === undefined) throw new Error(`DRA driver ${driver} is not registered`);
    return best.client;
  }

  validate(plugin: Plugin): void {
    serviceOf(plugin);
  }

  async register(plugin: Plugin): Promise<void> {
    const { name, endpoint } = plugin;
    const known = this.#instances.get(name) ?? [];
    if (known.some((one) => one.endpoint === endpoint)) {
      const where = `endpoint ${endpoint} already registered`;
      throw new Error(`${where} for DRA driver plugin ${name}`);
    }
    const client = new DraClient(endpoint, serviceOf(plugin));
    const stop = new AbortController();
    const instance: Instance = { endpoint, client, stop, isConnected: true };
    this.#instances.set(name, [...known, instance]);
    this.#look(name);
    this.#options.runtime.log.info("A DRA driver has registered", { name, endpoint });
    this.#options.scope.task(`dra-driver ${name}`, (signal) =>
      this.#follow(name, instance, AbortSignal.any([signal, stop.signal])),
    );
  }

  async deregister({ name, endpoint }: Registered): Promise<void> {
    const known = this.#instances.get(name) ?? [];
    for (const one of known.filter((instance) => instance.endpoint === endpoint)) {
      one.stop.abort();
      one.client.close();
    }
    const left = known.filter((one) => one.endpoint !== endpoint);
    if (left.length > 0) this.#instances.set(name, left);
    else this.#instances.delete(name);
    this.#look(name);
  }

  /** Asks for the health of devices again and again, and sees by it whether the driver is there. */
  async #follow(name: string, instance: Instance, signal: AbortSignal): Promise<void> {
    const { runtime, onHealth } = this.#options;
    while (!signal.aborted) {
      let isConnected = true;
      try {
        for await (const told of instance.client.watchHealth(signal)) {
          this.#connected(name, instance, true);
          onHealth(name, told);
        }
      } catch (error) {
        isConnected = error instanceof ConnectError && error.code !== Code.Unavailable;
      }
      if (signal.aborted) return;
      onHealth(name, undefined);
      this.#connected(name, instance, isConnected);
      await runtime.clock.sleep(limits.retryMs, signal);
    }
  }

  #connected(name: string, instance: Instance, isConnected: boolean): void {
    if (instance.isConnected === isConnected) return;
    instance.isConnected = isConnected;
    this.#look(name);
  }

  #isThere(name: string): boolean {
    return (this.#instances.get(name) ?? []).some(({ isConnected }) => isConnected);
  }

  /** Slices of a driver that stays away go; they are its own to bring back. */
  #look(name: string): void {
    if (this.#isThere(name)) {
      this.#leaving.get(name)?.abort();
      this.#leaving.delete(name);
      return;
    }
    if (this.#leaving.has(name)) return;
    const away = new AbortController();
    this.#leaving.set(name, away);
    const { runtime, scope } = this.#options;
    scope.task(`away dra-driver ${name}`, async (ended) => {
      const signal = AbortSignal.any([ended, away.signal]);
      await runtime.clock.sleep(limits.awayMsMax, signal);
      await this.#wipe(name, signal);
      if (this.#leaving.get(name) === away) this.#leaving.delete(name);
    });
  }

  /** Deletes the slices of one driver, or of all, on this node. */
  async #wipe(driver: string | undefined, signal: AbortSignal): Promise<void> {
    const { client, nodeName, runtime } = this.#options;
    const ofDriver = driver === undefined ? "" : `,spec.driver=${driver}`;
    const fieldSelector = `spec.nodeName=${nodeName}${ofDriver}`;
    for (let waitMs: number = limits.wipeRetryMsMin; !signal.aborted; waitMs *= 2) {
      try {
        const { items } = await client.list(resourceSlices, "", { fieldSelector });
        // A driver that came back meanwhile has just told of its devices.
        for (const { metadata, spec } of items)
          if (!this.#isThere(spec.driver))
            await client.delete(resourceSlices, "", metadata.name ?? "");
        return;
      } catch (error) {
        runtime.log.debug("Cannot delete ResourceSlices", { fieldSelector, error: `${error}` });
        await runtime.clock.sleep(Math.min(waitMs, limits.wipeRetryMsMax), signal);
      }
    }
  }
}

/** The first of the driver's services that is known here. */
function serviceOf({ name, endpoint, versions }: Plugin): DraService {
  const chosen = versions.find((one) => (draServices as readonly string[]).includes(one));
  if (chosen !== undefined) return chosen as DraService;
  const shown = (list: readonly string[]) => `["${list.join('" "')}"]`;
  const why =
    versions.length === 0
      ? "empty list of supported gRPC services (aka supported versions)"
      : `none of services supported by the plugin (${shown(versions)}) are supported by the ` +
        `kubelet (${shown(draServices)})`;
  const which = `DRA driver plugin ${name} at endpoint ${endpoint}`;
  throw new Error(`invalid supported gRPC versions of ${which}: ${why}`);
}
