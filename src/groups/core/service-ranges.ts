/** The ranges that cluster IPs come from: those of the command line, and every ServiceCIDR. */

import type { WriteContext } from "../../api/resource-definition.ts";
import { serviceCIDRs } from "../../client/resources.ts";
import type { Service } from "../../gen/core-v1.ts";
import {
  type AddressRange,
  fromNumber,
  isInRange,
  parseRange,
  toNumber,
} from "../../lib/ip-range.ts";
import { NumberAllocator, staticBand } from "./address-allocator.ts";

const allocatableMax = 2 ** 20;

interface RangeState {
  readonly range: AddressRange;
  readonly numbers: NumberAllocator;
}

export type IsInUse = (address: string) => boolean;

export function allocatorOf(
  size: number,
  band: number,
  { runtime }: WriteContext<Service>,
): NumberAllocator {
  return new NumberAllocator(
    size,
    band,
    (below) => runtime.random.int(below),
    () => runtime.clock.monotonicMs(),
  );
}

export class ServiceRanges {
  readonly #states = new Map<string, RangeState>();

  constructor(private readonly own: readonly string[]) {}

  /** Undefined where no range holds the address; false when it is somebody's. */
  take(address: string, isInUse: IsInUse, context: WriteContext<Service>): boolean | undefined {
    const state = this.#ready(context).find(({ range }) => isInRange(address, range));
    if (state === undefined) return undefined;
    return state.numbers.take(offsetOf(address, state), () =>
      this.#isBusy(address, isInUse, state),
    );
  }

  /** Any free address of the family; undefined when all are somebody's. */
  takeAny(family: string, isInUse: IsInUse, context: WriteContext<Service>): string | undefined {
    for (const state of this.#ready(context)) {
      if (state.range.family !== family) continue;
      const addressOf = (offset: number): string =>
        fromNumber(state.range.first + 1n + BigInt(offset), state.range.family);
      const offset = state.numbers.takeAny((one) => this.#isBusy(addressOf(one), isInUse, state));
      if (offset !== undefined) return addressOf(offset);
    }
    return undefined;
  }

  release(address: string): void {
    for (const state of this.#states.values()) {
      if (isInRange(address, state.range)) state.numbers.release(offsetOf(address, state));
    }
  }

  /** Ranges may overlap: what is held in one of them is held in all. */
  #isBusy(address: string, isInUse: IsInUse, own: RangeState): boolean {
    if (isInUse(address)) return true;
    for (const state of this.#states.values()) {
      if (state === own || !isInRange(address, state.range)) continue;
      if (state.numbers.isHeld(offsetOf(address, state))) return true;
    }
    return false;
  }

  /** Those of the command line first; none whose ServiceCIDR is going, unless another has it. */
  #ready(context: WriteContext<Service>): readonly RangeState[] {
    const objects = Array.from(context.live.of(serviceCIDRs).list(), ({ object }) => object);
    const leaving = new Set<string>();
    const staying = new Set<string>();
    for (const { metadata, spec } of objects) {
      const set = metadata.deletionTimestamp === undefined ? staying : leaving;
      for (const cidr of spec?.cidrs ?? []) set.add(cidr);
    }
    const all = new Set([...this.own, ...[...staying].sort()]);
    const ready = [...all].filter((cidr) => staying.has(cidr) || !leaving.has(cidr));
    return ready.map((cidr) => this.#state(cidr, context));
  }

  #state(cidr: string, context: WriteContext<Service>): RangeState {
    const known = this.#states.get(cidr);
    if (known !== undefined) return known;
    const range = parseRange(cidr);
    const usable = range.family === "IPv4" ? range.size - 2n : range.size - 1n;
    const size = Number(usable > BigInt(allocatableMax) ? BigInt(allocatableMax) : usable);
    const state = { range, numbers: allocatorOf(size, staticBand(size), context) };
    this.#states.set(cidr, state);
    return state;
  }
}

function offsetOf(address: string, { range }: RangeState): number {
  return Number(toNumber(address) - range.first - 1n);
}
