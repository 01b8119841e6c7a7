/** `k3 agent`: flags, environment and configuration file become options, options a node. */
import { parseToken } from "../pki/tokens.ts";
import type { AgentOptions } from "../server/options.ts";
import type { CommandContext } from "./command.ts";
import { flagHelp } from "./flag-help.ts";
import { agentFlags } from "./flag-rows.ts";
import { bad, type FlagValues, UsageError } from "./flags.ts";
import { readNodeFlags, startNodeRuntime } from "./node-command.ts";
import { nodeOptionsOf, type OptionsContext, port } from "./node-options.ts";
import { notePlaces } from "./places.ts";
import { runUntilSignal } from "./until-signal.ts";

const command = "k3 agent";

export async function runAgentCommand(context: CommandContext): Promise<number> {
  if (context.args.some((argument) => argument === "--help" || argument === "-h")) {
    context.out(flagHelp(command, agentFlags));
    return 0;
  }
  const how = { command, rows: agentFlags, refusesUnknown: true };
  const { flags, machine, warnings } = await readNodeFlags(context, how);
  const options = await agentOptionsOf(flags, machine);
  const runtime = startNodeRuntime(command, flags, warnings);
  await notePlaces(runtime.files, options, []);
  const { runAgent } = await import("../server/run-agent.ts");
  await runUntilSignal((signal) => runAgent(options, runtime, signal));
  return 0;
}

export async function agentOptionsOf(
  flags: FlagValues,
  context: OptionsContext,
): Promise<AgentOptions> {
  const node = await nodeOptionsOf(flags, context);
  if (node.token !== undefined) checkToken(node.token);
  else await checkCertificate(node.dataDir, context);
  return {
    ...node,
    server: serverOf(flags),
    balancerPort: port(flags, "lb-server-port"),
  };
}

function checkToken(token: string): void {
  try {
    parseToken(token);
  } catch (error) {
    if (error instanceof RangeError) throw new UsageError(error.message);
    throw error;
  }
}

/** Who has been a node before may come back by its certificate. */
async function checkCertificate(dataDir: string, { files }: OptionsContext): Promise<void> {
  if ((await files.readText(`${dataDir}/agent/client-kubelet.crt`)) !== undefined) return;
  throw new UsageError("Cannot run k3 agent: --token is missing");
}

function serverOf(flags: FlagValues): string {
  const text = flags.string("server");
  if (text === "") throw new UsageError("Cannot run k3 agent: --server is missing");
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || url.protocol !== "https:")
    throw bad("server", text, "it must be a URL such as https://10.0.0.1:6443");
  return `https://${url.host}`;
}
