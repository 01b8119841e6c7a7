/** A log file that is set aside when it is full: compressed, a few kept, none too old. */
import {
  closeSync,
  createReadStream,
  createWriteStream,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { basename, dirname, extname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";

/** K3s' own figures. */
const limits = {
  bytesMax: 50 * 1024 * 1024,
  backupsMax: 3,
  ageMsMax: 28 * 24 * 60 * 60 * 1000,
} as const;

export interface LogFileOptions {
  readonly path: string;
  /** Default: the clock of this machine. */
  readonly now?: () => Date;
  /** Default 50 MiB; Infinity never sets the file aside. */
  readonly bytesMax?: number;
  /** How many files that were set aside are kept; default 3. */
  readonly backupsMax?: number;
  /** Default 28 days. */
  readonly ageMsMax?: number;
  /** Default true. */
  readonly compress?: boolean;
  /** Of a folder that is made for the file; default 0o755. */
  readonly directoryMode?: number;
}

/** Writes to standard output, at once. */
export function writeStandardOutput(text: string): void {
  writeSync(1, text);
}

export class LogFile {
  readonly #options: LogFileOptions;
  #fd: number;
  #bytes: number;
  #packing: Promise<void> = Promise.resolve();

  /** Throws when the file cannot be written. */
  constructor(options: LogFileOptions) {
    this.#options = options;
    mkdirSync(dirname(options.path), { recursive: true, mode: options.directoryMode ?? 0o755 });
    this.#fd = openSync(options.path, "a", 0o600);
    this.#bytes = fstatSync(this.#fd).size;
  }

  write(line: string): void {
    const bytes = Buffer.from(line);
    const bytesMax = this.#options.bytesMax ?? limits.bytesMax;
    if (this.#bytes > 0 && this.#bytes + bytes.length > bytesMax) this.#rotate();
    for (let written = 0; written < bytes.length; ) {
      written += writeSync(this.#fd, bytes, written);
    }
    this.#bytes += bytes.length;
  }

  /** Resolves when what was set aside is compressed. */
  packed(): Promise<void> {
    return this.#packing;
  }

  #rotate(): void {
    const { path, now = () => new Date() } = this.#options;
    const time = now().toISOString().replaceAll(":", "-").replace("Z", "");
    const aside = `${this.#stem()}-${time}${extname(path)}`;
    renameSync(path, aside);
    const full = this.#fd;
    this.#fd = openSync(path, "a", 0o600);
    this.#bytes = 0;
    closeSync(full);
    // A backup that cannot be compressed stays as it is; the log goes on.
    this.#packing = this.#packing.then(() => this.#pack(aside)).catch(() => {});
  }

  async #pack(aside: string): Promise<void> {
    for (const old of this.#outdated()) rmSync(old, { force: true });
    if (!existsSync(aside) || this.#options.compress === false) return;
    const target = createWriteStream(`${aside}.gz`, { mode: 0o600 });
    await pipeline(createReadStream(aside), createGzip(), target);
    rmSync(aside);
  }

  /** The times in the names sort as texts do. */
  #outdated(): readonly string[] {
    const { path, now = () => new Date(), ageMsMax, backupsMax } = this.#options;
    const prefix = `${basename(this.#stem())}-`;
    const since = now().getTime() - (ageMsMax ?? limits.ageMsMax);
    // A date so long ago that it cannot be written keeps files of any age.
    const oldest = since > 0 ? new Date(since).toISOString().replaceAll(":", "-") : "";
    const backups = readdirSync(dirname(path))
      .filter((name) => name.startsWith(prefix) && /\d{4}-\d\d-\d\dT[\d.-]+/.test(name))
      .sort()
      .reverse();
    return backups
      .filter(
        (name, index) =>
          index >= (backupsMax ?? limits.backupsMax) || name.slice(prefix.length) < oldest,
      )
      .map((name) => join(dirname(path), name));
  }

  #stem(): string {
    const { path } = this.#options;
    return path.slice(0, path.length - extname(path).length);
  }
}
