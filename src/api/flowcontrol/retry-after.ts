/** How long those turned away are asked to stay away: longer the more of them there are. */

const limits = { secondsMax: 32 } as const;

interface Dropped {
  readonly second: number;
  readonly requests: number;
}

/** Of one priority level. */
export class RetryAfter {
  #history: Dropped[] = [];
  #second = 0;
  #count = 0;
  #seconds = 1;
  #raisedAt = 0;

  get seconds(): number {
    return this.#seconds;
  }

  /** Counts a request turned away in the second `now` of the clock. */
  record(now: number): void {
    if (now === this.#second) {
      this.#count += 1;
      return;
    }
    this.#history.push({ second: this.#second, requests: this.#count });
    const keptSeconds = Math.min(2 * this.#seconds, limits.secondsMax);
    this.#history = this.#history.filter(({ second }) => now - second <= keptSeconds);
    this.#second = now;
    this.#count = 1;
    this.#adjust(now);
  }

  /** Doubles when many were dropped in as many seconds, and comes down one by one. */
  #adjust(now: number): void {
    const dropped = this.#history
      .filter(({ second }) => second < now && now - second <= this.#seconds)
      .reduce((sum, { requests }) => sum + requests, 0);
    if (now - this.#raisedAt >= this.#seconds && dropped >= 3 * this.#seconds) {
      this.#seconds = Math.min(2 * this.#seconds, limits.secondsMax);
      this.#raisedAt = now;
    } else if (dropped < this.#seconds && this.#seconds > 1) {
      this.#seconds -= 1;
    }
  }
}
