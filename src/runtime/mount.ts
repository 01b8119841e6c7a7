/** Mounts and unmounts by system call: a program for each costs more than the rest of a volume. */
import { dlopen, type Pointer, read } from "bun:ffi";
import { constants } from "node:os";

function openLibc() {
  return dlopen("libc.so.6", {
    mount: { args: ["cstring", "cstring", "cstring", "u64", "cstring"], returns: "int" },
    umount2: { args: ["cstring", "int"], returns: "int" },
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
