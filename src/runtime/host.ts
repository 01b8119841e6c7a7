/**
 * What only a node agent needs of its machine: file kinds, owners and modes, links, partial reads,
 * processes by id. Kept apart from `Runtime`, which every other layer can live with.
 */

import { readFileSync } from "node:fs";
import {
  appendFile,
  chmod,
  chown,
  lchown,
  lstat,
  mkdir,
  open,
  readdir,
  readlink,
  realpath,
  rename,
  rm,
  rmdir,
  stat,
  statfs,
  symlink,
  writeFile,
} from "node:fs/promises";
import { networkInterfaces } from "node:os";
import { attachLoop, bindMount, detachLoop, mountTmpfs, unmount } from "./mount.ts";

export type FileKind = "file" | "directory" | "symlink" | "socket" | "char" | "block" | "other";

export interface FileInfo {
  readonly kind: FileKind;
  readonly size: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeMs: number;
  readonly inode: number;
  /** The device of the file system. */
  readonly device: number;
}

export interface FileSystemInfo {
  readonly totalBytes: number;
  readonly freeBytes: number;
  readonly totalInodes: number;
  readonly freeInodes: number;
}

export interface Host {
  /** Undefined when nothing is there; `follow` false looks at the link itself. */
  stat(path: string, follow: boolean): Promise<FileInfo | undefined>;
  list(path: string): Promise<readonly string[]>;
  write(path: string, data: Uint8Array | string, mode: number): Promise<void>;
  append(path: string, data: string): Promise<void>;
  mkdir(path: string, mode: number): Promise<void>;
  chmod(path: string, mode: number): Promise<void>;
  /** Changes the owner of the entry itself, never of what a link points to; -1 leaves it. */
  chown(path: string, uid: number, gid: number): Promise<void>;
  symlink(target: string, path: string): Promise<void>;
  readLink(path: string): Promise<string | undefined>;
  /** The path without links; undefined when it does not exist. */
  realPath(path: string): Promise<string | undefined>;
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** Fails when the directory is not empty. */
  removeDirectory(path: string): Promise<void>;
  /** Up to `length` bytes from `offset`; empty at the end of the file. */
  readAt(path: string, offset: number, length: number): Promise<Uint8Array>;
  fileSystem(path: string): Promise<FileSystemInfo>;
  /** Mounts a tmpfs on the directory; `options` as in mount(8), "" for none. */
  mountTmpfs(path: string, options: string): void;
  /** Shows the file or directory `source` at `target` too. */
  bindMount(source: string, target: string): void;
  unmount(path: string): void;
  /** Puts a free loop device over the file or device `path`; its name. */
  attachLoop(path: string): string;
  detachLoop(loop: string): void;
  /** False for a zombie too: it has ended, though nobody may ever reap it. */
  processAlive(pid: number): boolean;
  signal(pid: number, signal: "SIGTERM" | "SIGKILL"): void;
  /** Addresses of the machine's interfaces, loopback left out, in the kernel's order. */
  addresses(): readonly { readonly interfaceName: string; readonly address: string }[];
}

function kindOf(info: Awaited<ReturnType<typeof lstat>>): FileKind {
  if (info.isFile()) return "file";
  if (info.isDirectory()) return "directory";
  if (info.isSymbolicLink()) return "symlink";
  if (info.isSocket()) return "socket";
  if (info.isCharacterDevice()) return "char";
  if (info.isBlockDevice()) return "block";
  return "other";
}

/** The value of `work`, or undefined when the path does not exist. */
async function whenPresent<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
}

async function readAt(path: string, offset: number, length: number): Promise<Uint8Array> {
  const file = await open(path, "r");
  try {
    const buffer = new Uint8Array(length);
    const { bytesRead } = await file.read(buffer, 0, length, offset);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

function processAlive(pid: number): boolean {
  try {
    const line = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The name in parentheses may hold anything; the state follows the last one.
    const state = line[line.lastIndexOf(")") + 2];
    return state !== "Z" && state !== "X";
  } catch {
    return false;
  }
}

/** The machine this process runs on. */
export const realHost: Host = {
  async stat(path, follow) {
    const info = await whenPresent(follow ? stat(path) : lstat(path));
    if (info === undefined) return undefined;
    const { size, mode, uid, gid, mtimeMs, ino, dev } = info;
    const kind = kindOf(info);
    return { kind, size, mode: mode & 0o7777, uid, gid, mtimeMs, inode: ino, device: dev };
  },
  list: async (path) => (await whenPresent(readdir(path)))?.toSorted() ?? [],
  async write(path, data, mode) {
    await writeFile(path, data, { mode });
    // The process' umask has cut the mode above.
    await chmod(path, mode);
  },
  append: (path, data) => appendFile(path, data),
  async mkdir(path, mode) {
    await mkdir(path, { recursive: true, mode });
    await chmod(path, mode);
  },
  chmod: (path, mode) => chmod(path, mode),
  async chown(path, uid, gid) {
    const info = await lstat(path);
    const [user, group] = [uid === -1 ? info.uid : uid, gid === -1 ? info.gid : gid];
    await (info.isSymbolicLink() ? lchown(path, user, group) : chown(path, user, group));
  },
  symlink: (target, path) => symlink(target, path),
  readLink: (path) => whenPresent(readlink(path)),
  realPath: (path) => whenPresent(realpath(path)),
  rename: (from, to) => rename(from, to),
  remove: (path) => rm(path, { recursive: true, force: true }),
  removeDirectory: (path) => rmdir(path),
  readAt,
  async fileSystem(path) {
    const info = await statfs(path);
    return {
      totalBytes: info.blocks * info.bsize,
      freeBytes: info.bavail * info.bsize,
      totalInodes: info.files,
      freeInodes: info.ffree,
    };
  },
  mountTmpfs,
  bindMount,
  unmount,
  attachLoop,
  detachLoop,
  processAlive,
  signal(pid, signal) {
    if (processAlive(pid)) process.kill(pid, signal);
  },
  addresses: () =>
    Object.entries(networkInterfaces()).flatMap(([interfaceName, entries]) =>
      (entries ?? [])
        .filter((entry) => !entry.internal)
        .map((entry) => ({ interfaceName, address: entry.address })),
    ),
};
