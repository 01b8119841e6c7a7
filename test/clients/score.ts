/** The score that is kept, and the page that shows it. */
import type { Result } from "./suite.ts";

export interface SuiteScore {
  readonly title: string;
  readonly passed: readonly string[];
  readonly failed: Readonly<Record<string, string>>;
}

export type Score = Readonly<Record<string, SuiteScore>>;

const problemCharactersMax = 300;

/**
 * The newest result of each test stands; those that were not run keep theirs, and those that fail
 * again the reason that stands there, which somebody may have found out.
 */
export function mergeScore(
  score: Score,
  suite: string,
  title: string,
  results: readonly Result[],
): Score {
  const before = score[suite] ?? { title, passed: [], failed: {} };
  const ran = new Set(results.map(({ name }) => name));
  const passed = [
    ...before.passed.filter((name) => !ran.has(name)),
    ...results.filter(({ problem }) => problem === undefined).map(({ name }) => name),
  ];
  const failed = Object.fromEntries([
    ...Object.entries(before.failed).filter(([name]) => !ran.has(name)),
    ...results.flatMap(({ name, problem }) =>
      problem === undefined ? [] : [[name, before.failed[name] ?? oneLine(problem)] as const],
    ),
  ]);
  return { ...score, [suite]: { title, passed: passed.sort(), failed } };
}

function oneLine(text: string): string {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length > problemCharactersMax ? `${line.slice(0, problemCharactersMax)}…` : line;
}

/** docs/clients.md. */
export function renderScore(score: Score): string {
  const suites = Object.entries(score).sort(([one], [other]) => (one < other ? -1 : 1));
  const failing = suites.filter(([, { failed }]) => Object.keys(failed).length > 0);
  return `${[
    "# Foreign clients",
    "",
    "Programs that were written for upstream's API server, unmodified, against k3. Written by `scripts/clients NAME --record`; how each is",
    "built and run stands in [test/clients](../test/clients/README.md).",
    "",
    "| suite | what runs | passed |",
    "|---|---|---|",
    ...suites.map(([name, { title, passed, failed }]) => {
      const all = passed.length + Object.keys(failed).length;
      return `| ${name} | ${title} | ${passed.length} of ${all} |`;
    }),
    ...failing.flatMap(([name, { failed }]) => [
      "",
      `## Failing: ${name}`,
      "",
      ...Object.entries(failed).map(
        ([test, why]) => `- ${test}<br>\`${why.replaceAll("`", "'")}\``,
      ),
    ]),
  ].join("\n")}\n`;
}
