/**
 * Sends the same requests to k3 and to Kubernetes' own kube-apiserver and compares the answers.
 *
 *   bun scripts/differential.ts
 *     --seeds=A,B-C     of the mutations (1)
 *     --requests=N      how many mutations of each seed (2500)
 *     --parts=A,B       of lifecycle, custom, requests, edges and mutations
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
import { type Row, renderRecord } from "../test/differential/record.ts";
import { customResources } from "../test/differential/script-custom.ts";
import { edges } from "../test/differential/script-edges.ts";
import { lifecycle } from "../test/differential/script-lifecycle.ts";
import { mutations } from "../test/differential/script-mutations.ts";
import { requests } from "../test/differential/script-requests.ts";
import { buildUpstream, OUT, startServers } from "../test/differential/servers.ts";
import { readSubjects } from "../test/differential/subjects.ts";
import { ROOT } from "./deps.ts";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "1" },
    requests: { type: "string", default: "2500" },
    parts: { type: "string", default: "lifecycle,custom,requests,edges,mutations" },
    only: { type: "string", default: "." },
    record: { type: "boolean", default: false },
  },
});

/** What `1,5-7` names: 1, 5, 6 and 7. */
function seedsOf(text: string): readonly number[] {
  return text.split(",").flatMap((range) => {
    const [first = Number.NaN, last = first] = range.split("-").map(Number);
    if (!(first <= last)) throw new Error(`${text} are no seeds: write them as 1,5-7.`);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
}

function shortest(findings: readonly Finding[]): Finding {
  const ordered = findings.toSorted((a, b) => a.differences.length - b.differences.length);
  return ordered[0] as Finding;
}

const parts = new Set(values.parts.split(","));
const seeds = seedsOf(values.seeds);
await buildUpstream();
const servers = await startServers();
try {
  const pair = new Pair(servers);
  const rows: Row[] = [];
  /** Counts what `run` sends as one row of the score. */
  const counted = async (part: string, run: () => Promise<void>): Promise<void> => {
    const [count, found] = [pair.count, pair.findings.length];
    await run();
    const ways = grouped(pair.findings.slice(found)).length;
    const row = { part, count: pair.count - count, found: pair.findings.length - found, ways };
    rows.push(row);
    console.log(`${part}: ${row.count} requests, ${row.found} answers differ, ${ways} ways`);
  };
  await prepare(pair);
  const only = new RegExp(values.only);
  const subjects = (await readSubjects(pair)).filter(({ kind }) => only.test(kind));
  const all: Readonly<Record<string, () => Promise<void>>> = {
    lifecycle: async () => {
      for (const subject of subjects) await lifecycle(pair, subject);
    },
    custom: () => customResources(pair),
    requests: () => requests(pair),
    edges: () => edges(pair),
  };
  for (const [part, run] of Object.entries(all)) if (parts.has(part)) await counted(part, run);
  for (const seed of parts.has("mutations") ? seeds : [])
    await counted(`mutations, seed ${seed}`, () =>
      mutations(pair, subjects, new Random(seed), Number(values.requests)),
    );
  const text = grouped(pair.findings).map(
    ([signature, found]) =>
      `## ${found.length} × ${signature}\n${describeFinding(shortest(found))}\n`,
  );
  await Bun.write(join(OUT, "report.txt"), text.join("\n"));
  await Bun.write(join(OUT, "findings.json"), JSON.stringify(pair.findings));
  if (values.record)
    await Bun.write(join(ROOT, "docs/differential.md"), renderRecord({ rows, pair }));
  console.log(`${pair.findings.length} answers differ; see ${join(OUT, "report.txt")}`);
  if (pair.findings.length > 0) process.exitCode = 1;
} finally {
  await servers.stop();
}
