/**
 * Hands commits to listeners and watchers. A watcher reads the log until it has caught up and is
 * then fed by commits; when it falls too far behind it goes back to reading the log, so memory
 * stays bounded and nothing is lost.
 */
import type { Logger } from "../runtime/runtime.ts";
import { type Backend, inRange, keyOfChange, revisionOf } from "./backend.ts";
import { type Change, Compacted, type KeyRange, type Revision } from "./store.ts";

type Batch = readonly Change[];

/** Changes a watcher may have queued before it reads the log instead. */
const mostQueued = 4096;
/** Changes read from the log at once. */
const chunkSize = 256;

export class WatchHub {
  readonly #listeners = new Set<(changes: Batch) => void>();
  readonly #watchers = new Set<Watcher>();

  constructor(
    private readonly backend: Backend,
    private readonly log: Logger,
  ) {}

  emit(changes: Batch): void {
    for (const listener of this.#listeners) {
      try {
        listener(changes);
      } catch (error) {
        this.log.error("A commit listener failed", { error });
      }
    }
    for (const watcher of this.#watchers) watcher.offer(changes);
  }

  onCommit(listener: (changes: Batch) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  watch(range: KeyRange, from: Revision, signal: AbortSignal): AsyncIterable<Batch> {
    return {
      [Symbol.asyncIterator]: () =>
        new Watcher(this.backend, range, from, signal, (watcher, open) => {
          if (open) this.#watchers.add(watcher);
          else this.#watchers.delete(watcher);
        }),
    };
  }

  /** Ends all watches. */
  close(): void {
    for (const watcher of [...this.#watchers]) watcher.end();
    this.#listeners.clear();
  }
}

/** Written by hand: an async generator would answer writers before its consumer. */
class Watcher implements AsyncIterator<Batch> {
  #state: "new" | "behind" | "live" | "ended" = "new";
  #position: Revision;
  #queue: Batch[] = [];
  #queued = 0;
  #waiting: ((result: IteratorResult<Batch>) => void)[] = [];
  readonly #onAbort = (): void => this.end();

  constructor(
    private readonly backend: Backend,
    private readonly range: KeyRange,
    from: Revision,
    private readonly signal: AbortSignal,
    private readonly register: (watcher: Watcher, open: boolean) => void,
  ) {
    this.#position = from;
  }

  next(): Promise<IteratorResult<Batch>> {
    if (this.#state === "new") this.#open();
    if (this.#state === "behind") {
      try {
        const chunk = this.#readLog();
        if (chunk.length > 0) return Promise.resolve({ done: false, value: chunk });
      } catch (error) {
        this.end();
        return Promise.reject(error);
      }
    }
    if (this.#state === "ended") return Promise.resolve({ done: true, value: undefined });
    const batch = this.#queue.shift();
    if (batch !== undefined) {
      this.#queued -= batch.length;
      this.#delivered(batch);
      return Promise.resolve({ done: false, value: batch });
    }
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }

  return(): Promise<IteratorResult<Batch>> {
    this.end();
    return Promise.resolve({ done: true, value: undefined });
  }

  offer(changes: Batch): void {
    if (this.#state !== "live") return;
    const mine = changes.filter(
      (change) => revisionOf(change) > this.#position && inRange(keyOfChange(change), this.range),
    );
    if (mine.length === 0) return;
    const resolve = this.#waiting.shift();
    if (resolve !== undefined) {
      this.#delivered(mine);
      resolve({ done: false, value: mine });
      return;
    }
    if (this.#queued + mine.length > mostQueued) {
      this.#state = "behind";
      this.#queue = [];
      this.#queued = 0;
      return;
    }
    this.#queue.push(mine);
    this.#queued += mine.length;
  }

  end(): void {
    if (this.#state === "ended") return;
    this.#state = "ended";
    this.#queue = [];
    this.signal.removeEventListener("abort", this.#onAbort);
    this.register(this, false);
    for (const resolve of this.#waiting) resolve({ done: true, value: undefined });
    this.#waiting = [];
  }

  #open(): void {
    this.#state = this.#position < this.backend.revision() ? "behind" : "live";
    this.register(this, true);
    this.signal.addEventListener("abort", this.#onAbort);
    if (this.signal.aborted) this.end();
  }

  #readLog(): Batch {
    const compacted = this.backend.compacted();
    if (this.#position < compacted) throw new Compacted(compacted);
    const chunk = this.backend.changes(this.range, this.#position, chunkSize);
    // A short chunk reaches the newest commit, and nothing can be committed in between.
    if (chunk.length < chunkSize) {
      this.#position = this.backend.revision();
      this.#state = "live";
    } else {
      this.#delivered(chunk);
    }
    return chunk;
  }

  #delivered(batch: Batch): void {
    const last = batch.at(-1);
    if (last !== undefined) this.#position = revisionOf(last);
  }
}
