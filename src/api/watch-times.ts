/** When watches get their bookmarks and when they end: one timer for all of them. */
import { eachInTurns } from "../lib/turns.ts";
import type { Clock } from "../runtime/runtime.ts";

const limits = { fineMs: 100, coarseMs: 1000, coarseFromMs: 30_000 } as const;

export interface Timed {
  /** Its time has come; it may have been removed meanwhile. */
  due(): void;
}

export class WatchTimes {
  /** By the time at which they are due. */
  readonly #slots = new Map<number, Set<Timed>>();
  #wakesMs = Number.POSITIVE_INFINITY;
  #sleep: AbortController | undefined;

  constructor(private readonly clock: Clock) {}

  /** Calls `timed.due()` in `ms` or a little later; the answer removes it. */
  add(timed: Timed, ms: number): number {
    const grainMs = ms < limits.coarseFromMs ? limits.fineMs : limits.coarseMs;
    const slot = Math.ceil((this.clock.monotonicMs() + ms) / grainMs) * grainMs;
    const members = this.#slots.get(slot);
    if (members === undefined) this.#slots.set(slot, new Set([timed]));
    else members.add(timed);
    if (slot < this.#wakesMs) this.#sleepUntil(slot);
    return slot;
  }

  remove(timed: Timed, slot: number): void {
    const members = this.#slots.get(slot);
    if (members === undefined) return;
    members.delete(timed);
    if (members.size === 0) this.#slots.delete(slot);
    if (this.#slots.size === 0) this.#sleepOn();
  }

  #sleepUntil(slot: number): void {
    this.#sleep?.abort();
    const sleep = new AbortController();
    this.#sleep = sleep;
    this.#wakesMs = slot;
    const wake = async (): Promise<void> => {
      await this.clock.sleep(Math.max(slot - this.clock.monotonicMs(), 1), sleep.signal);
      if (!sleep.signal.aborted) await this.#wake();
    };
    void wake();
  }

  /** Many may be due at once. */
  async #wake(): Promise<void> {
    const now = this.clock.monotonicMs();
    const due: Timed[] = [];
    for (const [slot, members] of this.#slots) {
      if (slot > now) continue;
      due.push(...members);
      this.#slots.delete(slot);
    }
    this.#sleepOn();
    await eachInTurns(this.clock, due, (timed) => timed.due());
  }

  /** Until the next one, if there is one. */
  #sleepOn(): void {
    this.#sleep?.abort();
    this.#sleep = undefined;
    this.#wakesMs = Number.POSITIVE_INFINITY;
    let next = Number.POSITIVE_INFINITY;
    for (const slot of this.#slots.keys()) next = Math.min(next, slot);
    if (next < Number.POSITIVE_INFINITY) this.#sleepUntil(next);
  }
}
