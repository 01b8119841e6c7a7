/**
 * Lets only so many pieces of work through at a time: what waits for it goes first, then what only
 * tidies up, each first come first served. Work that hangs gives its place away.
 */
import type { Clock } from "../../runtime/runtime.ts";

export interface LaneLimits {
  readonly places: number;
  readonly heldMsMax: number;
}

export class Lane {
  readonly #clock: Clock;
  readonly #heldMsMax: number;
  #free: number;
  readonly #urgent: (() => void)[] = [];
  readonly #idle: (() => void)[] = [];

  constructor(clock: Clock, { places, heldMsMax }: LaneLimits) {
    this.#clock = clock;
    this.#free = places;
    this.#heldMsMax = heldMsMax;
  }

  /** Does the work when its turn has come. */
  async run(turn: "urgent" | "idle", work: () => Promise<void>): Promise<void> {
    if (this.#free > 0) this.#free -= 1;
    else {
      const queue = turn === "urgent" ? this.#urgent : this.#idle;
      await new Promise<void>((resolve) => queue.push(resolve));
    }
    const over = new AbortController();
    const done = work().finally(() => over.abort());
    void this.#clock.sleep(this.#heldMsMax, over.signal).then(() => this.#leave());
    await done;
  }

  #leave(): void {
    const next = this.#urgent.shift() ?? this.#idle.shift();
    if (next === undefined) this.#free += 1;
    else next();
  }
}

export interface LullLimits {
  readonly pollMs: number;
  readonly waitMsMax: number;
}

/** Lets work that can wait begin when nothing is busy any more, or has been for long. */
export class Lull {
  readonly #clock: Clock;
  readonly #limits: LullLimits;
  readonly #isBusy: () => boolean;
  #next: Promise<void> | undefined;

  constructor(clock: Clock, limits: LullLimits, isBusy: () => boolean) {
    this.#clock = clock;
    this.#limits = limits;
    this.#isBusy = isBusy;
  }

  /** Resolves at the next lull; all who wait share one look at what is busy. */
  async come(signal: AbortSignal): Promise<void> {
    this.#next ??= this.#look(signal).finally(() => {
      this.#next = undefined;
    });
    await this.#next;
  }

  async #look(signal: AbortSignal): Promise<void> {
    const { pollMs, waitMsMax } = this.#limits;
    const end = this.#clock.monotonicMs() + waitMsMax;
    while (!signal.aborted && this.#isBusy() && this.#clock.monotonicMs() < end) {
      await this.#clock.sleep(pollMs, signal);
    }
  }
}
