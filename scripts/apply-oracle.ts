/**
 * Compares server-side apply with Kubernetes' own field manager on generated series of writes.
 *
 *   bun scripts/apply-oracle.ts [series of each kind] [seed]
 *
 * Needs Go, as the conformance suite does.
 */
import { join } from "node:path";
import {
  apiVersionOf,
  difference,
  kinds,
  type Outcome,
  ownOutcomes,
  type Step,
  seriesOf,
} from "../test/conformance/field-manager.ts";
import { mustRun } from "./apt.ts";
import { ROOT } from "./deps.ts";

const shownMax = 5;
const program = join(ROOT, "build/conformance/field-manager");

async function theirOutcomes(lines: readonly string[]): Promise<readonly Outcome[][]> {
  const child = Bun.spawn([program], { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
  const output = new Response(child.stdout).text();
  child.stdin.write(`${lines.join("\n")}\n`);
  await child.stdin.end();
  const text = await output;
  if ((await child.exited) !== 0) throw new Error("The field manager ended with an error.");
  return text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Outcome[]);
}

function lineOf(kind: (typeof kinds)[number], steps: readonly Step[]): string {
  const identity = { Group: kind.group, Version: "v1", Kind: kind.kind };
  return JSON.stringify({ Kind: identity, Writes: steps });
}

async function main(): Promise<number> {
  const count = Number(process.argv[2] ?? 300);
  const seed = Number(process.argv[3] ?? 1);
  const cwd = join(ROOT, "test/conformance");
  const build = ["nice", "go", "build", "-o", program, "./field-manager"];
  await mustRun(build, "The build needs Go and a module proxy that go env GOPROXY names.", { cwd });
  let same = 0;
  let different = 0;
  for (const kind of kinds) {
    const all = seriesOf(kind, count, seed);
    const theirs = await theirOutcomes(all.map((steps) => lineOf(kind, steps)));
    for (const [index, steps] of all.entries()) {
      const ours = ownOutcomes(kind, steps);
      for (const [at, outcome] of (theirs[index] ?? []).entries()) {
        const found = difference(outcome, ours[at] ?? {});
        if (found === undefined) same += 1;
        else if (++different <= shownMax) {
          const writes = JSON.stringify(steps.slice(0, at + 1));
          console.log(`${apiVersionOf(kind)} ${kind.kind}, seed ${seed}: ${writes}\n${found}\n`);
        }
        if (found !== undefined) break;
      }
    }
  }
  console.log(`${same} writes with the same outcome, ${different} with another`);
  return different === 0 ? 0 : 1;
}

process.exit(await main());
