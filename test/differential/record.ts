/** The score as docs/differential.md shows it. */
import type { Pair } from "./pair.ts";

/** What one part came to. */
export interface Row {
  readonly part: string;
  readonly count: number;
  /** Answers that differ. */
  readonly found: number;
  readonly ways: number;
}

interface Run {
  readonly rows: readonly Row[];
  readonly pair: Pair;
}

function countsOf(keys: readonly string[]): [string, number][] {
  const counts = new Map<string, number>();
  for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1);
  return [...counts].sort(([, a], [, b]) => b - a);
}

/** What a request is about: the first segments of its path, without names. */
export function areaOf(path: string): string {
  const [first = "", ...rest] = path.replace(/\?.*$/, "").split("/").filter(Boolean);
  if (first === "api") return "core";
  return first === "apis" && rest[0] !== undefined ? rest[0] : `/${first}`;
}

const cell = (text: string): string => text.replaceAll("|", "\\|");

function table(head: readonly [string, string], rows: readonly [string, number][]): string {
  return [
    `| ${head[0]} | ${head[1]} |`,
    "|---|---|",
    ...rows.map(([key, count]) => `| ${cell(key)} | ${count} |`),
  ].join("\n");
}

export function renderRecord({ rows, pair }: Run): string {
  const areas = countsOf(pair.findings.map(({ exchange }) => areaOf(exchange.path)));
  const allowed = [...pair.allowed].sort(([, a], [, b]) => b - a);
  return `# The differential test

How often k3 answers otherwise than upstream's kube-apiserver v1.36.4. Written by \`scripts/differential --record\`; how it works stands in
[test/differential](../test/differential/README.md).

| part | requests | answers that differ | ways |
|---|---|---|---|
${rows.map(({ part, count, found, ways }) => `| ${part} | ${count} | ${found} | ${ways} |`).join("\n")}

## Where answers differ

${table(["group or path", "answers"], areas)}

## Differences that stay

Each single value that differs counts, so that one answer may count more than once.

${table(["reason", "values"], allowed)}
`;
}
