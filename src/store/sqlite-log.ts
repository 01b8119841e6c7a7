/**
 * SQLite's write-ahead log: how a commit gets on the disk, and how the log gets into the database.
 * Left to SQLite the event loop waits for the disk in every commit, and every so often a commit
 * copies 24 MB. Here threads wait for the disk, and the log is copied in small portions; meanwhile
 * writers wait, nobody else.
 */
import type { Database } from "bun:sqlite";
import type { MonotonicClock } from "../lib/turns.ts";

const limits = {
  /** One portion while much is written: its copying takes one or two milliseconds. */
  portionBytes: 1024 * 1024,
  /** Much is written where this is written in a window. */
  busyBytes: 512 * 1024,
  windowMs: 5000,
  /** Where little is written a rare, large portion spares the disk: pages in it change often. */
  largestBytes: 20 * 1024 * 1024,
  /** Of the log for a commit besides its rows, and for a row taken away. */
  commitBytes: 8 * 1024,
  forgottenRowBytes: 1024,
} as const;

/** Each waits until what was written to its file is on the disk. */
export interface Syncs {
  log(): Promise<void>;
  database(): Promise<void>;
}

export class WriteAheadLog {
  /** What the log holds by estimate: only reading it would tell exactly. */
  #logBytes = 0;
  #windowBytes = 0;
  #windowEndsMs = 0;
  #isSynced = true;
  #failure: Error | undefined;

  /** The log exists: what it holds, its beginning and its name are on the disk. */
  constructor(
    private readonly database: Database,
    private readonly clock: MonotonicClock,
    private readonly syncs: Syncs,
  ) {
    // Orders what is written, without waiting for the disk at each commit.
    database.run("PRAGMA synchronous = NORMAL");
  }

  /** Notes a commit. One without rows has written nothing. */
  wrote(rowBytes: number, forgottenRows: number): void {
    if (rowBytes === 0) return;
    this.#isSynced = false;
    const now = this.clock.monotonicMs();
    if (now >= this.#windowEndsMs) {
      this.#windowBytes = 0;
      this.#windowEndsMs = now + limits.windowMs;
    }
    const bytes = rowBytes + limits.commitBytes + forgottenRows * limits.forgottenRowBytes;
    this.#windowBytes += bytes;
    this.#logBytes += bytes;
  }

  /**
   * Resolves once every commit so far is on the disk, undefined when it is. Rejects when the disk
   * failed: what it has of them then nobody knows before the store is opened again.
   */
  durable(): Promise<void> | undefined {
    if (this.#isSynced) return undefined;
    this.#isSynced = true;
    return this.#sync("write-ahead log", this.syncs.log);
  }

  get isDue(): boolean {
    const isBusy = this.#windowBytes >= limits.busyBytes;
    if (this.#failure !== undefined) return false;
    return this.#logBytes >= (isBusy ? limits.portionBytes : limits.largestBytes);
  }

  /** Throws once a sync has failed: the files may lack what the kernel has forgotten by now. */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  /**
   * Copies the log into the database. Until it resolves nothing may be written; when it is called
   * no transaction may be open, and every commit has to be durable.
   */
  async checkpoint(): Promise<void> {
    this.#logBytes = 0;
    this.#withoutSync("PRAGMA wal_checkpoint(PASSIVE)");
    await this.#sync("database", this.syncs.database);
    // The next commit begins the log anew, over what until now only the log had on the disk. Its
    // header must be there before any frame but the first: a changed frame behind the old header
    // ends the old log early, and what is left of it would be taken for the newest state.
    this.#withoutSync(beginAnew);
    await this.#sync("write-ahead log", this.syncs.log);
  }

  #withoutSync(sql: string): void {
    this.database.run("PRAGMA synchronous = OFF");
    try {
      this.database.run(sql);
    } finally {
      this.database.run("PRAGMA synchronous = NORMAL");
    }
  }

  async #sync(what: string, sync: () => Promise<void>): Promise<void> {
    try {
      await sync();
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      this.#failure = new Error(`the ${what} cannot be synced: ${reason}`, { cause });
      throw this.#failure;
    }
  }
}

/** A commit of one page: with it the header is safe, whichever part of both is written first. */
export const beginAnew = `
  INSERT INTO meta VALUES ('logs', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1`;
