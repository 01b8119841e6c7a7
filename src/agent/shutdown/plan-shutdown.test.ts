import { expect, test } from "bun:test";
import { gracesOf, secondsTogether, shutdownGroups } from "./plan-shutdown.ts";

const pods = [undefined, -5, 0, 10, 99, 2_000_000_000, 2_000_001_000].map((priority) => ({
  pod: { spec: priority === undefined ? {} : { priority } },
}));

const priorities = (graces: Parameters<typeof shutdownGroups>[0]) =>
  shutdownGroups(graces, pods).map((group) => group.pods.map(({ pod }) => pod.spec.priority));

test("the usual pods end before the critical ones", () => {
  const graces = gracesOf(30_000, 10_000);
  expect(shutdownGroups(graces, pods).map(({ seconds }) => seconds)).toEqual([20, 10]);
  expect(priorities(graces)).toEqual([
    [undefined, -5, 0, 10, 99],
    [2_000_000_000, 2_000_001_000],
  ]);
  expect(secondsTogether(graces)).toBe(30);
  expect(gracesOf(0, 0)).toEqual([]);
});

test("a pod is of the highest group that is not above it, or of the lowest", () => {
  const graces = [
    { priority: 50, seconds: 3 },
    { priority: 10, seconds: 2 },
    { priority: 60, seconds: 1 },
  ];
  expect(priorities(graces)).toEqual([
    [undefined, -5, 0, 10],
    [99, 2_000_000_000, 2_000_001_000],
  ]);
});
