/** Hands out cluster IPs and node ports; what is in use is read from the services themselves. */

/** min(max(16, size/16), 256): the low offsets that are handed out only when asked for or last. */
export function staticBand(size: number, least = 16, step = 16, most = 256): number {
  if (size <= least) return 0;
  return Math.min(most, Math.max(least, Math.floor(size / step)));
}

/** How long a number stays ours before the stored object alone must show that it is in use. */
const holdMs = 30_000;

/**
 * Picks numbers of 0..size-1 at random, those above the static band first. What stored objects hold
 * is asked through `inUse`; the holds only bridge the time between picking and storing.
 */
export class NumberAllocator {
  private readonly heldUntil = new Map<number, number>();

  constructor(
    private readonly size: number,
    private readonly band: number,
    private readonly random: (below: number) => number,
    private readonly nowMs: () => number,
  ) {}

  /** True while the number is picked, but not yet stored. */
  isHeld(offset: number): boolean {
    const until = this.heldUntil.get(offset);
    if (until === undefined) return false;
    if (until > this.nowMs()) return true;
    this.heldUntil.delete(offset);
    return false;
  }

  /** Takes `offset`; false when it is taken. */
  take(offset: number, inUse: (offset: number) => boolean): boolean {
    if (this.isHeld(offset) || inUse(offset)) return false;
    this.heldUntil.set(offset, this.nowMs() + holdMs);
    return true;
  }

  /** Any free number, or undefined when all are taken. */
  takeAny(inUse: (offset: number) => boolean): number | undefined {
    for (const [from, to] of [
      [this.band, this.size],
      [0, this.band],
    ] as const) {
      const span = to - from;
      if (span <= 0) continue;
      const start = this.random(span);
      for (let step = 0; step < span; step += 1) {
        const offset = from + ((start + step) % span);
        if (this.take(offset, inUse)) return offset;
      }
    }
    return undefined;
  }

  release(offset: number): void {
    this.heldUntil.delete(offset);
  }
}
