/** Which devices are in use: as a whole, or by how much of what they can share. */
import { parseQuantity } from "../../lib/quantity.ts";
import type { Allocation, DeviceView } from "./view.ts";

/** Amounts by name, in units of 10⁻⁹. */
export type Consumed = ReadonlyMap<string, bigint>;

export interface Allocated {
  readonly devices: ReadonlySet<string>;
  /** Of devices that several claims share. */
  readonly shared: ReadonlyMap<string, Consumed>;
}

/** Identifies a device among all. */
export function deviceKey(driver: string, pool: string, device: string): string {
  return `${driver}/${pool}/${device}`;
}

export function addConsumed(a: Consumed | undefined, b: Consumed): Map<string, bigint> {
  const sum = new Map(a ?? []);
  for (const [name, amount] of b) sum.set(name, (sum.get(name) ?? 0n) + amount);
  return sum;
}

/** What claims have, and what is promised to them. */
export function allocatedDevices(view: DeviceView): Allocated {
  const devices = new Set<string>();
  const shared = new Map<string, Consumed>();
  const count = (allocation: Allocation | undefined): void => {
    for (const result of allocation?.devices?.results ?? []) {
      // Who only administers a device takes it from nobody.
      if (result.adminAccess === true) continue;
      const key = deviceKey(result.driver, result.pool, result.device);
      if (result.shareID === undefined) devices.add(key);
      else shared.set(key, addConsumed(shared.get(key), consumedOf(result.consumedCapacity)));
    }
  };
  for (const claim of view.claims()) count(claim.status?.allocation);
  for (const allocation of view.pending.values()) count(allocation);
  return { devices, shared };
}

/** Amounts as quantities write them. */
export function consumedOf(amounts: Readonly<Record<string, string>> | undefined): Consumed {
  const entries = Object.entries(amounts ?? {});
  return new Map(entries.map(([name, amount]) => [name, parseQuantity(amount).nano]));
}
