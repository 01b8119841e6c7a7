/** k3 called `etcd`: the flags that tools give it, and those that change nothing here. */
import { createRuntime } from "../runtime/real.ts";
import type { EtcdDoorOptions } from "../server/etcd-door.ts";
import type { CommandContext } from "./command.ts";
import { flagHelp } from "./flag-help.ts";
import { rows } from "./flag-row.ts";
import { bad, completeFlags, type FlagValues, parseArguments } from "./flags.ts";
import { loggingOf } from "./logging.ts";
import { absolute } from "./node-options.ts";
import { runUntilSignal } from "./until-signal.ts";

const ignored = "Taken, and without effect: there is one member, and SQLite writes the data";

/** The whole of what k3 called `etcd` understands. */
export const etcdFlags = [
  ...rows("database", [
    ["data-dir", "string", "Folder of the data", { default: "default.etcd" }],
    [
      "listen-client-urls",
      "list",
      "URLs to answer at, http only",
      { default: "http://localhost:2379", commas: true },
    ],
    ["advertise-client-urls", "string", ignored],
    ["listen-peer-urls", "string", ignored],
    ["name", "string", ignored],
    ["log-level", "string", ignored],
    ["quota-backend-bytes", "int", ignored],
  ]),
];

export async function runEtcd(context: CommandContext): Promise<number> {
  if (context.args.some((argument) => argument === "--help" || argument === "-h")) {
    context.out(flagHelp("etcd", etcdFlags));
    return 0;
  }
  const flags = completeFlags(etcdFlags, parseArguments(etcdFlags, context.args, "etcd"), {});
  const options = etcdOptionsOf(flags, process.cwd());
  const runtime = createRuntime(loggingOf(flags));
  const { runEtcdDoor } = await import("../server/etcd-door.ts");
  await runUntilSignal((signal) => runEtcdDoor(options, runtime, signal));
  return 0;
}

export function etcdOptionsOf(flags: FlagValues, cwd: string): EtcdDoorOptions {
  const flag = "listen-client-urls";
  const listen = flags.list(flag).map((text) => {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    if (url?.protocol !== "http:" || url.port === "")
      throw bad(flag, text, "it must be http://HOST:PORT");
    return { host: url.hostname.replace(/^\[|\]$/g, ""), port: Number(url.port) };
  });
  return { dataDir: absolute(flags.string("data-dir"), cwd), listen };
}
