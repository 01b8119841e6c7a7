/** Counters that the parts of one piece of hardware share. */
import { parseQuantity } from "../../lib/quantity.ts";
import { type Allocated, addConsumed, type Consumed, deviceKey } from "./allocated.ts";
import type { Pool } from "./pools.ts";
import type { LiveDevice } from "./view.ts";

function usedBy(device: LiveDevice): Consumed {
  const used = new Map<string, bigint>();
  for (const { counterSet, counters = {} } of device.consumesCounters ?? [])
    for (const [name, { value }] of Object.entries(counters))
      used.set(`${counterSet}/${name}`, parseQuantity(value).nano);
  return used;
}

/** What is left of a pool's counters besides what is allocated already. */
function leftIn(pool: Pool, { devices, shared }: Allocated): Map<string, bigint> {
  const left = new Map<string, bigint>();
  for (const [set, counters] of pool.counters)
    for (const [name, { value }] of Object.entries(counters))
      left.set(`${set}/${name}`, parseQuantity(value).nano);
  for (const { spec } of [...pool.slices, ...pool.others]) {
    for (const device of spec.devices ?? []) {
      const key = deviceKey(pool.driver, pool.name, device.name);
      if (!devices.has(key) && !shared.has(key)) continue;
      for (const [name, amount] of usedBy(device)) left.set(name, (left.get(name) ?? 0n) - amount);
    }
  }
  return left;
}

export class Counters {
  readonly #left = new Map<Pool, ReadonlyMap<string, bigint>>();
  readonly #taken = new Map<Pool, Consumed>();

  constructor(private readonly allocated: Allocated) {}

  /** Takes what the device needs; false, and nothing taken, when there is too little. */
  take(device: LiveDevice, pool: Pool): boolean {
    let left = this.#left.get(pool);
    if (left === undefined) {
      left = leftIn(pool, this.allocated);
      this.#left.set(pool, left);
    }
    const taken = addConsumed(this.#taken.get(pool), usedBy(device));
    for (const [name, amount] of left) if (amount < (taken.get(name) ?? 0n)) return false;
    this.#taken.set(pool, taken);
    return true;
  }

  giveBack(device: LiveDevice, pool: Pool): void {
    const taken = new Map(this.#taken.get(pool) ?? []);
    for (const [name, amount] of usedBy(device)) taken.set(name, (taken.get(name) ?? 0n) - amount);
    this.#taken.set(pool, taken);
  }
}
