/** Cuts long work into turns of the event loop, so that others are served in between. */

const limits = {
  turnMs: 4,
  itemsBetweenLooks: 32,
  shareMs: 3,
  betweenLooksMs: 0.25,
  stepsUnseenMax: 64,
  resumedMsMax: 20,
} as const;

export interface MonotonicClock {
  monotonicMs(): number;
}

/** As `items.map(make)`, in turns. */
export async function inTurns<T, R>(
  clock: MonotonicClock,
  items: Iterable<T>,
  make: (item: T) => R,
): Promise<R[]> {
  const made: R[] = [];
  await eachInTurns(clock, items, (item) => void made.push(make(item)));
  return made;
}

/** As `items.filter(isWanted)`, in turns. */
export async function filterInTurns<T>(
  clock: MonotonicClock,
  items: Iterable<T>,
  isWanted: (item: T) => boolean,
): Promise<T[]> {
  const wanted: T[] = [];
  await eachInTurns(clock, items, (item) => {
    if (isWanted(item)) wanted.push(item);
  });
  return wanted;
}

/** Visits all items, in turns. */
export async function eachInTurns<T>(
  clock: MonotonicClock,
  items: Iterable<T>,
  visit: (item: T) => void,
): Promise<void> {
  let endsMs = clock.monotonicMs() + limits.turnMs;
  let left: number = limits.itemsBetweenLooks;
  for (const item of items) {
    visit(item);
    left -= 1;
    if (left > 0) continue;
    left = limits.itemsBetweenLooks;
    if (clock.monotonicMs() < endsMs) continue;
    await nextTurn();
    endsMs = clock.monotonicMs() + limits.turnMs;
  }
}

let lastGranted: Promise<void> = Promise.resolve();

/**
 * The turn of work that asks by itself whether it is over: the quicker its steps, the more seldom
 * the clock is looked at.
 */
export class Turn {
  #startedMs: number;
  #endsMs: number;
  #lookedMs: number;
  #every = 1;
  #left = 1;

  constructor(private readonly clock: MonotonicClock) {
    this.#startedMs = this.#lookedMs = clock.monotonicMs();
    this.#endsMs = this.#startedMs + limits.turnMs;
  }

  isOver(): boolean {
    this.#left -= 1;
    if (this.#left > 0) return false;
    const now = this.clock.monotonicMs();
    const isQuick = now - this.#lookedMs < limits.betweenLooksMs;
    this.#every = isQuick ? Math.min(this.#every * 2, limits.stepsUnseenMax) : 1;
    this.#left = this.#every;
    this.#lookedMs = now;
    return now >= this.#endsMs;
  }

  /** Lets others have theirs: of all that wait so, one goes on in each turn of the event loop. */
  async next(): Promise<void> {
    lastGranted = lastGranted.then(nextTurn);
    await lastGranted;
    this.#startedMs = this.#lookedMs = this.clock.monotonicMs();
    this.#endsMs = this.#startedMs + limits.turnMs;
  }

  /** The work is where it was when the last turn ended: at least as long as that took is left. */
  resume(): void {
    const now = this.clock.monotonicMs();
    const tookMs = Math.min(now - this.#startedMs, limits.resumedMsMax);
    this.#endsMs = Math.max(this.#endsMs, now + tookMs);
    // However slow it is, a step is made in each turn.
    this.#left = Math.max(this.#left, 2);
  }
}

export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/**
 * How much of one kind of work begins in one turn of the event loop: the rest waits for later ones,
 * in its order. Who waited for the same thing comes at once, and would keep all others waiting.
 */
export class TurnShare {
  #isBegun = false;
  #endsMs = 0;

  constructor(private readonly clock: MonotonicClock) {}

  /** Undefined for what may begin now. */
  enter(): Promise<void> | undefined {
    return this.#hasRoom() ? undefined : this.#wait();
  }

  async #wait(): Promise<void> {
    do await nextTurn();
    while (!this.#hasRoom());
  }

  #hasRoom(): boolean {
    const now = this.clock.monotonicMs();
    if (!this.#isBegun) {
      this.#isBegun = true;
      this.#endsMs = now + limits.shareMs;
      setImmediate(() => {
        this.#isBegun = false;
      });
    }
    return now < this.#endsMs;
  }
}
