import { expect, test } from "bun:test";
import { SortedObjects } from "./sorted-objects.ts";

const of = (key: string, value = 0) => ({ key, value });
const keys = (sorted: SortedObjects<{ key: string; value: number }>, prefix: string) =>
  sorted.startingWith(prefix).map(({ key }) => key);

test("a prefix finds its range and nothing beside it", () => {
  const sorted = new SortedObjects<{ key: string; value: number }>();
  for (const key of ["b/2", "a/1", "b/10", "b.x/1", "b0/1", "b/1", "c/1"]) sorted.set(of(key));
  expect(keys(sorted, "b/")).toEqual(["b/1", "b/10", "b/2"]);
  expect(keys(sorted, "b")).toEqual(["b.x/1", "b/1", "b/10", "b/2", "b0/1"]);
  expect(keys(sorted, "d/")).toEqual([]);
  sorted.delete("b/10");
  sorted.delete("nothing");
  sorted.set(of("b/2", 7));
  expect(sorted.startingWith("b/")).toEqual([of("b/1"), of("b/2", 7)]);
});

test("many are taken at once, in place of those with their keys", () => {
  const sorted = new SortedObjects<{ key: string; value: number }>();
  for (const key of ["c", "a"]) sorted.set(of(key));
  sorted.setAll([of("d"), of("a", 1), of("b")]);
  expect(sorted.startingWith("")).toEqual([of("a", 1), of("b"), of("c"), of("d")]);
});
