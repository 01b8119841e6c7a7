/** `k3 crictl`: what a node's containerd holds, in crictl's words, columns and formats. */
import { criMessage, openCri } from "../agent/cri/client.ts";
import { createRuntime } from "../runtime/real.ts";
import { splitOwnFlags } from "./bundled.ts";
import type { CommandContext } from "./command.ts";
import type { SubcommandRow } from "./crictl-call.ts";
import { changeRows } from "./crictl-change.ts";
import { inspectRows } from "./crictl-inspect.ts";
import { listRows } from "./crictl-list.ts";
import { runRows } from "./crictl-run.ts";
import { containerdAddress } from "./ctr.ts";
import type { FlagRow } from "./flag-row.ts";
import { completeFlags, nearestName, parseArguments, UsageError } from "./flags.ts";

const subcommands: Readonly<Record<string, SubcommandRow>> = {
  ...listRows,
  ...runRows,
  ...inspectRows,
  ...changeRows,
};
/** Second names of crictl. */
const aliases: Readonly<Record<string, string>> = {
  image: "images",
  img: "images",
  "image-fs-info": "imagefsinfo",
};

export async function runCrictl(context: CommandContext): Promise<number> {
  const { dataDir, args: own } = splitOwnFlags(context);
  const { args, endpoint } = splitEndpoint(own, context);
  const [asked, ...rest] = args;
  const name = asked === undefined ? undefined : (aliases[asked] ?? asked);
  const row = name === undefined ? undefined : subcommands[name];
  const isExec = name === "exec";
  if (name === undefined || row === undefined || (!isExec && wantsHelp(rest)))
    return usage(context, name, row);
  const split = splitNames(rest, row.flags, isExec);
  if (wantsHelp(split.flags)) return usage(context, name, row);
  const given = parseArguments(row.flags, split.flags, `k3 crictl ${name}`);
  const flags = completeFlags(row.flags, given, {});
  if (split.names.length < row.namesMin) throw new UsageError(`Usage: k3 crictl ${row.usage}`);
  const cri = openCri(endpoint.replace(/^unix:\/\//, ""));
  try {
    const { clock } = createRuntime({ logLevel: "error" });
    return await row.run({ cri, flags, names: split.names, context, clock, dataDir });
  } catch (error) {
    if (error instanceof UsageError) throw error;
    context.err(`k3 crictl ${name}: ${criMessage(error)} (${endpoint})\n`);
    return 1;
  } finally {
    cri.close();
  }
}

const wantsHelp = (args: readonly string[]): boolean =>
  args.some((argument) => argument === "--help" || argument === "-h");

function splitEndpoint(
  own: readonly string[],
  { env }: CommandContext,
): { readonly args: readonly string[]; readonly endpoint: string } {
  const args = [...own];
  let endpoint = env.CONTAINER_RUNTIME_ENDPOINT || containerdAddress;
  while (/^(-r|--runtime-endpoint|-i|--image-endpoint)(=|$)/.test(args[0] ?? "")) {
    const [name = "", value = args[1] ?? ""] = (args[0] ?? "").split("=");
    args.splice(0, args[0]?.includes("=") === true ? 1 : 2);
    if (name === "-r" || name === "--runtime-endpoint") endpoint = value;
  }
  return { args, endpoint };
}

function usage(
  context: CommandContext,
  name: string | undefined,
  row: SubcommandRow | undefined,
): number {
  const rows = row === undefined ? Object.values(subcommands) : [row];
  const text = `Usage:\n${rows.map((one) => `   k3 crictl ${one.usage}\n`).join("")}`;
  if (row !== undefined || name === undefined || /^(-h|--help|help)$/.test(name)) {
    context.out(text);
    return 0;
  }
  const nearest = nearestName(name, Object.keys(subcommands));
  const hint = nearest === undefined ? "" : `; did you mean ${nearest}?`;
  context.err(`k3 crictl has no command ${JSON.stringify(name)}${hint}\n${text}`);
  return 1;
}

/** Flags may stand among names; after the first name of exec all belongs to its command. */
function splitNames(
  args: readonly string[],
  rows: readonly FlagRow[],
  isExec: boolean,
): { readonly flags: readonly string[]; readonly names: readonly string[] } {
  const flags: string[] = [];
  const names: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const argument = args[i] ?? "";
    if (argument === "--") return { flags, names: [...names, ...args.slice(i + 1)] };
    if (!argument.startsWith("-")) {
      if (isExec) {
        const rest = args.slice(i + 1);
        return { flags, names: [argument, ...(rest[0] === "--" ? rest.slice(1) : rest)] };
      }
      names.push(argument);
      continue;
    }
    // `-it` is `-i -t`
    const letters = /^-([a-z]{2,})$/.exec(argument)?.[1]?.split("") ?? [];
    const areFlags = letters.every((letter) =>
      rows.some((row) => row.alias === letter && row.type === "bool"),
    );
    if (letters.length > 0 && areFlags) {
      flags.push(...letters.map((letter) => `-${letter}`));
      continue;
    }
    flags.push(argument);
    const row = rows.find(({ name, alias }) => [`--${name}`, `-${alias}`].includes(argument));
    if (row !== undefined && row.type !== "bool") flags.push(args[++i] ?? "");
  }
  return { flags, names };
}
