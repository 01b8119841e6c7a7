/**
 * Images that lie on the node as files: archives below `agent/images` are imported, what its text
 * files name is pulled, at the start and whenever something there changes.
 */
import type { Host } from "../runtime/host.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Scope } from "../runtime/scope.ts";
import { type CriClient, criMessage } from "./cri/client.ts";

/** Copies of large files take their time: K3s looks again when nothing changed for as long. */
const limits = { settleMs: 2_000 } as const;

export interface ImportOptions {
  readonly runtime: Runtime;
  readonly host: Host;
  readonly socketPath: string;
  readonly binDir: string;
  readonly dataDir: string;
  readonly cri: CriClient;
}

const archivePattern = /\.(tar|tar\.gz|tgz|tar\.zst|tzst)$/;
const listPattern = /\.txt$/;

/** Imports one archive through containerd's own `ctr`. */
export async function importArchive(
  options: Pick<ImportOptions, "runtime" | "socketPath" | "binDir">,
  file: string,
  signal: AbortSignal,
): Promise<void> {
  const { runtime, socketPath, binDir } = options;
  const connection = ["--address", socketPath, "--namespace", "k8s.io"];
  const labels = ["io.cri-containerd.image=managed", "io.cri-containerd.pinned=pinned"];
  const flags = ["--all-platforms=false", ...labels.flatMap((label) => ["--label", label])];
  const result = await runtime.exec.run(
    { argv: [`${binDir}/ctr`, ...connection, "images", "import", ...flags, file] },
    signal,
  );
  if (result.exitCode !== 0) {
    throw new Error(`Cannot import images from "${file}": ${result.stderr.trim()}`);
  }
}

/** Imports `archive` unless the runtime has `image` already: the pause image of the payload. */
export async function ensureArchive(
  options: Pick<ImportOptions, "runtime" | "socketPath" | "binDir" | "cri">,
  image: string,
  archive: string,
  signal: AbortSignal,
): Promise<void> {
  const status = await options.cri.images.imageStatus({ image: { image } });
  if (status.image !== undefined) return;
  await importArchive(options, archive, signal);
}

/** What is remembered of a file: how it looked, and the images that came with it. */
interface Imported {
  readonly mark: string;
  readonly images: readonly string[];
}

export class ImageImporter {
  readonly #options: ImportOptions;
  readonly #dir: string;
  /** Below containerd's root, so that removing the images removes the memory of them. */
  readonly #memory: string;
  readonly #watched = new Set<string>();
  /** Files that could not be imported, as they were then: tried again when they change. */
  readonly #broken = new Map<string, string>();
  #pass: Promise<void> = Promise.resolve();
  #changes = 0;

  constructor(options: ImportOptions) {
    this.#options = options;
    this.#dir = `${options.dataDir}/agent/images`;
    this.#memory = `${options.dataDir}/agent/containerd/k3-imported.json`;
  }

  /** Begins with what is there, and follows changes until the scope ends. */
  start(scope: Scope): void {
    this.#pass = this.#import(scope.signal);
    scope.task("images", async (signal) => {
      await this.#pass;
      await this.#watch(this.#dir, signal);
    });
  }

  /** Resolves when no import is under way: what an archive holds must not be pulled instead. */
  async idle(): Promise<void> {
    await this.#pass;
  }

  async #watch(dir: string, signal: AbortSignal): Promise<void> {
    if (this.#watched.has(dir)) return;
    this.#watched.add(dir);
    const { runtime } = this.#options;
    try {
      for await (const _name of runtime.files.watch(dir, signal)) {
        void this.#settled(signal);
      }
    } catch (error) {
      if (!signal.aborted) {
        runtime.log.warn("Cannot watch for images", { dir, error: `${error}` });
      }
    }
    this.#watched.delete(dir);
  }

  /** Looks again once nothing has changed for a while. */
  async #settled(signal: AbortSignal): Promise<void> {
    this.#changes += 1;
    const mine = this.#changes;
    await this.#options.runtime.clock.sleep(limits.settleMs, signal);
    if (signal.aborted || mine !== this.#changes) return;
    this.#pass = this.#pass.then(() => this.#import(signal));
  }

  async #import(signal: AbortSignal): Promise<void> {
    const { runtime } = this.#options;
    try {
      await runtime.files.mkdir(this.#dir, 0o755);
      const before = parseMemory(await runtime.files.readText(this.#memory));
      const files = await this.#files(this.#dir, signal);
      const present = Object.keys(before).length === 0 ? new Set<string>() : await this.#present();
      const now: Record<string, Imported> = {};
      for (const { path, mark } of files) {
        const known = before[path];
        const kept = known?.mark === mark && known.images.every((image) => present.has(image));
        const done = kept ? known : await this.#importFile(path, mark, signal);
        if (done !== undefined) now[path] = done;
      }
      if (JSON.stringify(now) !== JSON.stringify(before)) {
        await runtime.files.writeAtomic(this.#memory, JSON.stringify(now), 0o600);
      }
    } catch (error) {
      if (!signal.aborted) runtime.log.error("Cannot import images", { error: criMessage(error) });
    }
  }

  async #importFile(
    path: string,
    mark: string,
    signal: AbortSignal,
  ): Promise<Imported | undefined> {
    if (this.#broken.get(path) === mark) return undefined;
    const { runtime } = this.#options;
    try {
      const before = await this.#present();
      if (archivePattern.test(path)) await importArchive(this.#options, path, signal);
      else await this.#pullListed(path);
      const added = [...(await this.#present())].filter((image) => !before.has(image));
      runtime.log.info("Imported images", { file: path });
      return { mark, images: added };
    } catch (error) {
      if (signal.aborted) return undefined;
      this.#broken.set(path, mark);
      runtime.log.error("Cannot import images", { file: path, error: criMessage(error) });
      return undefined;
    }
  }

  async #present(): Promise<ReadonlySet<string>> {
    const { images } = await this.#options.cri.images.listImages({});
    return new Set(images.flatMap(({ repoTags }) => repoTags));
  }

  /** The files of a directory and of those in it, by name; a new directory is watched too. */
  async #files(
    dir: string,
    signal: AbortSignal,
  ): Promise<readonly { readonly path: string; readonly mark: string }[]> {
    const { host } = this.#options;
    const found: { path: string; mark: string }[] = [];
    for (const name of await host.list(dir)) {
      const path = `${dir}/${name}`;
      const info = await host.stat(path, true);
      if (info?.kind === "directory") {
        void this.#watch(path, signal);
        found.push(...(await this.#files(path, signal)));
      } else if (info?.kind === "file" && (archivePattern.test(name) || listPattern.test(name))) {
        found.push({ path, mark: `${info.size} ${info.mtimeMs}` });
      }
    }
    return found;
  }

  async #pullListed(path: string): Promise<void> {
    const text = (await this.#options.runtime.files.readText(path)) ?? "";
    const names = text.split("\n").map((line) => line.trim());
    for (const image of names.filter((name) => name !== "")) {
      await this.#options.cri.images.pullImage({ image: { image } });
    }
  }
}

function parseMemory(text: string | undefined): Record<string, Imported> {
  if (text === undefined) return {};
  try {
    const parsed = JSON.parse(text) as Record<string, Imported>;
    const isWhole = Object.values(parsed).every(({ images }) => Array.isArray(images));
    return isWhole ? parsed : {};
  } catch {
    // A torn memory only costs another import.
    return {};
  }
}
