/**
 * Device plugins: programs that offer devices of the node under a resource name. They register at
 * the kubelet's socket, tell what they have, and say what a container needs to use it.
 */
import { fromJson, type JsonValue, toJson } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import {
  ContainerAllocateResponseSchema,
  DevicePlugin,
  type DevicePluginOptions,
  type RegisterRequest,
  Registration,
} from "../../gen/cri/deviceplugin_pb.ts";
import type { Host } from "../../runtime/host.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { Scope } from "../../runtime/scope.ts";
import { criMessage, openSocket } from "../cri/client.ts";
import { wholeValue } from "../kubelet/resources.ts";
import { containersOf, isSidecar, type NamedContainer, type Pod, uidOf } from "../kubelet/types.ts";
import {
  chosen,
  DeviceError,
  type DeviceGrant,
  DeviceStore,
  type Holding,
} from "./device-store.ts";
import { serveSocket } from "./socket-server.ts";

export interface DeviceManagerOptions {
  readonly runtime: Runtime;
  readonly host: Host;
  readonly scope: Scope;
  /** /var/lib/kubelet */
  readonly rootDir: string;
  /** What the node offers has changed. */
  readonly onChange: () => void;
}

interface Endpoint {
  readonly client: Client<typeof DevicePlugin>;
  readonly options: DevicePluginOptions | undefined;
  readonly stop: AbortController;
  readonly close: () => void;
}

const apiVersion = "v1beta1";
const checkpointName = "kubelet_internal_checkpoint";
const resourceName =
  /^(?!([^/]*\.)?kubernetes\.io\/)[a-z0-9]([-a-z0-9.]*[a-z0-9])?\/[A-Za-z0-9][-\w.]*$/;

export class DeviceManager {
  readonly store = new DeviceStore();
  readonly #options: DeviceManagerOptions;
  readonly #endpoints = new Map<string, Endpoint>();
  readonly #dir: string;
  /** One pod is given devices at a time. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: DeviceManagerOptions) {
    this.#options = options;
    this.#dir = `${options.rootDir}/device-plugins`;
  }

  /** Opens the socket where plugins register; they wait for it to be made anew. */
  async start(): Promise<void> {
    const { host, scope } = this.#options;
    await host.mkdir(this.#dir, 0o750);
    await this.#readCheckpoint();
    for (const name of await host.list(this.#dir)) {
      const path = `${this.#dir}/${name}`;
      if ((await host.stat(path, false))?.kind === "socket") await host.remove(path);
    }
    const register = (request: RegisterRequest) => this.#register(request);
    const close = await serveSocket(`${this.#dir}/kubelet.sock`, (router) => {
      router.service(Registration, { register });
    });
    scope.defer(() => {
      for (const endpoint of this.#endpoints.values()) this.#stop(endpoint);
      return close();
    });
  }

  /** Gives the pod's containers the devices they ask for; the reason where that cannot be. */
  async allocate(pod: Pod): Promise<string | undefined> {
    const asked = containersOf(pod).some((named) => this.#wishes(named).length > 0);
    if (!asked) return undefined;
    const mine = this.#last.then(() => this.#allocatePod(pod));
    this.#last = mine.catch(() => {});
    try {
      await mine;
      return undefined;
    } catch (error) {
      const why = error instanceof DeviceError ? error.message : criMessage(error);
      return `Allocate failed due to ${why}, which is unexpected`;
    }
  }

  /** What a container is given; tells its plugins where they want to know of its start. */
  async grantsFor(podUid: string, container: string): Promise<readonly DeviceGrant[]> {
    const held = this.store.held(podUid, container);
    for (const { resource, ids } of held) {
      const endpoint = this.#endpoints.get(resource);
      if (endpoint?.options?.preStartRequired !== true) continue;
      await endpoint.client.preStartContainer({ devicesIds: [...ids] });
    }
    return held.map(({ grant }) => grant);
  }

  async release(podUid: string): Promise<void> {
    if (this.store.release(podUid)) await this.#writeCheckpoint();
  }

  /** Drops what was held by pods that are no longer there. */
  async retain(uids: ReadonlySet<string>): Promise<void> {
    for (const { podUid } of this.store.holdings()) {
      if (!uids.has(podUid)) await this.release(podUid);
    }
  }

  #wishes({ kind, container }: NamedContainer): readonly (readonly [string, number])[] {
    if (kind === "ephemeral") return [];
    return Object.entries(container.resources?.limits ?? {})
      .filter(([resource]) => this.store.isKnown(resource))
      .map(([resource, amount]) => [resource, wholeValue(amount)] as const)
      .filter(([, count]) => count > 0);
  }

  async #allocatePod(pod: Pod): Promise<void> {
    // Devices of init containers that have ended by then serve the containers after them.
    const reusable = new Map<string, readonly string[]>();
    for (const named of containersOf(pod)) {
      const isOnce = named.kind === "init" && !isSidecar(named);
      for (const [resource, count] of this.#wishes(named)) {
        const before = reusable.get(resource) ?? [];
        const held = await this.#allocateOne(pod, named, { resource, count, reusable: before });
        const all = isOnce ? [...before, ...held] : before.filter((id) => !held.includes(id));
        reusable.set(resource, [...new Set(all)]);
      }
    }
    await this.#writeCheckpoint();
  }

  async #allocateOne(
    pod: Pod,
    { container }: NamedContainer,
    wish: {
      readonly resource: string;
      readonly count: number;
      readonly reusable: readonly string[];
    },
  ): Promise<readonly string[]> {
    const { resource, count } = wish;
    const podUid = uidOf(pod);
    const known = this.store.held(podUid, container.name).find((one) => one.resource === resource);
    if (known !== undefined) return known.ids;
    const endpoint = this.#endpoints.get(resource);
    if (endpoint === undefined) {
      throw new DeviceError(`cannot allocate unregistered device ${resource}`);
    }
    const choice = this.store.choice(resource, count, wish.reusable);
    const ids = chosen(choice, count, await preferred(endpoint, choice, count));
    const answer = await endpoint.client.allocate({
      containerRequests: [{ devicesIds: [...ids] }],
    });
    const [grant] = answer.containerResponses;
    if (grant === undefined) {
      throw new DeviceError(`no containers in allocation response for ${resource}`);
    }
    this.store.add({ podUid, container: container.name, resource, ids, grant });
    return ids;
  }

  #register({ version, endpoint, resourceName: resource, options }: RegisterRequest) {
    if (version !== apiVersion) {
      const supported = `Supported version is ${JSON.stringify([apiVersion])}`;
      const asked = `requested API version ${JSON.stringify(version)} is not supported by kubelet`;
      throw new ConnectError(`${asked}. ${supported}`, Code.Unknown);
    }
    if (!resourceName.test(resource)) {
      const message = `the ResourceName ${JSON.stringify(resource)} is invalid`;
      throw new ConnectError(message, Code.Unknown);
    }
    const before = this.#endpoints.get(resource);
    if (before !== undefined) this.#stop(before);
    const { transport, close } = openSocket(`${this.#dir}/${endpoint}`);
    const client = createClient(DevicePlugin, transport);
    const made: Endpoint = { client, options, stop: new AbortController(), close };
    this.#endpoints.set(resource, made);
    this.#options.runtime.log.info("A device plugin has registered", { resource, endpoint });
    this.#options.scope.task(`device-plugin ${resource}`, () => this.#follow(resource, made));
    return {};
  }

  /** Ends with the plugin, which registers anew when it is back. */
  async #follow(resource: string, endpoint: Endpoint): Promise<void> {
    const { runtime, onChange, scope } = this.#options;
    const signal = AbortSignal.any([endpoint.stop.signal, scope.signal]);
    try {
      for await (const { devices } of endpoint.client.listAndWatch({}, { signal })) {
        this.store.offer(
          resource,
          devices.map(({ ID, health, topology }) => ({
            id: ID,
            healthy: health === "Healthy",
            numaNodes: (topology?.nodes ?? []).map((node) => Number(node.ID)),
          })),
        );
        await this.#writeCheckpoint();
        onChange();
      }
    } catch (error) {
      if (!signal.aborted) {
        runtime.log.warn("A device plugin is gone", { resource, error: `${error}` });
      }
    }
    if (this.#endpoints.get(resource) !== endpoint || scope.signal.aborted) return;
    this.#endpoints.delete(resource);
    this.#stop(endpoint);
    this.store.withdraw(resource);
    onChange();
  }

  #stop(endpoint: Endpoint): void {
    endpoint.stop.abort();
    endpoint.close();
  }

  async #readCheckpoint(): Promise<void> {
    const { runtime } = this.#options;
    const text = await runtime.files.readText(`${this.#dir}/${checkpointName}`);
    if (text === undefined) return;
    try {
      const found = JSON.parse(text) as Checkpoint;
      // Nobody can be given these before their plugin is back.
      for (const resource of found.resources) this.store.offer(resource, []);
      for (const holding of found.holdings) {
        const grant = fromJson(ContainerAllocateResponseSchema, holding.grant);
        this.store.add({ ...holding, grant });
      }
    } catch (error) {
      runtime.log.warn("Cannot read what devices pods hold", { error: `${error}` });
    }
  }

  async #writeCheckpoint(): Promise<void> {
    const holdings = this.store.holdings().map((holding) => ({
      ...holding,
      grant: toJson(ContainerAllocateResponseSchema, holding.grant as never),
    }));
    const checkpoint: Checkpoint = { resources: this.store.resources(), holdings };
    const path = `${this.#dir}/${checkpointName}`;
    await this.#options.runtime.files.writeAtomic(path, JSON.stringify(checkpoint), 0o600);
  }
}

interface Checkpoint {
  readonly resources: readonly string[];
  readonly holdings: readonly (Omit<Holding, "grant"> & { readonly grant: JsonValue })[];
}

/** The plugin's advice, where it gives any; it may be ignored. */
async function preferred(
  { client, options }: Endpoint,
  { must, free }: ReturnType<DeviceStore["choice"]>,
  count: number,
): Promise<readonly string[]> {
  const isNeeded = options?.getPreferredAllocationAvailable === true && must.length < count;
  if (!isNeeded) return [];
  const answer = await client.getPreferredAllocation({
    containerRequests: [
      {
        availableDeviceIDs: [...must, ...free],
        mustIncludeDeviceIDs: [...must],
        allocationSize: count,
      },
    ],
  });
  return answer.containerResponses[0]?.deviceIDs ?? [];
}
