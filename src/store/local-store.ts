/** The Store over a synchronous backend in this process: commits, watches, leases, compaction. */
import type { Runtime } from "../runtime/runtime.ts";
import type { Backend } from "./backend.ts";
import { GroupCommit } from "./group-commit.ts";
import { LeaseClock } from "./lease-clock.ts";
import type {
  Change,
  Durability,
  Entry,
  KeyRange,
  Page,
  Revision,
  Store,
  WriteResult,
} from "./store.ts";
import { WatchHub } from "./watch-hub.ts";

export interface LocalStoreOptions {
  /**
   * Every so often the log is compacted to what was newest the time before, so a reader has
   * between one and two periods. 0 switches it off.
   */
  readonly compactEveryMs?: number;
}

const defaultCompactEveryMs = 5 * 60 * 1000;
const leaseCheckMs = 1000;
/**
 * How long a write that is to be durable "soon" waits at most, when nothing else is written. Two
 * compactions fit in: versions they forget never reach the disk.
 */
const soonMs = 11 * 60 * 1000;
/** Log rows visited per compaction step: a step stays within some milliseconds. */
const compactStepRows = 256;

export class LocalStore implements Store {
  readonly #commit: GroupCommit;
  readonly #hub: WatchHub;
  readonly #leases: LeaseClock;
  readonly #closing = new AbortController();
  #isClosed = false;
  #compacting: Promise<void> = Promise.resolve();

  constructor(
    private readonly backend: Backend,
    private readonly runtime: Runtime,
    options: LocalStoreOptions = {},
  ) {
    this.#hub = new WatchHub(backend, runtime.log);
    this.#leases = new LeaseClock(runtime.clock);
    this.#commit = new GroupCommit(
      backend,
      (changes) => this.#committed(changes),
      (error) => runtime.log.warn("Upkeep of the store failed", { error }),
    );
    for (const entry of backend.leased()) this.#leases.grant(entry);
    runtime.clock.every(leaseCheckMs, this.#closing.signal, () => this.#expire());
    runtime.clock.every(soonMs, this.#closing.signal, () => void this.#flush());
    this.#compactRegularly(options.compactEveryMs ?? defaultCompactEveryMs);
  }

  async revision(): Promise<Revision> {
    this.#refuseClosed();
    return this.backend.revision();
  }

  async get(key: string, at?: Revision): Promise<Entry | undefined> {
    this.#refuseClosed();
    return this.backend.get(key, at);
  }

  async list(
    range: KeyRange,
    options: { readonly limit: number; readonly at?: Revision },
  ): Promise<Page> {
    this.#refuseClosed();
    return this.backend.list(range, options.limit, options.at);
  }

  async count(range: KeyRange): Promise<number> {
    this.#refuseClosed();
    return this.backend.count(range);
  }

  async sizeBytes(): Promise<number> {
    this.#refuseClosed();
    return this.backend.sizeBytes();
  }

  put(
    key: string,
    value: Uint8Array,
    expected: Revision,
    leaseSeconds = 0,
    durability: Durability = "now",
  ): Promise<WriteResult> {
    if (this.#isClosed) return Promise.reject(closedError());
    return this.#commit.write({ type: "put", key, value, expected, leaseSeconds, durability });
  }

  delete(key: string, expected: Revision): Promise<WriteResult> {
    if (this.#isClosed) return Promise.reject(closedError());
    return this.#commit.write({ type: "delete", key, expected });
  }

  watch(range: KeyRange, from: Revision, signal: AbortSignal): AsyncIterable<readonly Change[]> {
    return this.#hub.watch(range, from, AbortSignal.any([signal, this.#closing.signal]));
  }

  onCommit(listener: (changes: readonly Change[]) => void): Disposable {
    return this.#hub.onCommit(listener);
  }

  compact(before: Revision): Promise<void> {
    const run = this.#compacting.then(() => this.#compactTo(before));
    this.#compacting = run.catch(() => {}); // the caller sees it; the next one starts afresh
    return run;
  }

  async compactedRevision(): Promise<Revision> {
    this.#refuseClosed();
    return this.backend.compacted();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#compacting;
    await this.#commit.drain();
    this.#closing.abort();
    this.#hub.close();
    await this.backend.close();
  }

  /** Until something may be written. */
  async #rested(): Promise<void> {
    while (this.#commit.resting !== undefined) await this.#commit.resting;
  }

  #committed(changes: readonly Change[]): void {
    for (const change of changes) this.#leases.observe(change);
    this.#hub.emit(changes);
  }

  /** Steps with a turn of the event loop between them: writers and readers are not held up. */
  async #compactTo(before: Revision): Promise<void> {
    this.#refuseClosed();
    const target = Math.min(before, this.backend.revision());
    while (this.backend.compacted() < target && !this.#isClosed) {
      await this.#rested();
      this.backend.compactStep(target, compactStepRows);
      this.#commit.settle();
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
  }

  #compactRegularly(everyMs: number): void {
    if (everyMs === 0) return;
    let before = this.backend.revision();
    this.runtime.clock.every(everyMs, this.#closing.signal, () => {
      const target = before;
      before = this.backend.revision();
      if (this.backend.compacted() >= target) return;
      this.compact(target).catch((error: unknown) => {
        this.runtime.log.warn("Compaction failed, it is tried again later", { error });
      });
    });
  }

  async #flush(): Promise<void> {
    await this.#rested();
    if (this.#isClosed) return;
    try {
      this.backend.flush();
      this.#commit.settle();
    } catch (error) {
      this.runtime.log.warn("The store cannot write, it is tried again later", { error });
    }
  }

  #expire(): void {
    if (this.#isClosed) return;
    for (const { key, revision } of this.#leases.take()) {
      // A key renewed meanwhile has another revision, and its new lease stands.
      this.delete(key, revision).catch((error: unknown) => {
        this.runtime.log.warn("A key whose lease ended stays for now", { key, error });
        this.#leases.grant({ key, revision, leaseSeconds: 1 });
      });
    }
  }

  #refuseClosed(): void {
    if (this.#isClosed) throw closedError();
  }
}

function closedError(): Error {
  return new Error("The store is closed");
}
