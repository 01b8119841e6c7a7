/**
 * What thresholds that are crossed amount to over time: conditions of the node, which outlast them
 * by the transition period, and the one thing to reclaim now. Pure but for what it remembers.
 */
import {
  crossed,
  type Observations,
  type Pressure,
  signals,
  type Threshold,
} from "./eviction-thresholds.ts";

export interface PressureOptions {
  readonly thresholds: readonly Threshold[];
  readonly transitionMs: number;
}

export interface Demand {
  readonly threshold: Threshold;
  /** Everything that calls for action. */
  readonly all: readonly Threshold[];
}

const order: readonly Pressure[] = ["MemoryPressure", "DiskPressure", "PIDPressure"];

export class PressureState {
  readonly #options: PressureOptions;
  readonly #observedMs = new Map<Pressure, number>();
  #sinceMs: ReadonlyMap<Threshold, number> = new Map();
  #acted: readonly Threshold[] = [];
  #conditions: readonly Pressure[] = [];

  constructor(options: PressureOptions) {
    this.#options = options;
  }

  get conditions(): readonly Pressure[] {
    return this.#conditions;
  }

  /** Takes in what was seen; answers what has to be reclaimed. */
  observe(observations: Observations, nowMs: number): Demand | undefined {
    const { thresholds, transitionMs } = this.#options;
    const met = crossed(thresholds, observations, false);
    // What called for action goes on doing so until its least reclaim is reached.
    const open = crossed(this.#acted, observations, true);
    const all = [...new Set([...met, ...open])];
    this.#sinceMs = new Map(all.map((one) => [one, this.#sinceMs.get(one) ?? nowMs]));
    for (const { signal } of all) this.#observedMs.set(signals[signal].condition, nowMs);
    this.#conditions = order.filter((condition) => {
      const atMs = this.#observedMs.get(condition);
      return atMs !== undefined && (atMs === nowMs || nowMs - atMs < transitionMs);
    });
    this.#acted = all.filter((one) => nowMs - (this.#sinceMs.get(one) ?? nowMs) >= one.graceMs);
    const isMemory = ({ signal }: Threshold): boolean => signals[signal].resource === "memory";
    const threshold = this.#acted.find(isMemory) ?? this.#acted[0];
    return threshold === undefined ? undefined : { threshold, all: this.#acted };
  }

  /** True when every threshold is satisfied, its least reclaim included. */
  isRelieved(observations: Observations): boolean {
    return crossed(this.#options.thresholds, observations, true).length === 0;
  }
}
