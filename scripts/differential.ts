/**
 * Sends the same requests to k3 and to Kubernetes' own kube-apiserver and compares the answers.
 *
 *   bun scripts/differential.ts
 *     --seed=N          of the mutations (1)
 *     --requests=N      how many mutations (2500)
 *     --parts=A,B       of lifecycle, custom, requests and mutations
 *     --only=REGEXP     only the kinds that match, in lifecycle and mutations
 *     --record          renew docs/differential.md
 *
 * Ends with 1 when an answer differs.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { describeFinding, type Finding, grouped, Pair } from "../test/differential/pair.ts";
import { prepare } from "../test/differential/prepare.ts";
import { Random } from "../test/differential/random.ts";
import { renderRecord } from "../test/differential/record.ts";
import { customResources } from "../test/differential/script-custom.ts";
import { lifecycle } from "../test/differential/script-lifecycle.ts";
import { mutations } from "../test/differential/script-mutations.ts";
import { requests } from "../test/differential/script-requests.ts";
import { buildUpstream, OUT, startServers } from "../test/differential/servers.ts";
import { readSubjects } from "../test/differential/subjects.ts";
import { ROOT } from "./deps.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    requests: { type: "string", default: "2500" },
    parts: { type: "string", default: "lifecycle,custom,requests,mutations" },
    only: { type: "string", default: "." },
    record: { type: "boolean", default: false },
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
  const { seed, parts: names } = values;
  if (values.record) {
    const document = renderRecord({ seed, parts: names, pair, groups });
    await Bun.write(join(ROOT, "docs/differential.md"), document);
  }
  console.log(
    `seed ${seed}: ${pair.count} requests, ${pair.findings.length} answers differ, ${groups.length} ways; see ${join(OUT, "report.txt")}`,
  );
  if (pair.findings.length > 0) process.exitCode = 1;
} finally {
  await servers.stop();
}
