import { expect, test } from "bun:test";
import { filterInTurns, inTurns } from "./turns.ts";

/** A clock by which each item takes a millisecond. */
const slow = () => {
  let nowMs = 0;
  const work = (): void => {
    nowMs += 1;
  };
  return { clock: { monotonicMs: () => nowMs }, work };
};

test("long work gives way, and is done in order", async () => {
  const { clock, work } = slow();
  let turns = 0;
  let isDone = false;
  const count = (): void => {
    turns += 1;
    if (!isDone) setImmediate(count);
  };
  setImmediate(count);
  const items = Array.from({ length: 200 }, (_, i) => i);
  const doubled = await inTurns(clock, items, (item) => {
    work();
    return item * 2;
  });
  isDone = true;
  expect(doubled).toEqual(items.map((item) => item * 2));
  expect(turns).toBeGreaterThanOrEqual(6);
});

test("filterInTurns() keeps what is wanted", async () => {
  const { clock } = slow();
  expect(await filterInTurns(clock, [1, 2, 3, 4], (item) => item % 2 === 0)).toEqual([2, 4]);
});
