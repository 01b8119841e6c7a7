/** The kernel's whole-file lock: it ends with its owner, however the owner ends. */
import { dlopen } from "bun:ffi";
import { closeSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const LOCK_EXCLUSIVE = 2;
const LOCK_NONBLOCKING = 4;
const RETRY_MS = 20;

let libc: ((fd: number, operation: number) => number) | undefined;

function flock(fd: number, operation: number): number {
  libc ??= dlopen("libc.so.6", { flock: { args: ["int", "int"], returns: "int" } }).symbols.flock;
  return libc(fd, operation);
}

/** Runs `work` while holding the lock on `path`, which is created when absent and never removed. */
export async function withFileLock<T>(path: string, work: () => Promise<T>): Promise<T> {
  const fd = openSync(path, "a", 0o600);
  try {
    // Asking again leaves the event loop free, which a blocking lock would not.
    while (flock(fd, LOCK_EXCLUSIVE | LOCK_NONBLOCKING) !== 0) await sleep(RETRY_MS);
    return await work();
  } finally {
    closeSync(fd);
  }
}

/**
 * Takes the lock on `path` for the rest of this process' life and leaves our id in it, or answers
 * with the id of the process that has it.
 */
export function holdFileLock(path: string): { readonly heldBy: number } | undefined {
  mkdirSync(dirname(path), { recursive: true, mode: 0o711 });
  const fd = openSync(path, "a+", 0o600);
  if (flock(fd, LOCK_EXCLUSIVE | LOCK_NONBLOCKING) !== 0) {
    closeSync(fd);
    return { heldBy: Number(readFileSync(path, "utf8").trim()) };
  }
  // Open until the end: closing the file would give the lock away.
  ftruncateSync(fd, 0);
  writeSync(fd, `${process.pid}\n`);
  return undefined;
}
