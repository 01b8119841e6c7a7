/** Which devices there are and which containers hold them. */
import type { ContainerAllocateResponse } from "../../gen/cri/deviceplugin_pb.ts";

export interface Device {
  readonly id: string;
  readonly healthy: boolean;
  readonly numaNodes: readonly number[];
}

/** What a plugin wants a container to be given together with its devices. */
export type DeviceGrant = Pick<
  ContainerAllocateResponse,
  "envs" | "mounts" | "devices" | "annotations" | "cdiDevices"
>;

export interface Holding {
  readonly podUid: string;
  readonly container: string;
  readonly resource: string;
  readonly ids: readonly string[];
  readonly grant: DeviceGrant;
}

/** Why a container cannot be given devices, in upstream's words. */
export class DeviceError extends Error {
  override readonly name = "DeviceError";
}

export class DeviceStore {
  readonly #devices = new Map<string, readonly Device[]>();
  #holdings: readonly Holding[] = [];

  /** Resources that some plugin has offered at any time. */
  resources(): readonly string[] {
    return [...this.#devices.keys()];
  }

  isKnown(resource: string): boolean {
    return this.#devices.has(resource);
  }

  devicesOf(resource: string): readonly Device[] {
    return this.#devices.get(resource) ?? [];
  }

  offer(resource: string, devices: readonly Device[]): void {
    this.#devices.set(resource, devices);
  }

  /** The plugin is gone: what it offered is there, but nobody can be given it. */
  withdraw(resource: string): void {
    const devices = this.devicesOf(resource).map((device) => ({ ...device, healthy: false }));
    this.#devices.set(resource, devices);
  }

  holdings(): readonly Holding[] {
    return this.#holdings;
  }

  held(podUid: string, container: string): readonly Holding[] {
    return this.#holdings.filter((one) => one.podUid === podUid && one.container === container);
  }

  add(holding: Holding): void {
    this.#holdings = [...this.#holdings, holding];
  }

  release(podUid: string): boolean {
    const left = this.#holdings.filter((one) => one.podUid !== podUid);
    const isLess = left.length < this.#holdings.length;
    this.#holdings = left;
    return isLess;
  }

  /** Totals for the Node object: all devices, and those that can be given away. */
  totals(): {
    readonly capacity: Record<string, string>;
    readonly allocatable: Record<string, string>;
  } {
    const capacity: Record<string, string> = {};
    const allocatable: Record<string, string> = {};
    for (const [resource, devices] of this.#devices) {
      capacity[resource] = `${devices.length}`;
      allocatable[resource] = `${devices.filter(({ healthy }) => healthy).length}`;
    }
    return { capacity, allocatable };
  }

  /**
   * What may be chosen from for a container: first `reusable`, devices of the pod's init containers
   * that have run by then. Throws DeviceError where that is not enough.
   */
  choice(
    resource: string,
    count: number,
    reusable: readonly string[],
  ): {
    readonly must: readonly string[];
    readonly free: readonly string[];
  } {
    const devices = this.devicesOf(resource);
    const healthy = devices.filter((device) => device.healthy).map(({ id }) => id);
    if (devices.length > 0 && healthy.length === 0) {
      const why = "no healthy devices present; cannot allocate unhealthy devices";
      throw new DeviceError(`${why} ${resource}`);
    }
    const must = reusable.filter((id) => healthy.includes(id)).slice(0, count);
    const taken = new Set(
      this.#holdings.filter((one) => one.resource === resource).flatMap(({ ids }) => ids),
    );
    const free = healthy.filter((id) => !taken.has(id));
    if (must.length + free.length < count) {
      const figures = `Requested: ${count - must.length}, Available: ${free.length}`;
      throw new DeviceError(`requested number of devices unavailable for ${resource}. ${figures}`);
    }
    return { must, free };
  }
}

/** As many of what may be chosen as are needed: what must be, what is preferred, the rest. */
export function chosen(
  { must, free }: ReturnType<DeviceStore["choice"]>,
  count: number,
  preferred: readonly string[],
): readonly string[] {
  const wanted = preferred.filter((id) => must.includes(id) || free.includes(id));
  return [...new Set([...must, ...wanted, ...free])].slice(0, count);
}
