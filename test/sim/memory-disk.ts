/** The disk of a simulated machine: one tree behind both `Files` and `Host`. */
import type { FileInfo, Host } from "../../src/runtime/host.ts";
import type { Files } from "../../src/runtime/runtime.ts";

type Node =
  | { readonly kind: "file"; data: Uint8Array; mode: number }
  | { readonly kind: "directory"; mode: number }
  | { readonly kind: "symlink"; readonly target: string; mode: number };

const linksMax = 20;
const encoder = new TextEncoder();
const decoder = new TextDecoder();
const GiB = 2 ** 30;

/** Paths are absolute; parents are made on the way, as no one here asks for the error. */
export class MemoryDisk {
  readonly #nodes = new Map<string, Node>([["/", { kind: "directory", mode: 0o755 }]]);

  constructor(files: Readonly<Record<string, string>>) {
    for (const [path, text] of Object.entries(files)) this.#write(path, text, 0o644);
  }

  /** Names in a directory, sorted. */
  names(path: string): readonly string[] {
    const dir = this.#resolve(path, true);
    const prefix = dir === "/" ? "/" : `${dir}/`;
    const names = new Set<string>();
    for (const one of this.#nodes.keys()) {
      if (one !== "/" && one.startsWith(prefix)) {
        names.add(one.slice(prefix.length).split("/")[0] ?? "");
      }
    }
    return [...names].sort();
  }

  readonly files: Files = {
    read: async (path) => this.#read(path),
    readText: async (path) => {
      const data = this.#read(path);
      return data === undefined ? undefined : decoder.decode(data);
    },
    writeAtomic: async (path, data, mode) => this.#write(path, data, mode),
    writeInPlace: async (path, data) => this.#write(path, data, 0o644),
    remove: async (path) => this.#remove(path),
    mkdir: async (path, mode) => this.#mkdir(path, mode),
    list: async (path) => this.names(path),
    watch: () => {
      throw new Error("The simulated disk tells of no changes");
    },
  };

  readonly host: Host = {
    stat: async (path, follow) => this.#stat(path, follow),
    list: async (path) => this.names(path),
    write: async (path, data, mode) => this.#write(path, data, mode),
    append: async (path, data) => {
      const before = decoder.decode(this.#read(path) ?? new Uint8Array());
      this.#write(path, before + data, 0o644);
    },
    mkdir: async (path, mode) => this.#mkdir(path, mode),
    chmod: async (path, mode) => {
      const node = this.#nodes.get(this.#resolve(path, true));
      if (node !== undefined) node.mode = mode;
    },
    chown: async () => {},
    symlink: async (target, path) => {
      this.#makeParents(path);
      this.#nodes.set(this.#resolve(path, false), { kind: "symlink", target, mode: 0o777 });
    },
    readLink: async (path) => {
      const node = this.#nodes.get(this.#resolve(path, false));
      return node?.kind === "symlink" ? node.target : undefined;
    },
    realPath: async (path) => {
      const real = this.#resolve(path, true);
      return this.#nodes.has(real) ? real : undefined;
    },
    rename: async (from, to) => this.#rename(from, to),
    remove: async (path) => this.#remove(path),
    removeDirectory: async (path) => {
      if (this.names(path).length > 0) throw new Error(`ENOTEMPTY: ${path}`);
      this.#remove(path);
    },
    readAt: async (path, offset, length) =>
      (this.#read(path) ?? new Uint8Array()).slice(offset, offset + length),
    fileSystem: async () => ({
      totalBytes: 100 * GiB,
      freeBytes: 80 * GiB,
      totalInodes: 1_000_000,
      freeInodes: 900_000,
    }),
    mountTmpfs: (path) => this.#mount(path),
    bindMount: (_source, target) => this.#mount(target),
    attachLoop: () => "/dev/loop0",
    detachLoop: () => {},
    unmount: (path) => this.#unmount(path),
    processAlive: () => false,
    signal: () => {},
    addresses: () => [],
  };

  #mount(path: string): void {
    this.#write(mountTable, `${this.#mounts()}1 1 0:1 / ${path} rw - tmpfs tmpfs rw\n`, 0o444);
  }

  #unmount(path: string): void {
    const left = this.#mounts()
      .split("\n")
      .filter((line) => line.split(" ")[4] !== path);
    this.#write(mountTable, left.join("\n"), 0o444);
  }

  #mounts(): string {
    return decoder.decode(this.#read(mountTable) ?? new Uint8Array());
  }

  #read(path: string): Uint8Array | undefined {
    const node = this.#nodes.get(this.#resolve(path, true));
    return node?.kind === "file" ? node.data : undefined;
  }

  #write(path: string, data: Uint8Array | string, mode: number): void {
    this.#makeParents(path);
    const bytes = typeof data === "string" ? encoder.encode(data) : data.slice();
    this.#nodes.set(this.#resolve(path, true), { kind: "file", data: bytes, mode });
  }

  #mkdir(path: string, mode: number): void {
    this.#makeParents(`${path}/x`);
    const node = this.#nodes.get(this.#resolve(path, true));
    if (node !== undefined) node.mode = mode;
  }

  #makeParents(path: string): void {
    const parts = path.split("/").slice(1, -1);
    for (let depth = 1; depth <= parts.length; depth += 1) {
      const dir = this.#resolve(`/${parts.slice(0, depth).join("/")}`, true);
      if (!this.#nodes.has(dir)) this.#nodes.set(dir, { kind: "directory", mode: 0o755 });
    }
  }

  #rename(from: string, to: string): void {
    const [source, target] = [this.#resolve(from, false), this.#resolve(to, false)];
    if (!this.#nodes.has(source)) throw new Error(`ENOENT: ${from}`);
    this.#remove(to);
    for (const [path, node] of [...this.#nodes]) {
      if (path !== source && !path.startsWith(`${source}/`)) continue;
      this.#nodes.delete(path);
      this.#nodes.set(`${target}${path.slice(source.length)}`, node);
    }
  }

  #remove(path: string): void {
    const gone = this.#resolve(path, false);
    for (const one of [...this.#nodes.keys()]) {
      if (one === gone || one.startsWith(`${gone}/`)) this.#nodes.delete(one);
    }
  }

  #stat(path: string, follow: boolean): FileInfo | undefined {
    const node = this.#nodes.get(this.#resolve(path, follow));
    if (node === undefined) return undefined;
    const size = node.kind === "file" ? node.data.length : 0;
    const rest = { uid: 0, gid: 0, mtimeMs: 0, inode: 1, device: 0 };
    return { kind: node.kind, size, mode: node.mode, ...rest };
  }

  /** The path without links in its parents, and at its end where `last` says so. */
  #resolve(path: string, last: boolean, depth = 0): string {
    if (depth > linksMax) throw new Error(`ELOOP: ${path}`);
    let at = "";
    const parts = path.split("/").filter((part) => part !== "" && part !== ".");
    for (const [index, part] of parts.entries()) {
      if (part === "..") {
        at = at.slice(0, at.lastIndexOf("/"));
        continue;
      }
      const next = `${at}/${part}`;
      const node = this.#nodes.get(next);
      const isLast = index === parts.length - 1;
      if (node?.kind !== "symlink" || (isLast && !last)) {
        at = next;
        continue;
      }
      const target = node.target.startsWith("/") ? node.target : `${at}/${node.target}`;
      const rest = parts.slice(index + 1).join("/");
      return this.#resolve(`${target}/${rest}`, last, depth + 1);
    }
    return at === "" ? "/" : at;
  }
}

const mountTable = "/proc/self/mountinfo";
