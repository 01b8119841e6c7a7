/** `k3 server`: flags, environment and configuration file become options, options a server. */
import type { ServerOptions } from "../server/options.ts";
import type { CommandContext } from "./command.ts";
import { flagHelp } from "./flag-help.ts";
import { serverFlags } from "./flag-rows.ts";
import type { FlagValues } from "./flags.ts";
import { readNodeFlags, startNodeRuntime } from "./node-command.ts";
import { notePlaces } from "./places.ts";
import { serverOptionsOf } from "./server-options.ts";
import { runUntilSignal } from "./until-signal.ts";

export async function runServerCommand(context: CommandContext): Promise<number> {
  if (context.args.some((argument) => argument === "--help" || argument === "-h")) {
    context.out(flagHelp("k3 server", serverFlags));
    return 0;
  }
  const { options, flags, warnings } = await readOptions(context);
  const runtime = startNodeRuntime("k3 server", flags, warnings);
  await notePlaces(runtime.files, options, [options.kubeconfig.path]);
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
  const { flags, machine, warnings } = await readNodeFlags(context, {
    command: "k3 server",
    rows: serverFlags,
    refusesUnknown: false,
  });
  return { options: await serverOptionsOf(flags, machine), flags, warnings };
}
