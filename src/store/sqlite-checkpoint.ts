/**
 * Moves SQLite's write-ahead log into its database. Left to SQLite this happens within a commit,
 * which copies 24 MB and waits for the disk: 60 ms and more in which nobody is served. Here it is
 * done in small portions, and a thread waits for the disk; meanwhile writers wait, nobody else.
 */
import type { Database } from "bun:sqlite";
import type { MonotonicClock } from "../lib/turns.ts";

const limits = {
  /** One portion while much is written: its copying takes some 3 ms. */
  portionBytes: 2 * 1024 * 1024,
  /** Much is written where this is written in a window. */
  busyBytes: 512 * 1024,
  windowMs: 5000,
  /** Where little is written a rare, large portion spares the disk: pages in it change often. */
  largestBytes: 20 * 1024 * 1024,
  /** Of the log for a commit besides its rows, and for a row taken away. */
  commitBytes: 8 * 1024,
  forgottenRowBytes: 1024,
} as const;

export class Checkpoint {
  /** What the log holds by estimate: only reading it would tell exactly. */
  #logBytes = 0;
  #windowBytes = 0;
  #windowEndsMs = 0;
  #failure: Error | undefined;

  constructor(
    private readonly database: Database,
    private readonly clock: MonotonicClock,
    /** Waits until the database (not its log) is on the disk. */
    private readonly sync: () => Promise<void>,
  ) {}

  /** Notes a commit. */
  wrote(rowBytes: number, forgottenRows: number): void {
    const now = this.clock.monotonicMs();
    if (now >= this.#windowEndsMs) {
      this.#windowBytes = 0;
      this.#windowEndsMs = now + limits.windowMs;
    }
    const bytes = rowBytes + limits.commitBytes + forgottenRows * limits.forgottenRowBytes;
    this.#windowBytes += bytes;
    this.#logBytes += bytes;
  }

  get isDue(): boolean {
    const isBusy = this.#windowBytes >= limits.busyBytes;
    return this.#logBytes >= (isBusy ? limits.portionBytes : limits.largestBytes);
  }

  /** Throws once a checkpoint has failed: the log may hold what the database has lost. */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  /**
   * Nothing may be written until this resolves, and no transaction be open when it is called: the
   * next write begins the log anew, over what only the log has on the disk.
   */
  async run(): Promise<void> {
    this.#logBytes = 0;
    this.database.run("PRAGMA synchronous = OFF");
    try {
      this.database.run("PRAGMA wal_checkpoint(PASSIVE)");
    } finally {
      this.database.run("PRAGMA synchronous = FULL");
    }
    try {
      await this.sync();
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      this.#failure = new Error(`the database cannot be synced: ${reason}`, { cause });
    }
  }
}
