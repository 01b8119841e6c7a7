/** Cuts long work into turns of the event loop, so that others are served in between. */

const limits = { turnMs: 4, itemsBetweenLooks: 32 } as const;

export interface MonotonicClock {
  monotonicMs(): number;
}

/** As `items.map(make)`, in turns. */
export async function inTurns<T, R>(
  clock: MonotonicClock,
  items: readonly T[],
  make: (item: T) => R,
): Promise<R[]> {
  const made: R[] = [];
  let endsMs = clock.monotonicMs() + limits.turnMs;
  for (const item of items) {
    made.push(make(item));
    if (made.length % limits.itemsBetweenLooks !== 0 || clock.monotonicMs() < endsMs) continue;
    await nextTurn();
    endsMs = clock.monotonicMs() + limits.turnMs;
  }
  return made;
}

export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
