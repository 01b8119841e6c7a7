/**
 * Puts the programs carried inside the binary on the disk: once per version, whole or not at
 * all, and with the path of their own loader written into them.
 */
import { randomBytes } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { type FileHandle, mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { createZstdDecompress } from "node:zlib";
import { appendedPayload } from "./appended-payload.ts";
import { MANIFEST_FILE, type Manifest, PATH_SIZE } from "./bundle-manifest.ts";
import { withFileLock } from "./flock.ts";
import { readTar, type TarHeader, type TarSink } from "./tar.ts";

/** The compressed tar to unpack. */
export interface Payload {
  readonly data: Blob;
  /** Names the version. */
  readonly sha256: string;
}

export interface UnpackOptions {
  /** Absolute, for example /var/lib/rancher/k3s. */
  readonly dataDir: string;
  readonly payload: Payload;
}

export interface Bundle {
  /** `<data-dir>/data/<sha256>`. */
  readonly root: string;
  readonly bin: string;
  /** The same path for every version, so that containerd's configuration need not change. */
  readonly cni: string;
  readonly images: string;
}

const TEMPORARY = ".unpack-";
const VERSION = /^[0-9a-f]{64}$/;
const PAYLOAD_NAME = /^payload-(amd64|arm64)-([0-9a-f]{64})\./;

/**
 * The payload of this process: behind the image of a compiled binary, else the one the build
 * left in build/. Undefined when neither exists.
 */
export function payloadFile(): Payload | undefined {
  const appended = appendedPayload("/proc/self/exe");
  if (appended !== undefined) return appended;
  const arch = process.arch === "arm64" ? "arm64" : "amd64";
  const build = join(import.meta.dir, "../../build");
  if (!existsSync(build)) return undefined;
  for (const name of readdirSync(build)) {
    const match = PAYLOAD_NAME.exec(name);
    if (match?.[1] === arch && match[2] !== undefined) {
      return { data: Bun.file(join(build, name)), sha256: match[2] };
    }
  }
  return undefined;
}

/** Unpacks the payload unless this version is there already, and makes it the current one. */
export async function unpackBundle(options: UnpackOptions): Promise<Bundle> {
  const { payload } = options;
  const data = join(options.dataDir, "data");
  const root = join(data, payload.sha256);
  const bundle: Bundle = {
    root,
    bin: join(root, "bin"),
    cni: join(data, "cni"),
    images: join(root, "images"),
  };
  if (linkTarget(join(data, "current")) === payload.sha256 && existsSync(root)) return bundle;
  mkdirSync(data, { recursive: true, mode: 0o755 });
  await withFileLock(join(data, ".lock"), async () => {
    removeLeftovers(data);
    if (!existsSync(root)) await unpack(payload, data, root);
    switchTo(data, payload.sha256);
    removeUnused(data);
  });
  return bundle;
}

async function unpack(payload: Payload, data: string, root: string): Promise<void> {
  const temporary = join(data, `${TEMPORARY}${randomBytes(6).toString("hex")}`);
  mkdirSync(temporary, { mode: 0o755 });
  const sink = new DirectorySink(temporary, root);
  const source = Readable.fromWeb(
    payload.data.stream() as unknown as Parameters<typeof Readable.fromWeb>[0],
  );
  try {
    const tar = createZstdDecompress({ chunkSize: 1 << 20 });
    source.on("error", (error) => tar.destroy(error));
    await readTar(source.pipe(tar), sink);
    await sink.finish();
    renameSync(temporary, root);
    await syncDirectory(data);
  } catch (error) {
    await sink.abort();
    rmSync(temporary, { recursive: true, force: true });
    throw new Error(`cannot unpack the bundled programs to ${root}: ${String(error)}`);
  } finally {
    source.destroy();
  }
}

/** Writes a tar's files below a directory and prepares them to run from another one. */
class DirectorySink implements TarSink {
  readonly #dir: string;
  readonly #root: string;
  readonly #syncs: Promise<void>[] = [];
  #file: FileHandle | undefined;
  #path = "";
  #size = 0;
  #manifestText = "";
  #manifest: Manifest | undefined;

  constructor(dir: string, root: string) {
    this.#dir = dir;
    this.#root = root;
  }

  async begin(header: TarHeader): Promise<void> {
    if (header.path.split("/").includes("..")) throw new Error(`unsafe path ${header.path}`);
    const path = join(this.#dir, header.path);
    if (header.type === "dir") await mkdir(path, { recursive: true, mode: header.mode });
    if (header.type !== "file") return;
    this.#path = header.path;
    this.#size = 0;
    this.#file = await open(path, "wx", header.mode);
    await this.#file.chmod(header.mode);
  }

  async write(chunk: Uint8Array): Promise<void> {
    if (this.#path === MANIFEST_FILE) this.#manifestText += new TextDecoder().decode(chunk);
    for (let at = 0; at < chunk.length; ) {
      const { bytesWritten } = await this.#openFile().write(chunk, at, chunk.length - at);
      at += bytesWritten;
    }
    this.#size += chunk.length;
  }

  async end(): Promise<void> {
    const file = this.#openFile();
    if (this.#path === MANIFEST_FILE) this.#manifest = JSON.parse(this.#manifestText) as Manifest;
    else await this.#complete(file);
    this.#file = undefined;
    // The disk works on one file while the next is decompressed.
    const sync = file.datasync().finally(() => file.close());
    // It may fail before anybody waits for it; `finish` still sees the error.
    sync.catch(() => {});
    this.#syncs.push(sync);
  }

  /** Waits until everything is on the disk. */
  async finish(): Promise<void> {
    await Promise.all(this.#syncs);
    await syncDirectory(this.#dir);
  }

  /** Closes what an archive that broke off left open. */
  async abort(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await Promise.allSettled([file?.close(), ...this.#syncs]);
  }

  async #complete(file: FileHandle): Promise<void> {
    if (this.#manifest === undefined) throw new Error("the manifest does not come first");
    const known = this.#manifest.files.find((entry) => entry.path === this.#path);
    if (known === undefined || known.size !== this.#size) {
      throw new Error(`${this.#path} is not as the manifest says`);
    }
    const libraries = join(this.#root, "lib");
    const patch = async (path: string, offset: number | undefined): Promise<void> => {
      if (offset !== undefined) await file.write(paddedPath(path), 0, PATH_SIZE, offset);
    };
    await patch(join(libraries, this.#manifest.loader), known.interpreterOffset);
    await patch(libraries, known.libraryPathOffset);
  }

  #openFile(): FileHandle {
    if (this.#file === undefined) throw new Error("data outside of a file");
    return this.#file;
  }
}

/** A path as it fills the place reserved for it in a program. */
export function paddedPath(path: string): Uint8Array {
  const bytes = new TextEncoder().encode(path);
  const excess = bytes.length - (PATH_SIZE - 1);
  if (excess > 0) {
    throw new Error(`choose a data directory with a path ${excess} bytes shorter: ${path}`);
  }
  const padded = new Uint8Array(PATH_SIZE);
  padded.set(bytes);
  return padded;
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function linkTarget(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

/** Replaces a link in one step: no reader finds it missing. */
function link(target: string, path: string): void {
  const fresh = `${path}.new`;
  rmSync(fresh, { force: true });
  symlinkSync(target, fresh);
  renameSync(fresh, path);
}

function switchTo(data: string, version: string): void {
  const before = linkTarget(join(data, "current"));
  if (before !== undefined && before !== version) link(before, join(data, "previous"));
  link("current/cni", join(data, "cni"));
  link(version, join(data, "current"));
}

/** What a killed unpack left behind; the caller holds the lock, so nobody is writing there. */
function removeLeftovers(data: string): void {
  for (const name of readdirSync(data)) {
    if (name.startsWith(TEMPORARY)) rmSync(join(data, name), { recursive: true, force: true });
  }
}

/** Versions neither linked nor running; a shim keeps its version until its last pod is gone. */
function removeUnused(data: string): void {
  const kept = new Set([linkTarget(join(data, "current")), linkTarget(join(data, "previous"))]);
  const candidates = readdirSync(data).filter((name) => VERSION.test(name) && !kept.has(name));
  if (candidates.length === 0) return;
  const running = runningPrograms();
  for (const name of candidates) {
    const prefix = `${join(data, name)}/`;
    if (running.some((path) => path.startsWith(prefix))) continue;
    rmSync(join(data, name), { recursive: true, force: true });
  }
}

function runningPrograms(): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => linkTarget(`/proc/${pid}/exe`) ?? []);
}

/** Reads a bundle's manifest; undefined when it is not unpacked. */
export function readManifest(root: string): Manifest | undefined {
  const path = join(root, MANIFEST_FILE);
  return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as Manifest) : undefined;
}
