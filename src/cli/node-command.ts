/** What `k3 server` and `k3 agent` have in common: where settings come from, when they start. */
import { homedir, hostname } from "../runtime/machine.ts";
import { createRuntime } from "../runtime/real.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { CommandContext } from "./command.ts";
import { readConfigFile } from "./config-file.ts";
import type { FlagRow } from "./flag-row.ts";
import { completeFlags, type FlagValues, parseArguments, UsageError } from "./flags.ts";
import { loggingOf } from "./logging.ts";
import type { OptionsContext } from "./node-options.ts";

/** Tells machines of one name apart, with --with-node-id. */
const nodeIdFile = "/etc/rancher/node/id";

export interface NodeCommand {
  /** `k3 server`. */
  readonly command: string;
  readonly rows: readonly FlagRow[];
  /** Whether unknown keys of the configuration file end the start. */
  readonly refusesUnknown: boolean;
}

export interface NodeFlags {
  readonly flags: FlagValues;
  readonly machine: OptionsContext;
  readonly warnings: readonly string[];
}

/** Arguments over file over environment, as K3s has it. */
export async function readNodeFlags(
  context: CommandContext,
  { command, rows, refusesUnknown }: NodeCommand,
): Promise<NodeFlags> {
  const { files, random } = createRuntime({ logLevel: "error" });
  const args = parseArguments(rows, context.args, command);
  const path =
    context.env.K3S_CONFIG_FILE ||
    args.findLast(({ name }) => name === "config")?.value ||
    "/etc/rancher/k3s/config.yaml";
  const file = await readConfigFile({ path, rows, files, refusesUnknown });
  const machine: OptionsContext = {
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
  };
  const flags = completeFlags(rows, [...file.given, ...args], context.env);
  return { flags, machine, warnings: file.warnings };
}

/** Throws UsageError on a machine that cannot run a node. */
export function startNodeRuntime(
  command: string,
  flags: FlagValues,
  warnings: readonly string[],
): Runtime {
  if (process.getuid?.() !== 0) throw new UsageError(`Cannot run ${command}: it needs root`);
  const runtime = createRuntime(loggingOf(flags));
  for (const warning of warnings) runtime.log.warn(warning);
  if (runtime.clock.now().getUTCFullYear() < 1980)
    throw new UsageError(`Cannot run ${command}: the clock of this machine is before 1980`);
  return runtime;
}
