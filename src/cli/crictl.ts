/** `k3 crictl`: what a node's containerd holds, in the columns of crictl. */
import { type CriClient, criMessage, openCri } from "../agent/cri/client.ts";
import { readLog } from "../agent/kubelet/log-reader.ts";
import { ContainerState, type ContainerStatus, PodSandboxState } from "../gen/cri/api_pb.ts";
import { realHost } from "../runtime/host.ts";
import { createRuntime } from "../runtime/real.ts";
import type { Clock } from "../runtime/runtime.ts";
import { runBundled, splitOwnFlags } from "./bundled.ts";
import type { CommandContext } from "./command.ts";
import {
  agoText,
  containerStates,
  imageRows,
  podStates,
  sizeText,
  tableText,
  toJsonText,
} from "./crictl-format.ts";
import { containerdAddress } from "./ctr.ts";
import type { FlagRow } from "./flag-row.ts";
import { completeFlags, type FlagValues, parseArguments, UsageError } from "./flags.ts";

interface Call {
  readonly cri: CriClient;
  readonly flags: FlagValues;
  /** What is no flag. */
  readonly names: readonly string[];
  readonly context: CommandContext;
  readonly clock: Clock;
  readonly dataDir: string;
}

interface SubcommandRow {
  readonly usage: string;
  readonly flags: readonly FlagRow[];
  /** How many names must be given at least. */
  readonly namesMin: number;
  readonly run: (call: Call) => Promise<number>;
}

const flag = (name: string, alias: string, type: FlagRow["type"], help: string): FlagRow => ({
  name,
  ...(alias === "" ? {} : { alias }),
  type,
  group: "general",
  help,
});
const quietFlag = flag("quiet", "q", "bool", "Show ids only");
const outputFlag = flag("output", "o", "string", "Output format: table or json");
const allFlag = flag("all", "a", "bool", "Show all of them");

const subcommands: Readonly<Record<string, SubcommandRow>> = {
  ps: {
    usage: "ps [-a] [-q] [--name TEXT] [--pod ID]",
    flags: [
      allFlag,
      quietFlag,
      outputFlag,
      flag("name", "", "string", "Only containers with this in their names"),
      flag("pod", "p", "string", "Only containers of this pod"),
    ],
    namesMin: 0,
    run: listContainers,
  },
  pods: {
    usage: "pods [-q] [--name TEXT] [--namespace NAME]",
    flags: [
      quietFlag,
      outputFlag,
      flag("name", "", "string", "Only pods with this in their names"),
      flag("namespace", "", "string", "Only pods of this namespace"),
    ],
    namesMin: 0,
    run: listPods,
  },
  images: { usage: "images [-q]", flags: [quietFlag, outputFlag], namesMin: 0, run: listImages },
  logs: {
    usage: "logs [-f] [-t] [--tail N] CONTAINER",
    flags: [
      flag("follow", "f", "bool", "Follow the log"),
      flag("timestamps", "t", "bool", "Show timestamps"),
      flag("tail", "", "int", "Only so many lines from the end"),
    ],
    namesMin: 1,
    run: showLogs,
  },
  exec: {
    usage: "exec [-i] [-t] CONTAINER COMMAND...",
    flags: [
      flag("interactive", "i", "bool", "Keep stdin open"),
      flag("tty", "t", "bool", "Use a terminal"),
      flag("sync", "s", "bool", "Wait for the end, then show the output"),
      flag("timeout", "", "int", "Seconds to wait at most"),
    ],
    namesMin: 2,
    run: execute,
  },
  inspect: { usage: "inspect CONTAINER...", flags: [outputFlag], namesMin: 1, run: inspect },
  inspectp: { usage: "inspectp POD...", flags: [outputFlag], namesMin: 1, run: inspectPod },
  stats: { usage: "stats [CONTAINER]", flags: [allFlag, outputFlag], namesMin: 0, run: stats },
  rmi: {
    usage: "rmi IMAGE... | rmi --prune",
    flags: [allFlag, flag("prune", "", "bool", "Remove all images that no container uses")],
    namesMin: 0,
    run: removeImages,
  },
  info: { usage: "info", flags: [outputFlag], namesMin: 0, run: info },
  version: { usage: "version", flags: [], namesMin: 0, run: version },
};

export async function runCrictl(context: CommandContext): Promise<number> {
  const { dataDir, args: own } = splitOwnFlags(context);
  const args = [...own];
  let endpoint = context.env.CONTAINER_RUNTIME_ENDPOINT || containerdAddress;
  while (/^(-r|--runtime-endpoint|-i|--image-endpoint)(=|$)/.test(args[0] ?? "")) {
    const [name = "", value = args[1] ?? ""] = (args[0] ?? "").split("=");
    args.splice(0, args[0]?.includes("=") === true ? 1 : 2);
    if (name === "-r" || name === "--runtime-endpoint") endpoint = value;
  }
  const [name, ...rest] = args;
  const row = name === undefined ? undefined : subcommands[name];
  if (row === undefined || rest.includes("--help") || rest.includes("-h")) {
    const rows = row === undefined ? Object.values(subcommands) : [row];
    const text = `Usage:\n${rows.map(({ usage }) => `   k3 crictl ${usage}\n`).join("")}`;
    const asked = row !== undefined || name === undefined || /^(-h|--help|help)$/.test(name);
    if (asked) context.out(text);
    else context.err(`k3 crictl has no command ${JSON.stringify(name)}\n${text}`);
    return asked ? 0 : 1;
  }
  const split = splitNames(rest, row.flags, name === "exec");
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

const isJson = ({ flags }: Call): boolean => flags.string("output") === "json";

async function listContainers(call: Call): Promise<number> {
  const { cri, flags, context, clock } = call;
  const state = flags.bool("all") ? {} : { state: { state: ContainerState.CONTAINER_RUNNING } };
  const filter = { ...state, podSandboxId: flags.string("pod") };
  const { containers } = await cri.runtime.listContainers({ filter });
  const shown = containers
    .filter(({ metadata }) => (metadata?.name ?? "").includes(flags.string("name")))
    .toSorted((a, b) => Number(b.createdAt - a.createdAt));
  if (isJson(call)) context.out(toJsonText({ containers: shown }));
  else if (flags.bool("quiet")) context.out(shown.map(({ id }) => `${id}\n`).join(""));
  else
    context.out(
      tableText(
        ["CONTAINER", "IMAGE", "CREATED", "STATE", "NAME", "ATTEMPT", "POD ID", "POD", "NAMESPACE"],
        shown.map((container) => [
          container.id.slice(0, 13),
          shortImage(container.image?.image ?? ""),
          agoText(container.createdAt, clock.now()),
          containerStates[container.state],
          container.metadata?.name ?? "",
          String(container.metadata?.attempt ?? 0),
          container.podSandboxId.slice(0, 13),
          container.labels["io.kubernetes.pod.name"] ?? "unknown",
          container.labels["io.kubernetes.pod.namespace"] ?? "unknown",
        ]),
      ),
    );
  return 0;
}

const shortImage = (image: string): string => image.replace(/^sha256:([0-9a-f]{13}).*$/, "$1");

async function listPods(call: Call): Promise<number> {
  const { cri, flags, context, clock } = call;
  const { items } = await cri.runtime.listPodSandbox({});
  const wanted = flags.string("namespace");
  const shown = items
    .filter(({ metadata }) => (metadata?.name ?? "").includes(flags.string("name")))
    .filter(({ metadata }) => wanted === "" || metadata?.namespace === wanted)
    .toSorted((a, b) => Number(b.createdAt - a.createdAt));
  if (isJson(call)) context.out(toJsonText({ items: shown }));
  else if (flags.bool("quiet")) context.out(shown.map(({ id }) => `${id}\n`).join(""));
  else
    context.out(
      tableText(
        ["POD ID", "CREATED", "STATE", "NAME", "NAMESPACE", "ATTEMPT", "RUNTIME"],
        shown.map((pod) => [
          pod.id.slice(0, 13),
          agoText(pod.createdAt, clock.now()),
          podStates[pod.state],
          pod.metadata?.name ?? "",
          pod.metadata?.namespace ?? "",
          String(pod.metadata?.attempt ?? 0),
          pod.runtimeHandler || "(default)",
        ]),
      ),
    );
  return 0;
}

async function listImages(call: Call): Promise<number> {
  const { images } = await call.cri.images.listImages({});
  if (isJson(call)) call.context.out(toJsonText({ images }));
  else if (call.flags.bool("quiet")) call.context.out(images.map(({ id }) => `${id}\n`).join(""));
  else call.context.out(tableText(["IMAGE", "TAG", "IMAGE ID", "SIZE"], imageRows(images)));
  return 0;
}

/** The one container that `id` or its beginning names. */
async function statusOf(call: Call, id: string): Promise<ContainerStatus> {
  const { status } = await call.cri.runtime.containerStatus({ containerId: id });
  if (status === undefined) throw new Error(`container ${id} has no status`);
  return status;
}

async function showLogs(call: Call): Promise<number> {
  const { flags, clock, cri } = call;
  const first = await statusOf(call, call.names[0] ?? "");
  const stop = new AbortController();
  process.once("SIGINT", () => stop.abort());
  let isRunning = first.state === ContainerState.CONTAINER_RUNNING;
  clock.every(1000, stop.signal, () => {
    cri.runtime.containerStatus({ containerId: first.id }).then(
      ({ status }) => {
        isRunning = status?.state === ContainerState.CONTAINER_RUNNING;
      },
      () => {
        isRunning = false; // the container is gone, and its log with it
      },
    );
  });
  const source = { host: realHost, clock, path: first.logPath, isRunning: () => isRunning };
  const options = {
    follow: flags.bool("follow"),
    tailLines: flags.isGiven("tail") ? Math.max(0, flags.int("tail")) : undefined,
    sinceMs: undefined,
    timestamps: flags.bool("timestamps"),
    limitBytes: undefined,
    stream: undefined,
  };
  const decoder = new TextDecoder();
  for await (const bytes of readLog(source, options, stop.signal))
    call.context.out(decoder.decode(bytes, { stream: true }));
  stop.abort();
  return 0;
}

async function execute(call: Call): Promise<number> {
  const [id = "", ...cmd] = call.names;
  const { flags, context } = call;
  const status = await statusOf(call, id);
  if (!flags.bool("interactive") && !flags.bool("tty")) {
    const timeout = BigInt(flags.isGiven("timeout") ? flags.int("timeout") : 0);
    const result = await call.cri.runtime.execSync({ containerId: status.id, cmd, timeout });
    context.out(new TextDecoder().decode(result.stdout));
    context.err(new TextDecoder().decode(result.stderr));
    return result.exitCode;
  }
  // A terminal needs a stream of its own: containerd's own client has one.
  const execId = `k3-${createRuntime().random.suffix(8)}`;
  const tty = flags.bool("tty") ? ["-t"] : [];
  const argv = ["-n", "k8s.io", "task", "exec", "--exec-id", execId, ...tty, status.id, ...cmd];
  const env = { ...context.env, CONTAINERD_ADDRESS: containerdAddress };
  return runBundled("ctr", call.dataDir, argv, env);
}

async function inspect(call: Call): Promise<number> {
  for (const containerId of call.names) {
    const { status, info: more } = await call.cri.runtime.containerStatus({
      containerId,
      verbose: true,
    });
    const readable = { ...status, state: ContainerState[status?.state ?? 3] };
    call.context.out(toJsonText({ info: infoOf(more), status: readable }));
  }
  return 0;
}

async function inspectPod(call: Call): Promise<number> {
  for (const podSandboxId of call.names) {
    const { status, info: more } = await call.cri.runtime.podSandboxStatus({
      podSandboxId,
      verbose: true,
    });
    const readable = { ...status, state: PodSandboxState[status?.state ?? 1] };
    call.context.out(toJsonText({ info: infoOf(more), status: readable }));
  }
  return 0;
}

/** containerd tells JSON texts; what is none is shown as it is. */
function infoOf(texts: Readonly<Record<string, string>>): Readonly<Record<string, unknown>> {
  const entries = Object.entries(texts).map(([key, text]): [string, unknown] => {
    try {
      return [key, JSON.parse(text)];
    } catch {
      return [key, text];
    }
  });
  const parsed = Object.fromEntries(entries);
  const { info: inner } = parsed;
  return typeof inner === "object" && inner !== null
    ? { ...parsed, ...inner, info: undefined }
    : parsed;
}

const statsSampleMs = 1000;

async function stats(call: Call): Promise<number> {
  const { cri, names, clock, context } = call;
  const filter = { id: names[0] ?? "" };
  const first = await cri.runtime.listContainerStats({ filter });
  await clock.sleep(statsSampleMs, new AbortController().signal);
  const { stats: shown } = await cri.runtime.listContainerStats({ filter });
  if (isJson(call)) {
    context.out(toJsonText({ stats: shown }));
    return 0;
  }
  const before = new Map(first.stats.map((one) => [one.attributes?.id, one.cpu]));
  const rows = shown.map(({ attributes, cpu, memory, writableLayer, swap }) => {
    const old = before.get(attributes?.id);
    const ns = Number((cpu?.timestamp ?? 0n) - (old?.timestamp ?? 0n));
    const used =
      (cpu?.usageCoreNanoSeconds?.value ?? 0n) - (old?.usageCoreNanoSeconds?.value ?? 0n);
    return [
      attributes?.id.slice(0, 13) ?? "",
      attributes?.metadata?.name ?? "",
      (ns > 0 && old !== undefined ? (Number(used) / ns) * 100 : 0).toFixed(2),
      sizeText(memory?.workingSetBytes?.value ?? 0n),
      sizeText(writableLayer?.usedBytes?.value ?? 0n),
      String(writableLayer?.inodesUsed?.value ?? 0n),
      sizeText(swap?.swapUsageBytes?.value ?? 0n),
    ];
  });
  context.out(tableText(["CONTAINER", "NAME", "CPU %", "MEM", "DISK", "INODES", "SWAP"], rows));
  return 0;
}

async function removeImages(call: Call): Promise<number> {
  const { cri, flags, names, context } = call;
  if (names.length === 0 && !flags.bool("prune") && !flags.bool("all"))
    throw new UsageError(`Usage: k3 crictl ${subcommands.rmi?.usage}`);
  let wanted = names;
  if (names.length === 0) {
    const [{ images }, { containers }] = await Promise.all([
      cri.images.listImages({}),
      cri.runtime.listContainers({}),
    ]);
    const used = new Set(containers.flatMap(({ imageRef, imageId }) => [imageRef, imageId]));
    wanted = images
      .filter(({ id, pinned }) => flags.bool("all") || (!pinned && !used.has(id)))
      .map(({ id }) => id);
  }
  let failed = 0;
  for (const image of wanted) {
    const { image: found } = await cri.images.imageStatus({ image: { image } });
    if (found === undefined) {
      context.err(`no such image ${JSON.stringify(image)}\n`);
      failed++;
      continue;
    }
    await cri.images.removeImage({ image: { image: found.id } });
    const tags = found.repoTags.length === 0 ? [found.id] : found.repoTags;
    for (const tag of tags) context.out(`Deleted: ${tag}\n`);
  }
  return failed === 0 ? 0 : 1;
}

async function info(call: Call): Promise<number> {
  const { status, info: more } = await call.cri.runtime.status({ verbose: true });
  call.context.out(toJsonText({ status, ...infoOf(more) }));
  return 0;
}

async function version(call: Call): Promise<number> {
  const told = await call.cri.runtime.version({ version: "v1" });
  call.context.out(
    `Version:  ${told.version}\nRuntimeName:  ${told.runtimeName}\n` +
      `RuntimeVersion:  ${told.runtimeVersion}\nRuntimeApiVersion:  ${told.runtimeApiVersion}\n`,
  );
  return 0;
}
