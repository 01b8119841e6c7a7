/** Mounts and unmounts by system call: a program for each costs more than the rest of a volume. */
import { dlopen, type Pointer, read } from "bun:ffi";
import { closeSync, openSync } from "node:fs";
import { constants } from "node:os";

function openLibc() {
  return dlopen("libc.so.6", {
    mount: { args: ["cstring", "cstring", "cstring", "u64", "cstring"], returns: "int" },
    umount2: { args: ["cstring", "int"], returns: "int" },
    ioctl: { args: ["int", "u64", "u64"], returns: "int" },
    __errno_location: { args: [], returns: "ptr" },
  }).symbols;
}

let libc: ReturnType<typeof openLibc> | undefined;

const errorNames = new Map(
  Object.entries(constants.errno).map(([name, number]) => [number, name] as const),
);

function cString(text: string): Uint8Array {
  return new TextEncoder().encode(`${text}\0`);
}

function failure(call: string, path: string, symbols: ReturnType<typeof openLibc>): Error {
  const number = read.i32(symbols.__errno_location() as Pointer);
  const code = errorNames.get(number) ?? `errno ${number}`;
  return Object.assign(new Error(`${code}: ${call} '${path}'`), { code });
}

/** Mounts a new tmpfs on the directory `path`; `options` as in mount(8), "" for none. */
export function mountTmpfs(path: string, options: string): void {
  libc ??= openLibc();
  const tmpfs = cString("tmpfs");
  if (libc.mount(tmpfs, cString(path), tmpfs, 0n, cString(options)) === 0) return;
  throw failure("mount", path, libc);
}

/** Takes the topmost mount off `path`. */
export function unmount(path: string): void {
  libc ??= openLibc();
  if (libc.umount2(cString(path), 0) === 0) return;
  throw failure("umount", path, libc);
}

/** Shows the file or directory `source` at `target` too. */
export function bindMount(source: string, target: string): void {
  libc ??= openLibc();
  const none = cString("");
  if (libc.mount(cString(source), cString(target), none, flags.bind, none) === 0) return;
  throw failure("mount", target, libc);
}

const flags = { bind: 0x1000n } as const;
const loopCalls = { getFree: 0x4c82n, setFd: 0x4c00n, clearFd: 0x4c01n } as const;

/** Runs an ioctl on a device that is opened for it. */
function control(path: string, call: bigint, argument: bigint): number {
  libc ??= openLibc();
  const device = openSync(path, "r+");
  try {
    const answer = libc.ioctl(device, call, argument);
    if (answer < 0) throw failure("ioctl", path, libc);
    return answer;
  } finally {
    closeSync(device);
  }
}

/** Puts a free loop device over the file or device `path`; its name. */
export function attachLoop(path: string): string {
  const backing = openSync(path, "r+");
  try {
    for (;;) {
      const loop = `/dev/loop${control("/dev/loop-control", loopCalls.getFree, 0n)}`;
      try {
        control(loop, loopCalls.setFd, BigInt(backing));
        return loop;
      } catch (error) {
        // Somebody else was faster.
        if ((error as { code?: string }).code !== "EBUSY") throw error;
      }
    }
  } finally {
    closeSync(backing);
  }
}

/** Takes the loop device off what it is over. */
export function detachLoop(loop: string): void {
  control(loop, loopCalls.clearFd, 0n);
}
