/** Reads container logs as `kubectl logs` asks: tail, since, previous, follow across rotation. */
import type { Host } from "../../runtime/host.ts";
import type { Clock } from "../../runtime/runtime.ts";
import { type LogLine, parseLogLine } from "./log-line.ts";
import { logFiles } from "./log-rotation.ts";

export interface LogOptions {
  readonly follow: boolean;
  readonly tailLines: number | undefined;
  readonly sinceMs: number | undefined;
  readonly timestamps: boolean;
  readonly limitBytes: number | undefined;
  readonly stream: "stdout" | "stderr" | undefined;
}

export interface LogSource {
  readonly host: Host;
  readonly clock: Clock;
  readonly path: string;
  /** Whether the container still writes; a follower ends when it no longer does. */
  isRunning(): boolean;
}

const limits = { chunkBytes: 64 * 1024, pollMs: 100 } as const;

const encoder = new TextEncoder();
const newline = 10;

/** The log as plain bytes, until its end or the limit; following waits for more. */
export async function* readLog(
  source: LogSource,
  options: LogOptions,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  let left = options.limitBytes ?? Number.POSITIVE_INFINITY;
  const offset = await tailOffset(source, options.tailLines);
  // Lines that come while this reads are not among the last that were asked for.
  let linesLeft = options.follow
    ? Number.POSITIVE_INFINITY
    : (options.tailLines ?? Number.POSITIVE_INFINITY);
  // A new line of ours begins wherever the one before was whole.
  let fresh = true;
  for await (const line of lines(source, offset, options.follow, signal)) {
    if (linesLeft === 0) return;
    linesLeft -= 1;
    if (options.sinceMs !== undefined && new Date(line.time).getTime() < options.sinceMs) continue;
    if (options.stream !== undefined && line.stream !== options.stream) continue;
    const stamp = options.timestamps && fresh ? `${line.time} ` : "";
    fresh = !line.partial;
    const bytes = encoder.encode(`${stamp}${line.content}${line.partial ? "" : "\n"}`);
    if (bytes.length >= left) {
      yield bytes.subarray(0, left);
      return;
    }
    left -= bytes.length;
    yield bytes;
  }
}

/** Where the last `count` lines begin. */
async function tailOffset(source: LogSource, count: number | undefined): Promise<number> {
  const { host, path } = source;
  const size = (await host.stat(path, true))?.size ?? 0;
  if (count === undefined) return 0;
  if (count === 0) return size;
  let seen = 0;
  let end = size;
  while (end > 0) {
    const start = Math.max(0, end - limits.chunkBytes);
    const chunk = await host.readAt(path, start, end - start);
    for (let at = chunk.length - 1; at >= 0; at -= 1) {
      // The file's last byte ends the last line and begins none.
      if (chunk[at] !== newline || start + at === size - 1) continue;
      seen += 1;
      if (seen === count) return start + at + 1;
    }
    end = start;
  }
  return 0;
}

async function* lines(
  source: LogSource,
  from: number,
  follow: boolean,
  signal: AbortSignal,
): AsyncGenerator<LogLine> {
  const { host, clock, path } = source;
  let offset = from;
  let inode = (await host.stat(path, true))?.inode;
  const parts = new LineParts();
  while (!signal.aborted) {
    const runs = source.isRunning();
    const info = await host.stat(path, true);
    if (info !== undefined && info.inode !== inode) {
      // The file was set aside and begun anew: what was not read of it comes first.
      const aside = await fileOf(host, path, inode);
      if (aside !== undefined) {
        for await (const chunk of rest(host, aside, offset)) yield* parts.add(chunk);
      }
      inode = info.inode;
      offset = 0;
    } else if (info !== undefined && info.size < offset) {
      offset = 0;
    }
    const chunk = await host.readAt(path, offset, limits.chunkBytes).catch(() => new Uint8Array());
    offset += chunk.length;
    yield* parts.add(chunk);
    if (chunk.length > 0) continue;
    if (!follow || !runs) return;
    await clock.sleep(limits.pollMs, signal);
  }
}

/** Puts lines together that reads have cut. */
class LineParts {
  readonly #decoder = new TextDecoder();
  #rest = "";

  *add(chunk: Uint8Array): Generator<LogLine> {
    const parts = `${this.#rest}${this.#decoder.decode(chunk, { stream: true })}`.split("\n");
    this.#rest = parts.pop() ?? "";
    for (const part of parts) {
      const line = parseLogLine(part);
      if (line !== undefined) yield line;
    }
  }
}

/** The file of this log that has the inode. */
async function fileOf(
  host: Host,
  path: string,
  inode: number | undefined,
): Promise<string | undefined> {
  for (const file of await logFiles(host, path)) {
    if ((await host.stat(file, false))?.inode === inode) return file;
  }
  return undefined;
}

async function* rest(host: Host, path: string, from: number): AsyncGenerator<Uint8Array> {
  for (let offset = from; ; ) {
    const chunk = await host.readAt(path, offset, limits.chunkBytes).catch(() => new Uint8Array());
    if (chunk.length === 0) return;
    offset += chunk.length;
    yield chunk;
  }
}
