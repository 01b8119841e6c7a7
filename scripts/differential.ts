/**
 * Sends the same requests to k3 and to Kubernetes' own kube-apiserver and compares the answers.
 *
 *   bun scripts/differential.ts [--seed=N] [--requests=N] [--only=PART] [--record]
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { describeFinding, type Finding, grouped, Pair } from "../test/differential/pair.ts";
import { prepare } from "../test/differential/prepare.ts";
import { lifecycle } from "../test/differential/script-lifecycle.ts";
import { buildUpstream, OUT, startServers } from "../test/differential/servers.ts";
import { readSubjects } from "../test/differential/subjects.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    only: { type: "string", default: "." },
  },
});

await buildUpstream();
const servers = await startServers();
try {
  const pair = new Pair(servers);
  await prepare(pair);
  const only = new RegExp(values.only);
  for (const subject of await readSubjects(pair))
    if (only.test(subject.kind)) await lifecycle(pair, subject);
  const groups = grouped(pair.findings);
  const text = groups.map(
    ([signature, all]) =>
      `## ${all.length} × ${signature}\n${describeFinding(all.toSorted((a, b) => a.differences.length - b.differences.length)[0] as Finding)}\n`,
  );
  await Bun.write(join(OUT, "report.txt"), text.join("\n"));
  await Bun.write(join(OUT, "findings.json"), JSON.stringify(pair.findings));
  console.log(
    `${pair.count} requests, ${pair.findings.length} answers differ, ${groups.length} ways`,
  );
} finally {
  await servers.stop();
}
