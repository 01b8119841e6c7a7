/**
 * Finds devices for claims on one node: the first of all combinations that fits, in the order of
 * pools, slices and devices (upstream: `dynamic-resource-allocation/structured`).
 */
import type { LiveNode } from "../node-info.ts";
import { type Allocated, addConsumed, type Consumed, consumedOf, deviceKey } from "./allocated.ts";
import { consumption, hasCapacity } from "./capacity.ts";
import { Constraint } from "./constraints.ts";
import { Counters } from "./counters.ts";
import { gatherPools, type Pool, type SliceIndex } from "./pools.ts";
import {
  AllocationError,
  type Candidate,
  claimText,
  isSuitable,
  isTolerated,
  type Wanted,
  wantedBy,
} from "./requests.ts";
import type { DeviceClaim, DeviceView } from "./view.ts";

const limits = {
  resultsMax: 32,
  /** Upstream gives up after ten seconds; so much may be tried here for one node. */
  stepsMax: 200_000,
} as const;

/** Nothing fits here, for a reason of its own; other nodes may do. */
export class NodeAllocationError extends Error {
  override readonly name = "NodeAllocationError";
}

/** A device that a request gets. */
export interface Chosen {
  readonly wanted: Wanted;
  readonly candidate: Candidate;
  /** Of a device that is shared: what this share takes. */
  readonly consumed: Readonly<Record<string, string>> | undefined;
}

export interface ClaimResult {
  readonly claim: DeviceClaim;
  /** The request, or that alternative of it, that was met. */
  readonly met: readonly Wanted[];
  readonly devices: readonly Chosen[];
}

/** "too-many" ends more than "none": with so many devices asked for nothing else can help. */
type Outcome = "done" | "none" | "too-many";

interface Place {
  readonly pool: number;
  readonly slice: number;
  readonly device: number;
}
const start: Place = { pool: 0, slice: 0, device: 0 };

export interface AllocateInput {
  readonly claims: readonly DeviceClaim[];
  readonly node: LiveNode;
  readonly view: DeviceView;
  readonly slices: SliceIndex;
  readonly allocated: Allocated;
}

/**
 * The devices of each claim; undefined when the node has not got them.
 *
 * @throws AllocationError, NodeAllocationError
 */
export function allocate(input: AllocateInput): readonly ClaimResult[] | undefined {
  return new Search(input).run();
}

interface Request {
  readonly alternatives: readonly Wanted[];
  /** Which of them is being tried, and stands when all is done. */
  tried: number;
}

class Search {
  readonly #claims: readonly DeviceClaim[];
  readonly #node: LiveNode;
  readonly #allocated: Allocated;
  readonly #pools: readonly Pool[];
  readonly #requests: readonly (readonly Request[])[];
  readonly #constraints: readonly (readonly Constraint[])[];
  readonly #counters: Counters;
  /** Which claims, by index, each device is being given to. */
  readonly #given = new Map<string, number[]>();
  readonly #shares = new Map<string, Consumed[]>();
  readonly #chosen: readonly Chosen[][];
  readonly #all = new Map<Wanted, readonly Candidate[]>();
  #steps = 0;

  constructor({ claims, node, view, slices, allocated }: AllocateInput) {
    this.#claims = claims;
    this.#node = node;
    this.#allocated = allocated;
    this.#pools = gatherPools(slices, node);
    this.#counters = new Counters(allocated);
    this.#requests = claims.map((claim) =>
      wantedBy(claim, view).map((alternatives) => ({ alternatives, tried: 0 })),
    );
    this.#constraints = claims.map(({ spec }) =>
      (spec?.devices?.constraints ?? []).map((one) => new Constraint(one)),
    );
    this.#chosen = claims.map(() => []);
  }

  run(): readonly ClaimResult[] | undefined {
    for (const requests of this.#requests) this.#checkCount(requests);
    const outcome = this.#request(0, 0);
    if (outcome === "too-many") throw new AllocationError("allocation max size exceeded");
    if (outcome === "done") {
      return this.#claims.map((claim, index) => ({
        claim,
        met: (this.#requests[index] ?? []).map(
          ({ alternatives, tried }) => alternatives[tried] as Wanted,
        ),
        devices: this.#chosen[index] ?? [],
      }));
    }
    if (this.#pools.some(({ state }) => state === "invalid"))
      throw new NodeAllocationError("invalid resource pools were encountered");
    return undefined;
  }

  /** Finds all devices of requests for all, and refuses what cannot be written down. */
  #checkCount(requests: readonly Request[]): void {
    let least = 0;
    for (const { alternatives } of requests)
      least += Math.min(...alternatives.map((wanted) => this.#countOf(wanted)));
    const [first] = requests[0]?.alternatives ?? [];
    if (least <= limits.resultsMax || first === undefined) return;
    const limit = `exceeds the claim limit of ${limits.resultsMax}`;
    const text = `number of requested devices ${least} ${limit}`;
    throw new AllocationError(`claim ${claimText(first.claim)}: ${text}`);
  }

  #countOf(wanted: Wanted): number {
    return wanted.takesAll ? this.#allFor(wanted).length : Number(wanted.count);
  }

  #allFor(wanted: Wanted): readonly Candidate[] {
    const known = this.#all.get(wanted);
    if (known !== undefined) return known;
    const found: Candidate[] = [];
    for (const pool of this.#pools) {
      if (pool.state !== "complete") throw unusable(wanted, pool);
      for (const candidate of candidatesIn(pool))
        if (isSuitable(wanted, candidate, this.#node) && this.#hasCapacity(wanted, candidate))
          found.push(candidate);
    }
    this.#all.set(wanted, found);
    return found;
  }

  #request(claim: number, index: number): Outcome {
    const requests = this.#requests[claim];
    if (requests === undefined) return "done";
    const request = requests[index];
    if (request === undefined) {
      // What is too much for the next claim may be less with other alternatives of this one.
      const outcome = this.#request(claim + 1, 0);
      return outcome === "too-many" ? "none" : outcome;
    }
    let isAlwaysTooMany = true;
    for (let tried = 0; tried < request.alternatives.length; tried++) {
      request.tried = tried;
      const outcome = this.#devices(claim, index, 0, start);
      if (outcome === "done") return outcome;
      if (outcome === "none") isAlwaysTooMany = false;
    }
    return isAlwaysTooMany ? "too-many" : "none";
  }

  /** From the `count`th device of a request on; those before `from` were tried for it already. */
  #devices(claim: number, index: number, count: number, from: Place): Outcome {
    this.#step();
    const request = this.#requests[claim]?.[index] as Request;
    const wanted = request.alternatives[request.tried] as Wanted;
    const total = this.#countOf(wanted);
    if (wanted.takesAll && total === 0) return "none";
    if (count >= total) return this.#request(claim, index + 1);
    const chosen = this.#chosen[claim] as Chosen[];
    if (chosen.length + total - count > limits.resultsMax) return "too-many";
    if (wanted.takesAll) {
      const candidate = this.#allFor(wanted)[count] as Candidate;
      const undo = this.#give(claim, wanted, candidate);
      if (undo === undefined) return "none";
      const outcome = this.#devices(claim, index, count + 1, start);
      if (outcome !== "done") undo();
      return outcome;
    }
    for (const [candidate, place] of this.#candidates(from)) {
      if (!this.#isUsable(claim, wanted, candidate)) continue;
      const undo = this.#give(claim, wanted, candidate);
      if (undo === undefined) continue;
      const outcome = this.#devices(claim, index, count + 1, place);
      if (outcome === "done") return outcome;
      undo();
      if (outcome === "too-many") return outcome;
    }
    return "none";
  }

  #step(): void {
    this.#steps += 1;
    if (this.#steps <= limits.stepsMax) return;
    const { name } = this.#node.metadata;
    throw new AllocationError(`node ${name}: timed out trying to allocate devices`);
  }

  /** The devices of usable pools from a place on, each with the place after it. */
  *#candidates(from: Place): Generator<readonly [Candidate, Place]> {
    for (let pool = from.pool; pool < this.#pools.length; pool++) {
      const one = this.#pools[pool] as Pool;
      if (one.state !== "complete") continue;
      const isFirstPool = pool === from.pool;
      for (let slice = isFirstPool ? from.slice : 0; slice < one.slices.length; slice++) {
        const devices = one.slices[slice]?.spec.devices ?? [];
        let device = isFirstPool && slice === from.slice ? from.device : 0;
        for (; device < devices.length; device++)
          yield [candidateAt(one, slice, device), { pool, slice, device: device + 1 }];
      }
    }
  }

  #isUsable(claim: number, wanted: Wanted, candidate: Candidate): boolean {
    if (this.#isTaken(claim, wanted, candidate.key)) return false;
    return isSuitable(wanted, candidate, this.#node) && this.#hasCapacity(wanted, candidate);
  }

  /** Who administers a device may have what others have, but not twice. */
  #isTaken(claim: number, { isAdmin }: Wanted, key: string): boolean {
    const given = this.#given.get(key) ?? [];
    return isAdmin ? given.includes(claim) : this.#allocated.devices.has(key) || given.length > 0;
  }

  #hasCapacity({ capacity }: Wanted, { device, key }: Candidate): boolean {
    const taken = [this.#allocated.shared.get(key), ...(this.#shares.get(key) ?? [])];
    return hasCapacity(device, capacity, taken);
  }

  /** Gives the device to the claim; undefined, and nothing done, when that cannot be. */
  #give(claim: number, wanted: Wanted, candidate: Candidate): (() => void) | undefined {
    const { device, key, pool } = candidate;
    const isShared = device.allowMultipleAllocations === true;
    if (this.#isTaken(claim, wanted, key) || !isTolerated(wanted, device)) return undefined;
    if (!this.#hasCapacity(wanted, candidate)) return undefined;
    // The first share of a device takes the counters for all of them.
    const shares = this.#shares.get(key) ?? [];
    const isOpened = isShared && (this.#allocated.shared.has(key) || shares.length > 0);
    const counts = !isOpened && (device.consumesCounters ?? []).length > 0;
    if (counts && !this.#counters.take(device, pool)) return undefined;
    const constraints = this.#constraints[claim] ?? [];
    const refusing = constraints.findIndex((one) => !one.add(wanted.name, device, pool.driver));
    if (refusing >= 0) {
      for (const one of constraints.slice(0, refusing)) one.remove(wanted.name);
      if (counts) this.#counters.giveBack(device, pool);
      if (wanted.takesAll) throw unfitting(wanted, key);
      return undefined;
    }
    const consumed = isShared ? consumption(wanted.capacity, device.capacity ?? {}) : undefined;
    if (consumed === undefined) this.#given.set(key, [...(this.#given.get(key) ?? []), claim]);
    else this.#shares.set(key, [...shares, addConsumed(undefined, consumedOf(consumed))]);
    this.#chosen[claim]?.push({ wanted, candidate, consumed });
    return () => {
      this.#chosen[claim]?.pop();
      if (consumed === undefined) this.#given.get(key)?.pop();
      else this.#shares.get(key)?.pop();
      for (const one of constraints) one.remove(wanted.name);
      if (counts) this.#counters.giveBack(device, pool);
    };
  }
}

function unusable({ claim, name }: Wanted, { driver, name: pool, state }: Pool): AllocationError {
  const why = state === "invalid" ? "currently invalid" : "currently being updated";
  const text = `asks for all devices, but resource pool ${driver}/${pool} is ${why}`;
  const request = name.alternative ?? name.request;
  return new AllocationError(`claim ${claimText(claim)}, request ${request}: ${text}`);
}

function unfitting({ claim, name }: Wanted, key: string): AllocationError {
  const text = `cannot add device ${key} because a claim constraint would not be satisfied`;
  const request = name.alternative ?? name.request;
  return new AllocationError(`claim ${claimText(claim)}, request ${request}: ${text}`);
}

function candidateAt(pool: Pool, slice: number, index: number): Candidate {
  const one = pool.slices[slice] as Candidate["slice"];
  const device = one.spec.devices?.[index] as Candidate["device"];
  return { key: deviceKey(pool.driver, pool.name, device.name), device, slice: one, pool };
}

function* candidatesIn(pool: Pool): Generator<Candidate> {
  for (let slice = 0; slice < pool.slices.length; slice++)
    for (let index = 0; index < (pool.slices[slice]?.spec.devices ?? []).length; index++)
      yield candidateAt(pool, slice, index);
}
