import { expect, test } from "bun:test";
import { ExpiringCache } from "./expiring-cache.ts";

test("ExpiringCache forgets what is old, and what is used least when it is full", () => {
  let nowMs = 0;
  const cache = new ExpiringCache<number>(2, () => nowMs);
  cache.set("never", 0, 0);
  expect(cache.get("never")).toBeUndefined();
  cache.set("a", 1, 100);
  cache.set("b", 2, 200);
  expect(cache.get("a")).toBe(1);
  cache.set("c", 3, 200);
  expect([cache.get("a"), cache.get("b"), cache.get("c")]).toEqual([1, undefined, 3]);
  nowMs = 100;
  expect([cache.get("a"), cache.get("c"), cache.size]).toEqual([undefined, 3, 1]);
});
