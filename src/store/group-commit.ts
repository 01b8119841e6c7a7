/** Gathers the writes of one event-loop turn into one transaction, so that they share one fsync. */
import type { Applied, Write } from "./backend.ts";
import { WriteFailed, type WriteResult } from "./store.ts";

interface Waiting {
  readonly write: Write;
  readonly resolve: (result: WriteResult) => void;
  readonly reject: (error: Error) => void;
}

/** Bounds of one transaction: they keep the write-ahead log and the pause of the loop small. */
const mostWrites = 1000;
const mostBytes = 4 * 1024 * 1024;

export class GroupCommit {
  #waiting: Waiting[] = [];
  #scheduled = false;
  #resting: Promise<void> | undefined;

  constructor(
    private readonly apply: (writes: readonly Write[]) => Applied,
    /** Sees each commit before its writers are answered. */
    private readonly committed: (changes: Applied["changes"]) => void,
    /** What has to be done after a commit and before the next one; it never rejects. */
    private readonly restAfter: () => Promise<void> | undefined,
  ) {}

  /** While there is one nothing may be written, whichever way. */
  get resting(): Promise<void> | undefined {
    return this.#resting;
  }

  write(write: Write): Promise<WriteResult> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ write, resolve, reject });
      if (this.#scheduled) return;
      this.#scheduled = true;
      setImmediate(() => this.flush());
    });
  }

  /** Commits all that waits, now or when it may. */
  flush(): void {
    this.#scheduled = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    let at = 0;
    while (at < waiting.length && this.#resting === undefined) {
      const batch = nextBatch(waiting, at);
      at += batch.length;
      this.#commit(batch);
      this.rest();
    }
    if (at < waiting.length) this.#waiting = [...waiting.slice(at), ...this.#waiting];
  }

  /** To be called after what was written by others, too. */
  rest(): void {
    this.#resting ??= this.restAfter()?.then(() => {
      this.#resting = undefined;
      this.flush();
    });
  }

  #commit(batch: readonly Waiting[]): void {
    let applied: Applied;
    try {
      applied = this.apply(batch.map(({ write }) => write));
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      const error = new WriteFailed(`The store cannot write: ${reason}`, { cause });
      for (const { reject } of batch) reject(error);
      return;
    }
    if (applied.changes.length > 0) this.committed(applied.changes);
    for (const [i, { resolve }] of batch.entries()) {
      const result = applied.results[i];
      if (result !== undefined) resolve(result);
    }
  }
}

function nextBatch(waiting: readonly Waiting[], from: number): readonly Waiting[] {
  let bytes = 0;
  let end = from;
  for (; end < waiting.length && end - from < mostWrites && bytes < mostBytes; end++) {
    const write = waiting[end]?.write;
    if (write?.type === "put") bytes += write.value.length;
  }
  return waiting.slice(from, end);
}
