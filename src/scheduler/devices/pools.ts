/** Pools of devices as one node sees them: complete ones, of the newest generation. */
import { matchesTerms } from "../../schema/placement.ts";
import type { LiveNode } from "../node-info.ts";
import type { LiveDevice, LiveSlice } from "./view.ts";

export type CounterSets = ReadonlyMap<string, Readonly<Record<string, { readonly value: string }>>>;

export interface Pool {
  readonly driver: string;
  readonly name: string;
  /** "incomplete": slices are missing; "invalid": they contradict each other. */
  readonly state: "complete" | "incomplete" | "invalid";
  /** Those with devices for the node, by name. */
  readonly slices: readonly LiveSlice[];
  /** Those with devices for other nodes, where these share counters with the node's. */
  readonly others: readonly LiveSlice[];
  readonly counters: CounterSets;
}

interface Placed {
  readonly nodeName?: string;
  readonly allNodes?: boolean;
  readonly nodeSelector?: LiveSlice["spec"]["nodeSelector"];
}

/** Whether devices that are placed like this are there for the node. */
export function isForNode({ nodeName, allNodes, nodeSelector }: Placed, node: LiveNode): boolean {
  if (nodeName) return nodeName === node.metadata.name;
  if (allNodes === true) return true;
  return nodeSelector !== undefined && matchesTerms(node, nodeSelector.nodeSelectorTerms);
}

function sharesCounters({ spec }: LiveSlice): boolean {
  return (spec.sharedCounters ?? []).length > 0;
}

function isRelevant(slice: LiveSlice, node: LiveNode): boolean {
  const { spec } = slice;
  if (sharesCounters(slice)) return true;
  if (spec.perDeviceNodeSelection === true)
    return (spec.devices ?? []).some((device) => isForNode(device, node));
  return isForNode(spec, node);
}

function poolKey({ spec: { driver, pool } }: LiveSlice): string {
  return `${driver}\n${pool.name}`;
}

function byPool(slices: Iterable<LiveSlice>): Map<string, LiveSlice[]> {
  const pools = new Map<string, LiveSlice[]>();
  for (const slice of slices) {
    const key = poolKey(slice);
    const known = pools.get(key);
    if (known === undefined) pools.set(key, [slice]);
    else known.push(slice);
  }
  return pools;
}

/** Only slices of the newest generation count. */
function newest(slices: readonly LiveSlice[]): { slices: LiveSlice[]; generation: number } {
  const generation = slices.reduce((most, { spec: { pool } }) => {
    return (pool.generation ?? 0) > most ? pool.generation : most;
  }, 0);
  return {
    slices: slices.filter(({ spec }) => (spec.pool.generation ?? 0) === generation),
    generation,
  };
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Slices as they are looked for: most belong to one node. */
export interface SliceIndex {
  readonly pools: ReadonlyMap<string, readonly LiveSlice[]>;
  readonly ofNode: ReadonlyMap<string, readonly LiveSlice[]>;
  readonly ofSeveral: readonly LiveSlice[];
}

export function indexSlices(all: readonly LiveSlice[]): SliceIndex {
  const isLocal = (slice: LiveSlice): boolean =>
    Boolean(slice.spec.nodeName) && !sharesCounters(slice);
  return {
    pools: byPool(all),
    ofNode: Map.groupBy(all.filter(isLocal), ({ spec }) => spec.nodeName ?? ""),
    ofSeveral: all.filter((slice) => !isLocal(slice)),
  };
}

/** The pools with devices for the node, in the order in which their devices are tried. */
export function gatherPools(index: SliceIndex, node: LiveNode): readonly Pool[] {
  const pools: Pool[] = [];
  const own = index.ofNode.get(node.metadata.name ?? "") ?? [];
  const shared = index.ofSeveral.filter((slice) => isRelevant(slice, node));
  for (const slices of byPool([...own, ...shared]).values()) {
    const seen = newest(slices);
    const [first] = seen.slices;
    if (first === undefined) continue;
    const whole = newest(index.pools.get(poolKey(first)) ?? []);
    const isComplete = seen.slices.length === first.spec.pool.resourceSliceCount;
    // The driver is about to replace what is there, by what is not for this node.
    if (!isComplete && whole.generation > seen.generation) continue;
    pools.push(poolOf(seen.slices, isComplete ? seen.slices : whole.slices));
  }
  // Devices that have to be waited for come last.
  return pools.sort(
    (a, b) =>
      Number(hasBindingConditions(a)) - Number(hasBindingConditions(b)) ||
      compare(a.driver, b.driver) ||
      compare(a.name, b.name),
  );
}

function hasBindingConditions({ slices }: Pool): boolean {
  return slices.some(({ spec }) =>
    (spec.devices ?? []).some(({ bindingConditions }) => bindingConditions !== undefined),
  );
}

function poolOf(forNode: readonly LiveSlice[], whole: readonly LiveSlice[]): Pool {
  const { driver, pool } = (forNode[0] as LiveSlice).spec;
  const identity = { driver, name: pool.name };
  const nothing = { ...identity, slices: [], others: [], counters: new Map() };
  if (whole.length !== pool.resourceSliceCount) return { ...nothing, state: "incomplete" };
  const sorted = forNode.toSorted((a, b) => compare(a.metadata.name ?? "", b.metadata.name ?? ""));
  const slices = sorted.filter((slice) => !sharesCounters(slice));
  const counters = countersOf(sorted.filter(sharesCounters));
  const others = whole.filter((slice) => !forNode.includes(slice));
  const isValid =
    counters !== undefined &&
    hasUniqueNames(slices) &&
    [...slices, ...others].every(({ spec }) =>
      (spec.devices ?? []).every((device) => usesKnownCounters(device, counters)),
    );
  return isValid
    ? { ...identity, state: "complete", slices, others, counters }
    : { ...nothing, state: "invalid" };
}

/** Undefined when two sets have one name. */
function countersOf(slices: readonly LiveSlice[]): CounterSets | undefined {
  const sets = slices.flatMap(({ spec }) => spec.sharedCounters ?? []);
  const counters = new Map(sets.map((set) => [set.name, set.counters ?? {}]));
  return counters.size === sets.length ? counters : undefined;
}

function hasUniqueNames(slices: readonly LiveSlice[]): boolean {
  const names = slices.flatMap(({ spec }) => (spec.devices ?? []).map(({ name }) => name));
  return new Set(names).size === names.length;
}

function usesKnownCounters(device: LiveDevice, counters: CounterSets): boolean {
  return (device.consumesCounters ?? []).every(({ counterSet, counters: used = {} }) => {
    const set = counters.get(counterSet);
    return set !== undefined && Object.keys(used).every((name) => Object.hasOwn(set, name));
  });
}
