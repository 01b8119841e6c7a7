/** Writes docs/flags.md from the flag table; a test keeps the two equal. */
import { join } from "node:path";
import { apiServerArgs } from "../src/cli/apiserver-args.ts";
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
  return `${[head.trimEnd(), ...tables, apiServerTable()].join("\n\n")}\n`;
}

/** Durations stand in milliseconds in the table of arguments. */
function apiServerTable(): string {
  const rows = Object.entries(apiServerArgs).map(([name, { default: value }]) => {
    const text = Array.isArray(value) ? value.join(",") : String(value);
    return `| \`${name}\` | ${text === "" ? "" : `\`${text}\``} |`;
  });
  return [
    "## Arguments of kube-apiserver",
    "",
    "What `--kube-apiserver-arg=name=value` takes, with the meaning that Kubernetes gives it. `name+=value` adds to a default, `name-=value`",
    "stands before it. Durations are written as Go has it (`30s`); their defaults stand here in milliseconds.",
    "",
    "| argument | default |",
    "|---|---|",
    ...rows,
  ].join("\n");
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
