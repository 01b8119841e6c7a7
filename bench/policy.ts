/**
 * The truth table of network policies: random sets of them in a real kernel, every pair of nine
 * pods in three namespaces by TCP and UDP in both address families, against a plain evaluator; and
 * how long the kernel takes to have a set. `K3_SEED` makes it another two hundred.
 */
import { NodeNamespace } from "../src/agent/net/testing/node-namespace.ts";
import { TruthTable } from "../src/agent/net/testing/truth-table.ts";
import type { Bench, Measure } from "./main.ts";

const sets = 200;
const seed = Number(process.env.K3_SEED ?? 20261122);

export const policyBench: Bench = {
  name: "policy",
  run: async () => {
    const reason = NodeNamespace.reasonToSkip();
    if (reason !== undefined) throw new Error(reason);
    await using table = await TruthTable.open("k3bp", seed);
    return await measure(table);
  },
};

async function measure(table: TruthTable): Promise<readonly Measure[]> {
  const applied: number[] = [];
  let [probes, allowed, mismatches] = [0, 0, 0];
  for (let set = 0; set < sets; set++) {
    const result = await table.round();
    applied.push(result.appliedMs);
    probes += result.probes;
    allowed += result.allowed;
    mismatches += result.mismatches.length;
    if (result.mismatches.length > 0)
      console.error(JSON.stringify({ seed, set, ...result }, null, 2));
  }
  return [
    { name: "random sets of policies", unit: "", runs: [sets], budget: "≥ 200" },
    { name: "probes", unit: "", runs: [probes] },
    { name: "probes let through", unit: "", runs: [allowed] },
    { name: "mismatches", unit: "", runs: [mismatches], budget: "≤ 0" },
    { name: "a set until the kernel has it", unit: "ms", runs: applied },
  ];
}
