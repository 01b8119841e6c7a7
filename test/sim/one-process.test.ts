/** Clusters as k3 runs them: controllers and scheduler see every write of the server at once. */
import { expect, test } from "bun:test";
import { testSeeds } from "./seeds.ts";
import { simulate } from "./simulation.ts";

testSeeds(false);

test("a seed is replayed bit for bit", async () => {
  const [first, second] = [await simulate(4), await simulate(4)];
  expect(first.trace.length).toBeGreaterThan(100);
  expect(second.trace).toEqual(first.trace);
});
