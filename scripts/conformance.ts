/**
 * Runs a part of Kubernetes' conformance suite against k3 and reports on it.
 *
 *   bun scripts/conformance.ts build             build the suite's programs and images only
 *   bun scripts/conformance.ts A|S|R|all         a step of the ladder, or every test
 *   bun scripts/conformance.ts beyond            tests beyond the conformance set, with a score of their own
 *     --focus=REGEXP        only the tests whose names match
 *     --feature=NAME        beyond: the tests of a feature that the cluster is set up for by its flags
 *     --rest                only the tests that the score does not know as passed
 *     --procs=N             parallel processes (1)
 *     --content-type=TYPE   what the suite's clients send, instead of its default
 *     --nodes=N             so many nodes, the second and further on machines of namespaces (1)
 *     --timeout=DURATION    end the run after this time (6h)
 *     --record              renew the score and its page in docs
 *     --server-flag=FLAG    one more flag for k3 server; may be repeated
 */
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ConformanceCluster } from "../test/conformance/cluster.ts";
import { buildImages } from "../test/conformance/images.ts";
import { serveImages } from "../test/conformance/registry.ts";
import {
  compare,
  type Ladder,
  mergeScore,
  readReport,
  renderBeyond,
  renderRun,
  renderScore,
  type Score,
} from "../test/conformance/report.ts";
import {
  buildPrograms,
  listBeyond,
  OUT,
  runSuite,
  suiteVersion,
} from "../test/conformance/suite.ts";
import { Switch } from "../test/machines/machine.ts";
import { ROOT } from "./deps.ts";

const LADDER = join(ROOT, "test/conformance/ladder.json");
const STEPS = ["A", "S", "R", "all", "beyond"] as const;
type Step = (typeof STEPS)[number];

const ladder = JSON.parse(readFileSync(LADDER, "utf8")) as Ladder;

/** What is known of a set of tests, and the page that shows it. */
interface Book {
  readonly score: string;
  readonly doc: string;
  render(score: Score, names: readonly string[]): string;
}

function bookOf(step: Step): Book {
  return step === "beyond"
    ? {
        score: join(ROOT, "test/conformance/beyond.json"),
        doc: join(ROOT, "docs/e2e-beyond.md"),
        render: (score, names) => renderBeyond(score, names, suiteVersion()),
      }
    : {
        score: join(ROOT, "test/conformance/score.json"),
        doc: join(ROOT, "docs/conformance.md"),
        render: (score) => renderScore(score, ladder, suiteVersion()),
      };
}

async function namesOf(step: Step, feature: string | undefined): Promise<readonly string[]> {
  if (step === "beyond") return await listBeyond(feature);
  return step === "all" ? [...ladder.A, ...ladder.S, ...ladder.R] : ladder[step];
}

function chosenOf(
  names: readonly string[],
  focus: string | undefined,
  without: readonly string[],
): string[] {
  const pattern = new RegExp(focus ?? "");
  const left = new Set(without);
  const chosen = names.filter((name) => pattern.test(name) && !left.has(name));
  if (chosen.length === 0) throw new Error("No test is chosen.");
  return chosen;
}

function readScore(path: string): Score {
  if (!existsSync(path)) return { passed: [], failed: {} };
  return JSON.parse(readFileSync(path, "utf8")) as Score;
}

async function writeJson(path: string, value: unknown): Promise<void> {
  await Bun.write(path, `${JSON.stringify(value, null, 2)}\n`);
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    args: process.argv.slice(2),
    allowPositionals: true,
    options: {
      focus: { type: "string" },
      feature: { type: "string" },
      rest: { type: "boolean", default: false },
      procs: { type: "string", default: "1" },
      nodes: { type: "string", default: "1" },
      "content-type": { type: "string" },
      timeout: { type: "string", default: "6h" },
      record: { type: "boolean", default: false },
      "server-flag": { type: "string", multiple: true, default: [] },
    },
  });
  await buildPrograms(["e2e.test", "ginkgo", "agnhost", "sample-apiserver", "nnp"]);
  if (positionals[0] === "build") {
    await buildImages();
    return 0;
  }
  const step = STEPS.find((one) => one === positionals[0]);
  if (step === undefined) throw new Error(`Say which step to run: build, ${STEPS.join(", ")}.`);
  if (values.record && values.feature !== undefined)
    throw new Error("The tests of a feature have no score that could be renewed.");
  const book = bookOf(step);
  const all = await namesOf(step, values.feature);
  const names = chosenOf(all, values.focus, values.rest ? readScore(book.score).passed : []);
  const node = step !== "A";
  const dir = join(OUT, `${new Date().toISOString().slice(0, 19).replace(/[-:]/g, "")}-${step}`);
  mkdirSync(dir, { recursive: true });
  const archive = node ? await buildImages() : undefined;
  const nodes = Number(values.nodes);
  await using network = node && nodes > 1 ? await Switch.open("k3-conf", "10.98.8") : undefined;
  const place = network?.own ?? "127.0.0.1";
  using registry = archive === undefined ? undefined : await serveImages(archive, place);
  const flags = values["server-flag"];
  const cluster = new ConformanceCluster({
    dir,
    node,
    archive,
    flags,
    registry,
    nodes,
    network,
  });
  try {
    await cluster.start();
    console.log(`Running ${names.length} tests; the log is ${dir}/e2e.log`);
    const contentType = values["content-type"];
    const report = await runSuite({
      names,
      dir,
      kubeconfig: cluster.kubeconfig,
      kubectl: cluster.kubectl,
      procs: Number(values.procs),
      nodes: node,
      timeout: values.timeout,
      ...(contentType === undefined ? {} : { contentType }),
    });
    const results = readReport(await Bun.file(report).text(), new Set(names));
    const last = join(OUT, "last.json");
    const text = renderRun(
      `Step ${step}, v${suiteVersion()}`,
      results,
      compare(readScore(last), results),
    );
    await Bun.write(join(dir, "report.md"), text);
    await writeJson(join(dir, "results.json"), results);
    await writeJson(last, mergeScore(readScore(last), results));
    if (values.record) {
      const score = mergeScore(readScore(book.score), results);
      await writeJson(book.score, score);
      await Bun.write(book.doc, book.render(score, all));
    }
    console.log(text);
    return results.length === names.length && results.every(({ outcome }) => outcome === "passed")
      ? 0
      : 1;
  } finally {
    await cluster.destroy();
  }
}

try {
  process.exit(await main());
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(2);
}
