/** What `k3 killall` and `k3 uninstall` are to end: found without the flags of its start. */
import { type Host, realHost } from "../runtime/host.ts";
import { createRuntime } from "../runtime/real.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { splitOwnFlags, usualDataDir } from "./bundled.ts";
import type { CommandContext } from "./command.ts";
import { readConfigFile } from "./config-file.ts";
import { serverFlags } from "./flag-rows.ts";
import { UsageError } from "./flags.ts";
import { withoutSlash } from "./killall-plan.ts";
import { type Places, readPlaces } from "./places.ts";
import { findServices, type Service } from "./services.ts";

export interface Ending {
  readonly runtime: Runtime;
  readonly host: Host;
  readonly context: CommandContext;
  readonly dataDir: string;
  readonly services: readonly Service[];
  /** The one service to uninstall, where others may be left. */
  readonly only: string | undefined;
  readonly places: Places;
}

/** Undefined when only help was asked for; throws UsageError where the command cannot run. */
export async function readEnding(
  context: CommandContext,
  command: "killall" | "uninstall",
): Promise<Ending | undefined> {
  const takesService = command === "uninstall";
  const runtime = createRuntime();
  const services = await findServices(runtime, context.env);
  const fallback = await installedDataDir(runtime, context, services);
  const { dataDir: given, args } = splitOwnFlags(context, fallback);
  const dataDir = withoutSlash(given);
  const [first] = args;
  if (first === "--help" || first === "-h") {
    context.out(
      `Usage: k3 ${command} [--data-dir DIR]${takesService ? " [--service=NAME]" : ""}\n`,
    );
    return undefined;
  }
  const [, only] = takesService ? (/^--service=(.+)$/.exec(first ?? "") ?? []) : [];
  const stray = args[only === undefined ? 0 : 1];
  const taken = takesService ? "--data-dir and --service=NAME" : "--data-dir";
  if (stray !== undefined)
    throw new UsageError(`Cannot use ${stray}: k3 ${command} takes only ${taken}`);
  if (process.getuid?.() !== 0) throw new UsageError(`Cannot run k3 ${command}: it needs root`);
  process.env.PATH = `${dataDir}/data/current/bin:${process.env.PATH ?? ""}`;
  const places = await readPlaces(runtime.files, dataDir);
  return { runtime, host: realHost, context, dataDir, services, only, places };
}

/** What the service or the configuration file says. */
async function installedDataDir(
  { files }: Runtime,
  { env }: CommandContext,
  services: readonly Service[],
): Promise<string> {
  const ofService = services.find(({ dataDir }) => dataDir !== undefined)?.dataDir;
  const path = env.K3S_CONFIG_FILE || "/etc/rancher/k3s/config.yaml";
  const how = { path, rows: serverFlags, files, refusesUnknown: false };
  // A file that a server refuses must not keep it from being ended.
  const file = await readConfigFile(how).catch(() => undefined);
  const ofFile = file?.given.findLast(({ name }) => name === "data-dir")?.value;
  return ofService ?? ofFile ?? usualDataDir;
}
