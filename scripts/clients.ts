/**
 * Runs programs that were written for upstream's API server against k3 and keeps the score.
 *
 *   bun scripts/clients.ts NAME...    client-go, client-node, envtest, helm, kubectl-cmd; or all
 *     --only=TEXT   only the tests whose names contain this
 *     --build       build and fetch what they need, and no more
 *     --record      renew test/clients/score.json and docs/clients.md
 */
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { suite as clientGo } from "../test/clients/client-go/suite.ts";
import { suite as clientNode } from "../test/clients/client-node/suite.ts";
import { suite as envtest } from "../test/clients/envtest/suite.ts";
import { suite as helm } from "../test/clients/helm/suite.ts";
import { suite as kubectlCmd } from "../test/clients/kubectl-cmd/suite.ts";
import { mergeScore, renderScore, type Score } from "../test/clients/score.ts";
import { OUT, type Suite } from "../test/clients/suite.ts";
import { ROOT } from "./deps.ts";

const SCORE = join(ROOT, "test/clients/score.json");
const DOC = join(ROOT, "docs/clients.md");

const suites: Readonly<Record<string, Suite>> = {
  "client-go": clientGo,
  "client-node": clientNode,
  envtest,
  helm,
  "kubectl-cmd": kubectlCmd,
};

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    args: process.argv.slice(2),
    allowPositionals: true,
    options: {
      build: { type: "boolean", default: false },
      only: { type: "string", default: "" },
      record: { type: "boolean", default: false },
    },
  });
  const names = positionals[0] === "all" ? Object.keys(suites) : positionals;
  if (names.length === 0) throw new Error(`Say which: all, ${Object.keys(suites).join(", ")}.`);
  let failures = 0;
  for (const name of names) {
    const suite = suites[name];
    if (suite === undefined) throw new Error(`There is no suite ${name}.`);
    await suite.prepare();
    if (values.build) continue;
    const time = new Date().toISOString().slice(0, 19).replace(/[-:]/g, "");
    const dir = join(OUT, `${time}-${name}`);
    mkdirSync(dir, { recursive: true });
    console.log(`Running ${suite.title}; logs are in ${dir}`);
    const results = await suite.run(dir, values.only);
    const failed = results.filter(({ problem }) => problem !== undefined);
    failures += failed.length;
    console.log(`${name}: ${results.length - failed.length} of ${results.length} passed`);
    if (values.record) {
      const before = JSON.parse(readFileSync(SCORE, "utf8")) as Score;
      const score = mergeScore(before, name, suite.title, results);
      await Bun.write(SCORE, `${JSON.stringify(score, null, 2)}\n`);
      await Bun.write(DOC, renderScore(score));
    }
  }
  return failures === 0 ? 0 : 1;
}

try {
  process.exit(await main());
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(2);
}
