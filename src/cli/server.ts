/** `k3 server`: flags, environment and configuration file become options, options a server. */
import { homedir, hostname } from "../runtime/machine.ts";
import { createRuntime } from "../runtime/real.ts";
import type { ServerOptions } from "../server/options.ts";
import type { CommandContext } from "./command.ts";
import { readConfigFile } from "./config-file.ts";
import { flagHelp } from "./flag-help.ts";
import { serverFlags } from "./flag-rows.ts";
import { completeFlags, type FlagValues, parseArguments, UsageError } from "./flags.ts";
import { loggingOf } from "./logging.ts";
import { serverOptionsOf } from "./server-options.ts";
import { runUntilSignal } from "./until-signal.ts";

/** Tells machines of one name apart, with --with-node-id. */
const nodeIdFile = "/etc/rancher/node/id";

export async function runServerCommand(context: CommandContext): Promise<number> {
  if (context.args.some((argument) => argument === "--help" || argument === "-h")) {
    context.out(flagHelp("k3 server", serverFlags));
    return 0;
  }
  const { options, flags, warnings } = await readOptions(context);
  if (process.getuid?.() !== 0) throw new UsageError("Cannot run k3 server: it needs root");
  const runtime = createRuntime(loggingOf(flags));
  for (const warning of warnings) runtime.log.warn(warning);
  if (runtime.clock.now().getUTCFullYear() < 1980)
    throw new UsageError("Cannot run k3 server: the clock of this machine is before 1980");
  const { runServer } = await import("../server/server.ts");
  await runUntilSignal((signal) => runServer(options, runtime, signal));
  return 0;
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
