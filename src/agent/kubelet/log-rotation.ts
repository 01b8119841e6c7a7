/**
 * Keeps container logs small: a file that has grown too large is set aside, the runtime opens a
 * new one, older ones are compressed and the oldest removed. Names are upstream's.
 */
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import type { Host } from "../../runtime/host.ts";
import type { Clock, Logger } from "../../runtime/runtime.ts";

/** containerLogMaxSize, containerLogMaxFiles and the monitor's interval. */
export interface LogLimits {
  readonly bytesMax: number;
  readonly filesMax: number;
  readonly everyMs: number;
}

const compress = promisify(gzip);

export interface RotationOptions {
  readonly host: Host;
  readonly clock: Clock;
  readonly log: Logger;
  readonly limits: LogLimits;
  /** Makes the runtime write to a new file at the same path. */
  reopen(containerId: string): Promise<void>;
}

export interface RotatedLog {
  readonly containerId: string;
  readonly path: string;
}

/** Rotates those logs that have grown too large; a failure is logged and tried again next time. */
export async function rotateLogs(
  options: RotationOptions,
  logs: Iterable<RotatedLog>,
): Promise<void> {
  for (const one of logs) {
    try {
      const size = (await options.host.stat(one.path, false))?.size ?? 0;
      if (size > options.limits.bytesMax) await rotate(options, one);
    } catch (error) {
      options.log.warn("Cannot rotate a log", { path: one.path, error: `${error}` });
    }
  }
}

/** Every file of one log, the live one first, and whatever else is left of it. */
export async function logFiles(host: Host, path: string): Promise<readonly string[]> {
  const at = path.lastIndexOf("/");
  const [dir, name] = [path.slice(0, at), path.slice(at + 1)];
  const names = await host.list(dir);
  return names
    .filter((entry) => entry === name || entry.startsWith(`${name}.`))
    .map((entry) => `${dir}/${entry}`);
}

async function rotate(options: RotationOptions, { containerId, path }: RotatedLog): Promise<void> {
  const { host, clock, limits } = options;
  const others = (await logFiles(host, path)).filter((file) => file !== path);
  for (const file of others.filter((name) => name.endsWith(".tmp"))) await host.remove(file);
  // Stamps sort by age. Beside those kept there are the live file and the one set aside now.
  const old = others.filter((name) => !name.endsWith(".tmp"));
  const kept = old.slice(Math.max(0, old.length - (limits.filesMax - 2)));
  for (const file of old) if (!kept.includes(file)) await host.remove(file);
  for (const file of kept) if (!file.endsWith(".gz")) await compressFile(host, file);
  const aside = `${path}.${stampOf(clock.now())}`;
  await host.rename(path, aside);
  try {
    await options.reopen(containerId);
  } catch (error) {
    // The runtime still writes to the file: it must stay where readers look for it.
    await host.rename(aside, path);
    throw error;
  }
}

async function compressFile(host: Host, file: string): Promise<void> {
  const size = (await host.stat(file, false))?.size ?? 0;
  const packed = await compress(await host.readAt(file, 0, size));
  await host.write(`${file}.tmp`, packed, 0o640);
  await host.rename(`${file}.tmp`, `${file}.gz`);
  await host.remove(file);
}

/** 20240131-235959 */
function stampOf(now: Date): string {
  return now.toISOString().replace(/\..*$/, "").replace(/[-:]/g, "").replace("T", "-");
}
