/**
 * Gathers writes into transactions, so that they share the wait for the disk. Meanwhile the event
 * loop goes on: a transaction is told of, and the next one begun, once the one before is safe.
 */
import type { Applied, Backend, Write } from "./backend.ts";
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
    private readonly backend: Pick<Backend, "apply" | "durable" | "reveal" | "rest">,
    /** Sees each commit, once it is durable, before its writers are answered. */
    private readonly committed: (changes: Applied["changes"]) => void,
    /** Hears why the store could not do what was to be done between writes. */
    private readonly failed: (error: unknown) => void,
  ) {}

  /** While there is one nothing may be written, whichever way. */
  get resting(): Promise<void> | undefined {
    return this.#resting;
  }

  write(write: Write): Promise<WriteResult> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ write, resolve, reject });
      this.#schedule();
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
    }
    if (at < waiting.length) this.#waiting = [...waiting.slice(at), ...this.#waiting];
  }

  /** Until all that waits is written and told of. */
  async drain(): Promise<void> {
    while (this.#waiting.length > 0 || this.#resting !== undefined) {
      this.flush();
      await this.#resting;
    }
  }

  /** To be called after what was written by others: nothing else is until that is durable. */
  settle(): void {
    this.#settle(() => {}, this.failed);
  }

  /** At the end of the turn, with all that comes in it; after a rest, with all that came in it. */
  #schedule(): void {
    if (this.#scheduled || this.#resting !== undefined || this.#waiting.length === 0) return;
    this.#scheduled = true;
    setImmediate(() => this.flush());
  }

  #commit(batch: readonly Waiting[]): void {
    const refuse = (cause: unknown): void => {
      const reason = cause instanceof Error ? cause.message : String(cause);
      const error = new WriteFailed(`The store cannot write: ${reason}`, { cause });
      for (const { reject } of batch) reject(error);
    };
    let applied: Applied;
    try {
      applied = this.backend.apply(batch.map(({ write }) => write));
    } catch (cause) {
      refuse(cause);
      return;
    }
    this.#settle(() => this.#tell(batch, applied), refuse);
  }

  #tell(batch: readonly Waiting[], applied: Applied): void {
    this.backend.reveal?.();
    if (applied.changes.length > 0) this.committed(applied.changes);
    for (const [i, { resolve }] of batch.entries()) {
      const result = applied.results[i];
      if (result !== undefined) resolve(result);
    }
  }

  #settle(done: () => void, failed: (error: unknown) => void): void {
    const durable = this.backend.durable?.();
    if (durable === undefined) {
      done();
      const rest = this.backend.rest?.();
      if (rest !== undefined) this.#rest(rest.catch(this.failed));
      return;
    }
    const settled = durable.then(done, failed);
    this.#rest(settled.then(() => this.backend.rest?.()).catch(this.failed));
  }

  #rest(until: Promise<void>): void {
    this.#resting = until.then(() => {
      this.#resting = undefined;
      this.#schedule();
    });
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
