/** `k3 server`: flags, environment and configuration file become options, options a server. */
import { homedir, hostname } from "../runtime/machine.ts";
import { createRuntime } from "../runtime/real.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { ServerOptions } from "../server/options.ts";
import type { CommandContext } from "./command.ts";
import { readConfigFile } from "./config-file.ts";
import type { FlagRow } from "./flag-row.ts";
import { serverFlags } from "./flag-rows.ts";
import { completeFlags, type FlagValues, parseArguments, UsageError } from "./flags.ts";
import { loggingOf } from "./logging.ts";
import { serverOptionsOf } from "./server-options.ts";

/** Tells machines of one name apart, with --with-node-id. */
const nodeIdFile = "/etc/rancher/node/id";

export async function runServerCommand(context: CommandContext): Promise<number> {
  if (context.args.some((argument) => argument === "--help" || argument === "-h")) {
    context.out(flagHelp("server", serverFlags));
    return 0;
  }
  const { options, flags, warnings } = await readOptions(context);
  if (process.getuid?.() !== 0) throw new UsageError("Cannot run k3 server: it needs root");
  const runtime = createRuntime(loggingOf(flags));
  for (const warning of warnings) runtime.log.warn(warning);
  if (runtime.clock.now().getUTCFullYear() < 1980)
    throw new UsageError("Cannot run k3 server: the clock of this machine is before 1980");
  await runUntilSignal(options, runtime);
  return 0;
}

async function runUntilSignal(options: ServerOptions, runtime: Runtime): Promise<void> {
  const stop = new AbortController();
  let asked = 0;
  const onSignal = (): void => {
    stop.abort();
    // Who asks again does not want to wait.
    if (++asked > 1) process.exit(130);
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  // A service manager's pipe may break at any time; the server must not fall with it.
  process.on("SIGHUP", () => {});
  const { runServer } = await import("../server/server.ts");
  const { StartError } = await import("../server/start-error.ts");
  await runServer(options, runtime, stop.signal).catch((error: unknown) => {
    throw error instanceof StartError ? new UsageError(error.message) : error;
  });
}

/** Arguments over file over environment, as K3s has it. */
export async function readOptions(context: CommandContext): Promise<{
  readonly options: ServerOptions;
  readonly flags: FlagValues;
  readonly warnings: readonly string[];
}> {
  const { files, random } = createRuntime({ logLevel: "error" });
  const args = parseArguments(serverFlags, context.args, "k3 server");
  const path =
    context.env.K3S_CONFIG_FILE ||
    args.findLast(({ name }) => name === "config")?.value ||
    "/etc/rancher/k3s/config.yaml";
  const file = await readConfigFile({ path, rows: serverFlags, files, refusesUnknown: false });
  const flags: FlagValues = completeFlags(serverFlags, [...file.given, ...args], context.env);
  const options = await serverOptionsOf(flags, {
    hostName: hostname(),
    isRoot: process.getuid?.() === 0,
    home: homedir(),
    cwd: process.cwd(),
    files,
    env: context.env,
    nodeId: async () => {
      const known = (await files.readText(nodeIdFile))?.trim();
      if (known !== undefined && known !== "") return known;
      const fresh = random.bytes(4).toHex();
      await files.mkdir(nodeIdFile.slice(0, nodeIdFile.lastIndexOf("/")), 0o755);
      await files.writeAtomic(nodeIdFile, `${fresh}\n`, 0o644);
      return fresh;
    },
  });
  return { options, flags, warnings: file.warnings };
}

/** Help for a flag table, by group; hidden flags and those not yet supported are left out. */
export function flagHelp(command: string, rows: readonly FlagRow[]): string {
  const lines = [`Usage: k3 ${command} [FLAGS]`, ""];
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
