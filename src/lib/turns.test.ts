import { expect, test } from "bun:test";
import { filterInTurns, inTurns, Turn, TurnShare } from "./turns.ts";

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

test("TurnShare lets work begin until its share is used up, the rest in order", async () => {
  let now = 0;
  const share = new TurnShare({ monotonicMs: () => now });
  const turns: string[] = [];
  let turn = 0;
  const begin = async (name: string): Promise<void> => {
    await share.enter();
    turns.push(`${turn}${name}`);
    now += 2;
  };
  let isOver = false;
  const count = (): void => {
    turn += 1;
    if (!isOver) setImmediate(count);
  };
  setImmediate(count);
  const works: Promise<void>[] = [];
  for (const name of "abcde") {
    works.push(begin(name));
    await Promise.resolve();
    await Promise.resolve();
  }
  await Promise.all(works);
  isOver = true;
  // Two fit in each turn's share of 3 ms, and none is overtaken.
  expect(turns.map((text) => text.slice(-1)).join("")).toBe("abcde");
  const perTurn = Map.groupBy(turns, (text) => text.slice(0, -1));
  expect([...perTurn.values()].every(({ length }) => length <= 2)).toBe(true);
});

test("of many that wait for their next turn, one goes on in each", async () => {
  const clock = { monotonicMs: () => 0 };
  const went: string[] = [];
  let isDone = false;
  const count = (): void => {
    went.push("others");
    if (!isDone) setImmediate(count);
  };
  setImmediate(count);
  await Promise.all(
    ["a", "b", "c"].map(async (name) => {
      await new Turn(clock).next();
      went.push(name);
    }),
  );
  isDone = true;
  expect(went.join(" ")).toMatch(/a( others)+ b( others)+ c/);
});
