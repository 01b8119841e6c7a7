/**
 * Keys to reconcile: each is there once, is handed to one worker at a time, and comes back later
 * when it failed. The plan of client-go's rate-limited queue.
 */
import type { Clock } from "../runtime/runtime.ts";

const limits = { backoffMinMs: 5, backoffMaxMs: 1_000_000 } as const;

export class WorkQueue {
  readonly #ready: string[] = [];
  /** Waiting in `#ready`, or asked for again while in flight. */
  readonly #dirty = new Set<string>();
  readonly #inFlight = new Set<string>();
  readonly #failures = new Map<string, number>();
  /** Monotonic time at which a key is due; the earliest wins. */
  readonly #later = new Map<string, number>();
  /** Since when a key is dirty: monotonic time. */
  readonly #sinceMs = new Map<string, number>();
  readonly #takers: ((key: string | undefined) => void)[] = [];

  constructor(
    private readonly clock: Clock,
    private readonly signal: AbortSignal,
  ) {
    signal.addEventListener("abort", () => this.#close(), { once: true });
  }

  /** Told how long each key waited to be taken. */
  onTaken: ((waitedMs: number) => void) | undefined;
  #adds = 0;
  #retries = 0;

  /** How many keys were added so far, and how many of them again after a failure. */
  get adds(): number {
    return this.#adds;
  }

  get retries(): number {
    return this.#retries;
  }

  get depth(): number {
    return this.#ready.length;
  }

  add(key: string): void {
    if (this.signal.aborted || this.#dirty.has(key)) return;
    this.#dirty.add(key);
    this.#adds += 1;
    if (this.onTaken !== undefined && !this.#sinceMs.has(key))
      this.#sinceMs.set(key, this.clock.monotonicMs());
    if (this.#inFlight.has(key)) return;
    const taker = this.#takers.shift();
    if (taker === undefined) this.#ready.push(key);
    else taker(this.#handOut(key));
  }

  addAfter(key: string, ms: number): void {
    if (ms <= 0) {
      this.add(key);
      return;
    }
    const due = this.clock.monotonicMs() + ms;
    const known = this.#later.get(key);
    if (known !== undefined && known <= due) return;
    this.#later.set(key, due);
    // Never rejects; an earlier time for the same key makes this one void.
    void this.clock.sleep(ms, this.signal).then(() => {
      if (this.#later.get(key) !== due) return;
      this.#later.delete(key);
      this.add(key);
    });
  }

  /** Again after 5 ms, then twice as long with every failure. */
  addFailed(key: string): void {
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    this.#retries += 1;
    this.addAfter(key, Math.min(limits.backoffMinMs * 2 ** failures, limits.backoffMaxMs));
  }

  /** Success: the next failure begins with a short wait again. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  /** The next key, which is in flight until `done`; undefined once the queue is closed. */
  take(): Promise<string | undefined> {
    if (this.signal.aborted) return Promise.resolve(undefined);
    const key = this.#ready.shift();
    if (key !== undefined) return Promise.resolve(this.#handOut(key));
    return new Promise((resolve) => this.#takers.push(resolve));
  }

  done(key: string): void {
    this.#inFlight.delete(key);
    if (!this.#dirty.delete(key)) return;
    this.add(key);
  }

  #handOut(key: string): string {
    this.#dirty.delete(key);
    const sinceMs = this.#sinceMs.get(key);
    if (sinceMs !== undefined) {
      this.#sinceMs.delete(key);
      this.onTaken?.(this.clock.monotonicMs() - sinceMs);
    }
    this.#inFlight.add(key);
    return key;
  }

  #close(): void {
    for (const taker of this.#takers.splice(0)) taker(undefined);
  }
}
