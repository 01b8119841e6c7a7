/** `k3 crictl` logs and exec. */
import { readLog } from "../agent/kubelet/log-reader.ts";
import { ContainerState, type ContainerStatus } from "../gen/cri/api_pb.ts";
import { tryParseDurationNanos } from "../lib/duration.ts";
import { realHost } from "../runtime/host.ts";
import { createRuntime } from "../runtime/real.ts";
import { runBundled } from "./bundled.ts";
import { type Call, flag, type SubcommandRow } from "./crictl-call.ts";
import { containerdAddress } from "./ctr.ts";
import { UsageError } from "./flags.ts";

export const runRows: Readonly<Record<string, SubcommandRow>> = {
  logs: {
    usage: "logs [-f] [-t] [-p] [--tail N] [--since TIME] CONTAINER",
    flags: [
      flag("follow", "f", "bool", "Follow the log"),
      flag("timestamps", "t", "bool", "Show timestamps"),
      flag("previous", "p", "bool", "The log of the container before this one"),
      flag("tail", "", "int", "Only so many lines from the end"),
      flag("since", "", "string", "Only lines since this time, or of so long ago (5m)"),
      flag("limit-bytes", "", "int", "Only so many bytes"),
    ],
    namesMin: 1,
    run: showLogs,
  },
  exec: {
    usage: "exec [-i] [-t] [-s] CONTAINER COMMAND...",
    flags: [
      flag("interactive", "i", "bool", "Keep stdin open"),
      flag("tty", "t", "bool", "Use a terminal"),
      flag("sync", "s", "bool", "Wait for the end, then show the output"),
      flag("timeout", "", "int", "Seconds to wait at most, with --sync", "0"),
    ],
    namesMin: 2,
    run: execute,
  },
};

/** The one container that `id` or its beginning names. */
async function statusOf(call: Call, id: string): Promise<ContainerStatus> {
  const { status } = await call.cri.runtime.containerStatus({ containerId: id });
  if (status === undefined) throw new Error(`container ${id} has no status`);
  return status;
}

/** A point in time, or how long ago it was. */
export function sinceMs(text: string, now: Date): number | undefined {
  if (text === "") return undefined;
  const nanoseconds = tryParseDurationNanos(text);
  if (nanoseconds !== undefined) return now.getTime() - Number(nanoseconds / 1_000_000n);
  const time = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text);
  if (!Number.isNaN(time)) return time;
  throw new UsageError(`Cannot use --since=${text}: it must be a time or a duration like 5m`);
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
  const path = flags.bool("previous") ? previousPath(first) : first.logPath;
  const source = { host: realHost, clock, path, isRunning: () => isRunning };
  const count = (name: string): number | undefined =>
    flags.isGiven(name) && flags.int(name) >= 0 ? flags.int(name) : undefined;
  const options = {
    follow: flags.bool("follow"),
    tailLines: count("tail"),
    sinceMs: sinceMs(flags.string("since"), clock.now()),
    timestamps: flags.bool("timestamps"),
    limitBytes: count("limit-bytes"),
    stream: undefined,
  };
  const decoder = new TextDecoder();
  for await (const bytes of readLog(source, options, stop.signal))
    call.context.out(decoder.decode(bytes, { stream: true }));
  stop.abort();
  return 0;
}

/** Logs are named by attempt: `2.log` comes after `1.log`. */
function previousPath({ logPath, metadata }: ContainerStatus): string {
  const attempt = metadata?.attempt ?? 0;
  if (attempt === 0) throw new Error(`container ${metadata?.name} has no previous one`);
  return logPath.replace(/\d+\.log$/, `${attempt - 1}.log`);
}

async function execute(call: Call): Promise<number> {
  const [id = "", ...cmd] = call.names;
  const { flags, context } = call;
  const status = await statusOf(call, id);
  if (flags.bool("sync")) {
    const timeout = BigInt(Math.max(0, flags.int("timeout")));
    const result = await call.cri.runtime.execSync({ containerId: status.id, cmd, timeout });
    context.out(new TextDecoder().decode(result.stdout));
    context.err(new TextDecoder().decode(result.stderr));
    return result.exitCode;
  }
  // A terminal and live streams need a client of their own: containerd's has them.
  const execId = `k3-${createRuntime().random.suffix(8)}`;
  const tty = flags.bool("tty") ? ["-t"] : [];
  const argv = ["-n", "k8s.io", "task", "exec", "--exec-id", execId, ...tty, status.id, ...cmd];
  const env = { ...context.env, CONTAINERD_ADDRESS: containerdAddress };
  const stdin = flags.bool("interactive") || flags.bool("tty") ? "inherit" : "ignore";
  return runBundled("ctr", call.dataDir, argv, env, stdin);
}
