/** Eviction signals and the thresholds that are set for them (`nodefs.available<5%`). Pure. */
import { formatQuantity, parseQuantity } from "../../lib/quantity.ts";

export type Pressure = "MemoryPressure" | "DiskPressure" | "PIDPressure";
export type StarvedResource = "memory" | "ephemeral-storage" | "inodes" | "pids";

interface SignalRow {
  readonly condition: Pressure;
  readonly resource: StarvedResource;
}

const memory: SignalRow = { condition: "MemoryPressure", resource: "memory" };
const disk: SignalRow = { condition: "DiskPressure", resource: "ephemeral-storage" };
const inodes: SignalRow = { condition: "DiskPressure", resource: "inodes" };

export const signals = {
  "memory.available": memory,
  "allocatableMemory.available": memory,
  "nodefs.available": disk,
  "nodefs.inodesFree": inodes,
  "imagefs.available": disk,
  "imagefs.inodesFree": inodes,
  "containerfs.available": disk,
  "containerfs.inodesFree": inodes,
  "pid.available": { condition: "PIDPressure", resource: "pids" },
} as const satisfies Record<string, SignalRow>;

export type Signal = keyof typeof signals;
/** What the user wrote, by signal. */
export type Statements = Readonly<Record<string, string>>;

/** An amount, or a share of the capacity. */
export type Value = { readonly amount: number } | { readonly share: number };

export interface Threshold {
  readonly signal: Signal;
  readonly value: Value;
  /** 0 for a hard threshold. */
  readonly graceMs: number;
  readonly minReclaim: Value | undefined;
}

/** What is left of something, and how much there is in all. */
export interface Observation {
  readonly available: number;
  readonly capacity: number;
}

export type Observations = ReadonlyMap<Signal, Observation>;

export interface EvictionStatements {
  readonly evictionHard: Statements;
  readonly evictionSoft: Statements;
  readonly evictionSoftGracePeriodMs: Readonly<Record<string, number>>;
  readonly evictionMinimumReclaim: Statements;
}

function isSignal(name: string): name is Signal {
  return Object.hasOwn(signals, name);
}

export function signalOf(name: string): Signal {
  if (!isSignal(name)) throw new RangeError(`unsupported eviction signal ${name}`);
  return name;
}

/** Undefined for a threshold that is never met; throws RangeError in upstream's words. */
export function thresholdValue(signal: string, text: string): Value | undefined {
  if (text === "0%" || text === "100%") return undefined;
  if (text.endsWith("%")) {
    const share = shareOf(text);
    const what = `eviction percentage threshold ${signal} must be`;
    if (share < 0) throw new RangeError(`${what} >= 0%: ${text}`);
    if (share > 1) throw new RangeError(`${what} <= 100%: ${text}`);
    return { share };
  }
  const amount = Number(parseQuantity(text).nano) / 1e9;
  if (amount > 0) return { amount };
  throw new RangeError(`eviction threshold ${signal} must be positive: ${text}`);
}

export function reclaimValue(signal: string, text: string): Value {
  if (text.endsWith("%")) {
    const share = shareOf(text);
    if (share > 0) return { share };
    const what = `eviction percentage minimum reclaim ${signal} must be positive`;
    throw new RangeError(`${what}: ${text}`);
  }
  const amount = Number(parseQuantity(text).nano) / 1e9;
  if (amount >= 0) return { amount };
  throw new RangeError(`negative eviction minimum reclaim specified for ${signal}`);
}

function shareOf(text: string): number {
  const number = text.slice(0, -1);
  if (/^[+-]?(\d+\.?\d*|\.\d+)$/.test(number)) return Number(number) / 100;
  throw new RangeError(`strconv.ParseFloat: parsing ${JSON.stringify(number)}: invalid syntax`);
}

/**
 * The thresholds to watch. Those of containerfs are always the ones of the file system that it
 * shares with images or with the node, so that nothing of their own is left to watch.
 */
export function thresholdsOf(config: EvictionStatements): readonly Threshold[] {
  const of = (statements: Statements, graceOf: (signal: Signal) => number): Threshold[] =>
    Object.entries(statements).flatMap(([name, text]) => {
      const signal = signalOf(name);
      const value = thresholdValue(signal, text);
      const least = config.evictionMinimumReclaim[signal];
      const minReclaim = least === undefined ? undefined : reclaimValue(signal, least);
      if (value === undefined || signal.startsWith("containerfs.")) return [];
      return [{ signal, value, graceMs: graceOf(signal), minReclaim }];
    });
  const hard = of(config.evictionHard, () => 0);
  const soft = of(config.evictionSoft, (signal) => {
    const graceMs = config.evictionSoftGracePeriodMs[signal];
    if (graceMs !== undefined) return graceMs;
    throw new RangeError(
      `grace period must be specified for the soft eviction threshold ${signal}`,
    );
  });
  const pods = hard
    .filter(({ signal }) => signal === "memory.available")
    .map((one): Threshold => ({ ...one, signal: "allocatableMemory.available" }));
  return [...hard, ...soft, ...pods];
}

export function amountOf(value: Value, capacity: number): number {
  return "amount" in value ? value.amount : Math.floor(capacity * value.share);
}

/** Thresholds that are crossed; with `reclaiming` those short of their least reclaim, too. */
export function crossed(
  thresholds: readonly Threshold[],
  observations: Observations,
  reclaiming: boolean,
): readonly Threshold[] {
  return thresholds.filter(({ signal, value, minReclaim }) => {
    const seen = observations.get(signal);
    if (seen === undefined) return false;
    const more = reclaiming && minReclaim !== undefined ? amountOf(minReclaim, seen.capacity) : 0;
    return amountOf(value, seen.capacity) + more > seen.available;
  });
}

/** An amount of the signal's resource as upstream prints it. */
export function printed(resource: StarvedResource, amount: number): string {
  const isBytes = resource === "memory" || resource === "ephemeral-storage";
  const nano = BigInt(Math.floor(amount)) * 1_000_000_000n;
  return formatQuantity({ nano, format: isBytes ? "BinarySI" : "DecimalSI" });
}
