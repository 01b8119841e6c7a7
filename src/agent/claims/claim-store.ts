/** What is known of claims that pods of this node use; kept on disk in upstream's form. */
import type { Runtime } from "../../runtime/runtime.ts";
import type { ClaimName, PreparedDevice } from "./dra-client.ts";

/** A claim, who uses it here, and its devices by driver. */
export interface HeldClaim extends ClaimName {
  readonly podUids: Set<string>;
  readonly drivers: Map<string, readonly PreparedDevice[]>;
  /** By this kubelet: one that starts anew prepares again, which changes nothing. */
  isPrepared: boolean;
}

/** The file, as upstream writes it. */
interface StoredDevice {
  readonly PoolName: string;
  readonly DeviceName: string;
  readonly ShareID?: string | null;
  readonly RequestNames: readonly string[] | null;
  readonly CDIDeviceIDs: readonly string[] | null;
}
interface StoredClaim {
  readonly ClaimUID: string;
  readonly ClaimName: string;
  readonly Namespace: string;
  readonly PodUIDs: Readonly<Record<string, object>> | null;
  readonly DriverState: Readonly<
    Record<string, { readonly Devices: readonly StoredDevice[] | null }>
  >;
}

const identity = { kind: "DRACheckpoint", apiVersion: "checkpoint.dra.kubelet.k8s.io/v1" };

function keyOf(namespace: string, name: string): string {
  return `${namespace}/${name}`;
}

export class ClaimStore {
  readonly #claims = new Map<string, HeldClaim>();
  readonly #runtime: Runtime;
  readonly #path: string;

  constructor(runtime: Runtime, rootDir: string) {
    this.#runtime = runtime;
    this.#path = `${rootDir}/dra_manager_state`;
  }

  get(namespace: string, name: string): HeldClaim | undefined {
    return this.#claims.get(keyOf(namespace, name));
  }

  list(): readonly HeldClaim[] {
    return [...this.#claims.values()];
  }

  add({ namespace, name, uid }: ClaimName, drivers: readonly string[]): HeldClaim {
    const claim: HeldClaim = {
      namespace,
      name,
      uid,
      podUids: new Set(),
      drivers: new Map(drivers.map((driver) => [driver, []])),
      isPrepared: false,
    };
    this.#claims.set(keyOf(namespace, name), claim);
    return claim;
  }

  remove({ namespace, name }: ClaimName): void {
    this.#claims.delete(keyOf(namespace, name));
  }

  async load(): Promise<void> {
    const text = await this.#runtime.files.readText(this.#path);
    if (text === undefined) return;
    try {
      const { Data: data, Checksum: checksum } = JSON.parse(text) as {
        Data: string;
        Checksum: number;
      };
      if (Bun.hash.crc32(data) !== checksum) throw new Error("the checksum is wrong");
      const { ClaimInfoStateList: list } = JSON.parse(data) as {
        ClaimInfoStateList: readonly StoredClaim[] | null;
      };
      for (const stored of list ?? []) this.#restore(stored);
    } catch (error) {
      const { log } = this.#runtime;
      log.error("Cannot read what claims are prepared", { path: this.#path, error: `${error}` });
    }
  }

  #restore(stored: StoredClaim): void {
    const { ClaimUID: uid, ClaimName: name, Namespace: namespace } = stored;
    const claim = this.add({ uid, name, namespace }, []);
    for (const pod of Object.keys(stored.PodUIDs ?? {})) claim.podUids.add(pod);
    for (const [driver, { Devices: devices }] of Object.entries(stored.DriverState))
      claim.drivers.set(driver, (devices ?? []).map(deviceOf));
  }

  async save(): Promise<void> {
    const ClaimInfoStateList = this.list().map(storedOf);
    const Data = JSON.stringify({ ...identity, ClaimInfoStateList });
    const text = JSON.stringify({ Data, Checksum: Bun.hash.crc32(Data) });
    await this.#runtime.files.writeAtomic(this.#path, text, 0o600);
  }
}

function storedOf(claim: HeldClaim): StoredClaim {
  return {
    ClaimUID: claim.uid,
    ClaimName: claim.name,
    Namespace: claim.namespace,
    PodUIDs: Object.fromEntries([...claim.podUids].map((uid) => [uid, {}])),
    DriverState: Object.fromEntries(
      [...claim.drivers].map(([driver, devices]) => [driver, { Devices: devices.map(stored) }]),
    ),
  };
}

function stored(device: PreparedDevice): StoredDevice {
  return {
    PoolName: device.poolName,
    DeviceName: device.deviceName,
    ShareID: device.shareId ?? null,
    RequestNames: device.requestNames,
    CDIDeviceIDs: device.cdiDeviceIds,
  };
}

function deviceOf(device: StoredDevice): PreparedDevice {
  return {
    poolName: device.PoolName,
    deviceName: device.DeviceName,
    shareId: device.ShareID ?? undefined,
    requestNames: device.RequestNames ?? [],
    cdiDeviceIds: device.CDIDeviceIDs ?? [],
  };
}
