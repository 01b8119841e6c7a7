/** What a run of the suite says: outcome per test, score per area, what changed. Pure functions. */

export type Outcome = "passed" | "failed" | "skipped";

export interface TestResult {
  readonly name: string;
  readonly outcome: Outcome;
  readonly seconds: number;
  /** The first words of the failure, on one line. */
  readonly error?: string;
}

/** What is known of every test so far: kept between runs, so that a run of a part adds to it. */
export interface Score {
  readonly passed: readonly string[];
  readonly failed: Readonly<Record<string, string>>;
}

/** The steps of the ladder by the names of their tests. */
export interface Ladder {
  readonly A: readonly string[];
  readonly S: readonly string[];
  readonly R: readonly string[];
  readonly twoNodes: readonly string[];
}

interface GinkgoSpec {
  readonly LeafNodeType: string;
  readonly ContainerHierarchyTexts: readonly string[] | null;
  readonly LeafNodeText: string;
  readonly State: string;
  /** Nanoseconds. */
  readonly RunTime: number;
  readonly Failure?: { readonly Message?: string; readonly ForwardedPanic?: string };
}

const ERROR_CHARS = 300;

/** The results of the tests in `wanted`, or of all, out of the JSON that ginkgo writes. */
export function readReport(json: string, wanted?: ReadonlySet<string>): TestResult[] {
  const suites = JSON.parse(json) as readonly { SpecReports: readonly GinkgoSpec[] | null }[];
  const results: TestResult[] = [];
  for (const spec of suites.flatMap((suite) => suite.SpecReports ?? [])) {
    const name = [...(spec.ContainerHierarchyTexts ?? []), spec.LeafNodeText].join(" ");
    if (spec.LeafNodeType !== "It" || wanted?.has(name) === false) continue;
    const outcome = outcomeOf(spec.State);
    const error = outcome === "passed" ? "" : firstWords(spec);
    if (isUnfinished(spec, error)) continue;
    const seconds = Math.round(spec.RunTime / 1e8) / 10;
    results.push({ name, outcome, seconds, ...(error === "" ? {} : { error }) });
  }
  return results.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The run ended before the test began or while it ran: nothing is known of it. */
function isUnfinished({ State }: GinkgoSpec, error: string): boolean {
  if (State === "skipped") return error === "";
  return State === "aborted" || State === "interrupted" || error.includes("suite timeout occurred");
}

function outcomeOf(state: string): Outcome {
  if (state === "passed") return "passed";
  return state === "skipped" || state === "pending" ? "skipped" : "failed";
}

function firstWords(spec: GinkgoSpec): string {
  const { Message = "", ForwardedPanic = "" } = spec.Failure ?? {};
  const words = `${Message} ${ForwardedPanic}`.replace(/\s+/g, " ").trim();
  // Images and files are told by their names; where they would come from or lie says nothing.
  const text = words
    .replace(/\b[a-z0-9-]+(\.[a-z0-9-]+)+\/(?=[\w/-]+(:\d|@sha256:))/g, "")
    .replace(/\/\S*\/build\/conformance\/[^/\s]+\//g, "");
  if (text === "" && spec.State === "skipped") return "";
  const line = spec.State === "failed" ? text : `${spec.State}: ${text}`;
  return line.length > ERROR_CHARS ? `${line.slice(0, ERROR_CHARS)}…` : line;
}

/** `sig-apps` of `[sig-apps] Deployment should …`. */
export function areaOf(name: string): string {
  return /^\[(sig-[^\]]+)\]/.exec(name)?.[1] ?? "other";
}

/** The score after a run. A skipped test counts as not passed. */
export function mergeScore(score: Score, results: readonly TestResult[]): Score {
  const passed = new Set(score.passed);
  const failed = new Map(Object.entries(score.failed));
  for (const { name, outcome, error = "" } of results) {
    passed.delete(name);
    failed.delete(name);
    if (outcome === "passed") passed.add(name);
    else failed.set(name, error);
  }
  const sorted = [...failed].sort(([a], [b]) => (a < b ? -1 : 1));
  return { passed: [...passed].sort(), failed: Object.fromEntries(sorted) };
}

export interface Change {
  readonly mended: readonly string[];
  readonly broken: readonly string[];
}

/** What a run changed: tests that pass now and did not, and the reverse. */
export function compare(before: Score, results: readonly TestResult[]): Change {
  const passedBefore = new Set(before.passed);
  return {
    mended: results
      .filter(({ name, outcome }) => outcome === "passed" && name in before.failed)
      .map(({ name }) => name),
    broken: results
      .filter(({ name, outcome }) => outcome !== "passed" && passedBefore.has(name))
      .map(({ name }) => name),
  };
}

/** The report of one run, for people. */
export function renderRun(title: string, results: readonly TestResult[], change: Change): string {
  const areas = [...new Set(results.map(({ name }) => areaOf(name)))].sort();
  const of = (area: string): readonly TestResult[] =>
    results.filter(({ name }) => areaOf(name) === area);
  const passed = (some: readonly TestResult[]): number =>
    some.filter(({ outcome }) => outcome === "passed").length;
  const lines = [
    `# ${title}`,
    "",
    "| area | passed | of |",
    "|---|---|---|",
    ...areas.map((area) => `| ${area} | ${passed(of(area))} | ${of(area).length} |`),
    `| **all** | ${passed(results)} | ${results.length} |`,
    "",
    ...section("Pass now and did not before", change.mended),
    ...section("Passed before and do not now", change.broken),
    "## Failures",
    "",
  ];
  for (const area of areas) {
    const failures = of(area).filter(({ outcome }) => outcome !== "passed");
    if (failures.length === 0) continue;
    lines.push(`### ${area}`, "");
    for (const { name, error, seconds } of failures) {
      lines.push(`- ${name} (${seconds} s)`, `  ${error ?? ""}`);
    }
    lines.push("");
  }
  return `${lines.join("\n").trimEnd()}\n`;
}

function section(title: string, names: readonly string[]): string[] {
  if (names.length === 0) return [];
  return [`## ${title}`, "", ...names.map((name) => `- ${name}`), ""];
}

/** docs/conformance.md: the score of every area and step, and what fails with its first words. */
export function renderScore(score: Score, ladder: Ladder, version: string): string {
  const all = [...ladder.A, ...ladder.S, ...ladder.R];
  const passed = new Set(score.passed);
  const cell = (names: readonly string[]): string =>
    names.length === 0
      ? ""
      : `${names.filter((name) => passed.has(name)).length} of ${names.length}`;
  const row = (title: string, fits: (name: string) => boolean): string => {
    const steps = [ladder.A, ladder.S, ladder.R, all].map((step) => cell(step.filter(fits)));
    return `| ${title} | ${steps.join(" | ")} |`;
  };
  const areas = [...new Set(all.map(areaOf))].sort();
  const notRun = all.filter((name) => !passed.has(name) && !(name in score.failed));
  const lines = [
    "# Conformance",
    "",
    `The score of Kubernetes' own conformance suite, v${version}, unmodified. Written by \`scripts/conformance --record\`;`,
    "how it is built and run stands in [test/conformance](../test/conformance/README.md). The container runtime's own suite",
    `has [its score](critest.md). ${ladder.twoNodes.length} of the tests need two nodes: these run with \`--nodes=2\`.`,
    "",
    "| area | A: no node | S: pods that report Ready | R: real containers | all |",
    "|---|---|---|---|---|",
    ...areas.map((area) => row(area, (name) => areaOf(name) === area)),
    row("**all**", () => true),
    "",
  ];
  if (notRun.length > 0) lines.push(`${notRun.length} tests have not been run yet.`, "");
  for (const area of areas) {
    const failures = Object.entries(score.failed).filter(([name]) => areaOf(name) === area);
    if (failures.length === 0) continue;
    lines.push(`## Failing: ${area}`, "");
    for (const [name, error] of failures)
      lines.push(`- ${name}<br>\`${error.replaceAll("`", "'")}\``);
    lines.push("");
  }
  return `${lines.join("\n").trimEnd()}\n`;
}

/** docs/e2e-beyond.md: the score of the tests beyond the conformance set. */
export function renderBeyond(score: Score, names: readonly string[], version: string): string {
  const passed = new Set(score.passed);
  const skipsItself = (name: string): boolean => score.failed[name]?.startsWith("skipped") === true;
  const fails = (name: string): boolean => name in score.failed && !skipsItself(name);
  const row = (title: string, some: readonly string[]): string => {
    const counts = [(name: string) => passed.has(name), fails, skipsItself].map(
      (fits) => some.filter(fits).length,
    );
    return `| ${[title, ...counts, some.length].join(" | ")} |`;
  };
  const areas = [...new Set(names.map(areaOf))].sort();
  const failures = names.filter(fails).sort();
  const lines = [
    "# End-to-end tests beyond conformance",
    "",
    `The score of those tests of Kubernetes' suite, v${version}, unmodified, that are not part of the conformance set and ask for`,
    "no cloud, no driver and no gate that is off. Written by `scripts/conformance beyond --record`.",
    "",
    "| area | passed | failed | skip themselves here | of |",
    "|---|---|---|---|---|",
    ...areas.map((area) =>
      row(
        area,
        names.filter((name) => areaOf(name) === area),
      ),
    ),
    row("**all**", names),
    "",
    "## Failing",
    "",
    ...failures.map((name) => `- ${name}<br>\`${score.failed[name]?.replaceAll("`", "'")}\``),
  ];
  return `${lines.join("\n").trimEnd()}\n`;
}

/** Ginkgo's focus that selects exactly `names`. */
export function focusOf(names: readonly string[]): string {
  const escaped = names.map((name) => name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return ` (${escaped.join("|")})$`;
}
