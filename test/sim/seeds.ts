/** Seeds as tests. `K3_SEED=<n>` replays one bit for bit, `K3_SEEDS` says how many are run. */
import { expect, test } from "bun:test";
import { simulate } from "./simulation.ts";

const only = process.env.K3_SEED;
const count = Number(process.env.K3_SEEDS ?? 500);

function chosen(isOdd: boolean): readonly number[] {
  const seeds =
    only === undefined ? Array.from({ length: count }, (_, i) => i + 1) : [Number(only)];
  return seeds.filter((seed) => (seed % 2 === 1) === isOdd);
}

/** Half of the seeds: two files share them, as each processor runs one. */
export function testSeeds(isOdd: boolean): void {
  test.each(chosen(isOdd))("seed %d", async (seed) => {
    const { problems } = await simulate(seed);
    expect(problems).toEqual([]);
  });
}
