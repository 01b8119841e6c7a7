/** Writes docs/flags.md from the flag table; a test keeps the two equal. */
import { join } from "node:path";
import type { FlagRow } from "../src/cli/flag-row.ts";
import { agentFlags, serverFlags } from "../src/cli/flag-rows.ts";

export const flagsFile = join(import.meta.dir, "../docs/flags.md");

const head = `# Flags

Every flag of K3s' \`server\` and \`agent\` commands and what this version of k3 does with it. A flag that is refused ends the start with
a sentence that names it; saying "no" to it, or giving its default, is fine. A flag that is not in the table is refused too, with the nearest name.

Values come from the command line, then the configuration file (\`/etc/rancher/k3s/config.yaml\` and \`config.yaml.d/*.yaml\`, keys
are flags without dashes, \`key+:\` appends), then the environment, then the default. Lists of the file and of the command line add up.

Made by \`bun scripts/flags.ts\` from \`src/cli/flag-rows.ts\`; \`k3 agent\` itself comes with a later version.
`;

export function flagsDocument(): string {
  const onServer = new Set(serverFlags.map(({ name }) => name));
  const rows = [...serverFlags, ...agentFlags.filter(({ name }) => !onServer.has(name))];
  const groups = [...Map.groupBy(rows, ({ group }) => group)];
  const tables = groups.map(([group, members]) =>
    [
      `## ${group[0]?.toUpperCase()}${group.slice(1)}`,
      "",
      "| flag | default | environment | what it is for | in this version |",
      "|---|---|---|---|---|",
      ...members.map(tableRow),
    ].join("\n"),
  );
  return `${[head.trimEnd(), ...tables].join("\n\n")}\n`;
}

function tableRow(row: FlagRow): string {
  const alias = row.alias === undefined ? "" : `, \`-${row.alias}\``;
  const code = (text: string | undefined): string =>
    text === undefined || text === "" ? "" : `\`${text}\``;
  const cells = [
    `\`--${row.name}\`${alias}`,
    code(row.default),
    code(row.env),
    row.help,
    stateOf(row),
  ];
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}

function stateOf({ unsupported, refusedNo, note }: FlagRow): string {
  if (unsupported !== undefined) return `refused: ${unsupported}`;
  if (refusedNo !== undefined) return `works; \`false\` is refused: ${refusedNo}`;
  return note === undefined ? "works" : `works: ${note}`;
}

if (import.meta.main) await Bun.write(flagsFile, flagsDocument());
