/** Cuts long work into turns of the event loop, so that others are served in between. */

const limits = { turnMs: 4, itemsBetweenLooks: 32 } as const;

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

async function eachInTurns<T>(
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

export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
