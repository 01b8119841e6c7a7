/**
 * Does faults to a node again and again, and counts what holds after them.
 *
 *   bun scripts/faults.ts [NAME…] [--count=100] [--record]   --record renews their lines in docs/faults.md
 *
 * It needs a machine of its own: containers run, a small file system is mounted on
 * /var/lib/kubelet, and processes are told a time that is not.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { reasonToSkip } from "../test/e2e/cluster.ts";
import { Bed, identity } from "../test/faults/bed.ts";
import { type Fault, faults } from "../test/faults/cases.ts";
import { ROOT } from "./deps.ts";

interface Score {
  readonly fault: Fault;
  /** Milliseconds of each time until all was well again. */
  readonly took: readonly number[];
  readonly problems: readonly string[];
}

async function once(bed: Bed, fault: Fault): Promise<readonly string[]> {
  const before = new Map((await bed.pods("app")).map((pod) => [pod.metadata.name, identity(pod)]));
  await fault.run(bed);
  await bed.settled();
  const after = await bed.pods("app");
  const changed = after.filter(({ metadata: { name } }) => !fault.mayRestart.test(name));
  const restarts = changed
    .filter((pod) => before.get(pod.metadata.name) !== identity(pod))
    .map((pod) => `${pod.metadata.name} was ${before.get(pod.metadata.name)}: ${identity(pod)}`);
  return [...restarts, ...(await bed.leaks())];
}

async function score(bed: Bed, fault: Fault, count: number): Promise<Score> {
  const took: number[] = [];
  const problems: string[] = [];
  for (let run = 1; run <= count; run++) {
    const begin = performance.now();
    try {
      const found = await once(bed, fault);
      took.push(performance.now() - begin);
      for (const one of found) problems.push(`run ${run}: ${one}`);
    } catch (error) {
      problems.push(`run ${run}: ${error instanceof Error ? error.message : error}`);
      await bed.settled().catch(() => {});
    }
    const last = problems.findLast((one) => one.startsWith(`run ${run}:`));
    console.log(`${fault.name} ${run}/${count} ${last?.split("\n")[0] ?? "ok"}`);
  }
  return { fault, took, problems };
}

const head = [
  "| fault | what | day | well again | median | slowest |",
  "|---|---|---|---|---|---|",
];

function rowOf({ fault, took, problems }: Score, count: number): string {
  const bad = new Set(problems.map((one) => one.split(":")[0])).size;
  const sorted = took.toSorted((a, b) => a - b);
  const seconds = (ms: number | undefined): string => `${((ms ?? 0) / 1000).toFixed(1)} s`;
  const day = new Date().toISOString().slice(0, 10);
  const held = `${count - bad} of ${count}`;
  const times = `${seconds(sorted[sorted.length >> 1])} | ${seconds(sorted.at(-1))}`;
  return `| ${fault.name} | ${fault.what} | ${day} | ${held} | ${times} |`;
}

/** The page, where faults that were not done this time keep what `old` tells of them. */
function render(scores: readonly Score[], count: number, old: string): string {
  const kept = old.split("\n");
  const rows: string[] = [];
  const problems: string[] = [];
  for (const { name } of faults) {
    const score = scores.find(({ fault }) => fault.name === name);
    if (score === undefined) {
      rows.push(...kept.filter((line) => line.startsWith(`| ${name} |`)));
      problems.push(...kept.filter((line) => line.startsWith(`- ${name}, `)));
      continue;
    }
    rows.push(rowOf(score, count));
    problems.push(...score.problems.map((one) => `- ${name}, ${one.split("\n")[0]}`));
  }
  return `# Faults

Each fault is done again and again to a node with three pods (\`bun scripts/faults.ts --record\`). Well again means: the workload is ready, no container
was started anew that need not be, and no link, address, network namespace, mount, cgroup, directory or shim is left of pods that are gone. The times are those
from the fault until all of it holds.

${[...head, ...rows].join("\n")}

${problems.length === 0 ? "Nothing went wrong." : `What went wrong:\n\n${problems.join("\n")}`}
`;
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      count: { type: "string", default: "100" },
      record: { type: "boolean", default: false },
    },
  });
  const why = reasonToSkip();
  const unknown = positionals.find((name) => !faults.some((fault) => fault.name === name));
  if (why !== undefined || unknown !== undefined) {
    console.error(why ?? `${unknown} is none of ${faults.map(({ name }) => name).join(", ")}`);
    return 2;
  }
  const count = Number(values.count);
  const isWanted = ({ name }: Fault): boolean =>
    positionals.length === 0 || positionals.includes(name);
  mkdirSync("/var/lib/kubelet", { recursive: true });
  Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=64m", "pods", "/var/lib/kubelet"]);
  const bed = new Bed();
  const scores: Score[] = [];
  try {
    await bed.start();
    await bed.make();
    for (const fault of faults.filter(isWanted)) scores.push(await score(bed, fault, count));
  } finally {
    await bed.cluster.destroy();
    Bun.spawnSync(["umount", "/var/lib/kubelet"]);
  }
  console.log([...head, ...scores.map((one) => rowOf(one, count))].join("\n"));
  if (values.record) {
    const page = Bun.file(join(ROOT, "docs/faults.md"));
    await page.write(render(scores, count, (await page.exists()) ? await page.text() : ""));
  }
  return scores.some(({ problems }) => problems.length > 0) ? 1 : 0;
}

if (import.meta.main) process.exit(await main());
