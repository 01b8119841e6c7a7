/** What `--help` prints of a flag table. */
import type { FlagRow } from "./flag-row.ts";

/** Help for a flag table, by group; hidden flags and those not yet supported are left out. */
export function flagHelp(command: string, rows: readonly FlagRow[]): string {
  const lines = [`Usage: ${command} [FLAGS]`, ""];
  const shown = rows.filter((row) => row.hidden !== true && row.unsupported === undefined);
  for (const [group, members] of Map.groupBy(shown, (row) => row.group)) {
    lines.push(`${group}:`);
    for (const row of members) {
      const names = row.alias === undefined ? `--${row.name}` : `--${row.name}, -${row.alias}`;
      const value = row.type === "bool" ? "" : " value";
      const notes = [
        row.default === undefined ? "" : `(default: ${row.default})`,
        row.env === undefined ? "" : `[$${row.env}]`,
      ];
      lines.push(`   ${`${names}${value}`.padEnd(36)} ${[row.help, ...notes].join(" ").trim()}`);
    }
    lines.push("");
  }
  return lines.join("\n");
}
