/**
 * Sends the same requests to k3 and to Kubernetes' own kube-apiserver and compares the answers.
 *
 *   bun scripts/differential.ts [--seed=N] [--requests=N] [--only=PART] [--record]
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { describeFinding, type Finding, grouped, Pair } from "../test/differential/pair.ts";
import { prepare } from "../test/differential/prepare.ts";
import { Random } from "../test/differential/random.ts";
import { customResources } from "../test/differential/script-custom.ts";
import { lifecycle } from "../test/differential/script-lifecycle.ts";
import { mutations } from "../test/differential/script-mutations.ts";
import { requests } from "../test/differential/script-requests.ts";
import { buildUpstream, OUT, startServers } from "../test/differential/servers.ts";
import { readSubjects } from "../test/differential/subjects.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    requests: { type: "string", default: "2000" },
    parts: { type: "string", default: "lifecycle,custom,requests,mutations" },
    only: { type: "string", default: "." },
  },
});

const parts = new Set(values.parts.split(","));
await buildUpstream();
const servers = await startServers();
try {
  const pair = new Pair(servers);
  await prepare(pair);
  const only = new RegExp(values.only);
  const subjects = (await readSubjects(pair)).filter(({ kind }) => only.test(kind));
  if (parts.has("lifecycle")) for (const subject of subjects) await lifecycle(pair, subject);
  if (parts.has("custom")) await customResources(pair);
  if (parts.has("requests")) await requests(pair);
  if (parts.has("mutations"))
    await mutations(pair, subjects, new Random(Number(values.seed)), Number(values.requests));
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
