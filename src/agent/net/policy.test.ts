/** Random policies in a real kernel, every pair of nine pods, against a plain evaluator. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { NodeNamespace } from "./testing/node-namespace.ts";
import { TruthTable } from "./testing/truth-table.ts";

/** `bun run bench policy` runs many more. */
const rounds = 12;
const seed = Number(process.env.K3_SEED ?? 20261121);
const reason = NodeNamespace.reasonToSkip();
if (reason !== undefined) console.log(`left out: network policies in a kernel: ${reason}`);

describe.skipIf(reason !== undefined)("network policies in a kernel", () => {
  let table: TruthTable;
  beforeAll(async () => {
    table = await TruthTable.open("k3p", seed);
  }, 60_000);
  afterAll(async () => {
    await table[Symbol.asyncDispose]();
  });

  test(
    `the kernel lets through what the policies say, in ${rounds} random sets`,
    async () => {
      for (let round = 0; round < rounds; round++) {
        const { policies, mismatches, probes } = await table.round();
        expect(probes).toBe(9 * 9 * 8);
        expect(mismatches, `seed ${seed}, round ${round}: ${JSON.stringify(policies)}`).toEqual([]);
      }
    },
    10_000 + rounds * 10_000,
  );
});
