/** Reads what a container left as its last words: its message file, or the end of its log. */
import type { ContainerStatus } from "../../gen/cri/api_pb.ts";
import type { Host } from "../../runtime/host.ts";
import { parseLogLine } from "./log-line.ts";
import { criNames } from "./types.ts";

const limits = {
  messageBytesMax: 4096,
  logBytesMax: 2048,
  logLinesMax: 80,
} as const;

export async function readTerminationMessage(host: Host, status: ContainerStatus): Promise<string> {
  const path = status.annotations[criNames.messagePath] ?? "";
  const mount = status.mounts.find((entry) => entry.containerPath === path);
  const text =
    mount === undefined ? "" : await readEnd(host, mount.hostPath, limits.messageBytesMax);
  const policy = status.annotations[criNames.messagePolicy];
  if (text !== "" || policy !== "FallbackToLogsOnError" || status.exitCode === 0) return text;
  return await readLogEnd(host, status.logPath);
}

async function readEnd(host: Host, path: string, bytesMax: number): Promise<string> {
  // Links are not followed: the container writes here and could point anywhere.
  const info = await host.stat(path, false);
  if (info?.kind !== "file" || info.size === 0) return "";
  const bytes = await host.readAt(path, Math.max(0, info.size - bytesMax), bytesMax);
  return new TextDecoder().decode(bytes);
}

async function readLogEnd(host: Host, path: string): Promise<string> {
  // Each line carries a time stamp: read more than the message may hold.
  const raw = await readEnd(host, path, limits.logBytesMax * 4);
  const lines = raw.split("\n").filter((line) => line !== "");
  const contents = lines
    .map((line) => parseLogLine(line))
    .filter((line) => line !== undefined)
    .slice(-limits.logLinesMax)
    .map((line) => (line.partial ? line.content : `${line.content}\n`));
  return contents.join("").slice(-limits.logBytesMax);
}
