/** Mode batch: events wait in a queue of limited length and leave in batches. */
import type { Clock } from "../../runtime/runtime.ts";
import type { BatchOptions } from "./audit-options.ts";
import type { AuditEvent, AuditSink, OnLost } from "./event.ts";
import { Throttle } from "./sinks.ts";

export interface BufferedOptions {
  readonly sink: AuditSink;
  readonly batch: BatchOptions;
  /** True lets batches overtake each other: a receiver that is slow holds up nothing. */
  readonly isParallel: boolean;
  readonly clock: Clock;
  readonly onLost: OnLost;
}

export class BufferedSink implements AuditSink {
  readonly #options: BufferedOptions;
  readonly #throttle: Throttle | undefined;
  readonly #closing = new AbortController();
  readonly #underWay = new Set<Promise<unknown>>();
  readonly #done: Promise<void>;
  #queue: AuditEvent[] = [];
  #wake: () => void = () => {};

  constructor(options: BufferedOptions) {
    this.#options = options;
    const { batch, clock } = options;
    this.#throttle = batch.throttle && new Throttle(clock, batch.throttle);
    this.#done = this.#run();
  }

  process(events: readonly AuditEvent[]): boolean {
    const { batch, onLost } = this.#options;
    const isClosed = this.#closing.signal.aborted;
    const room = isClosed ? 0 : Math.max(0, batch.bufferSize - this.#queue.length);
    this.#queue.push(...events.slice(0, room));
    if (events.length > room) {
      const why = isClosed ? "audit backend shut down" : "audit buffer queue blocked";
      onLost("buffered", new Error(why), events.slice(room));
    }
    this.#wake();
    return true;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#wake();
    await this.#done;
    // The sink decides how long a receiver that is gone may hold up a stop.
    await Promise.all([this.#options.sink.close(), Promise.allSettled([...this.#underWay])]);
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    const { maxSize } = this.#options.batch;
    while (!signal.aborted || this.#queue.length > 0) {
      await this.#filled();
      const events = this.#queue.slice(0, maxSize);
      this.#queue = this.#queue.slice(maxSize);
      if (events.length > 0) await this.#send(events);
    }
  }

  /** Resolves when a batch is full, has waited long enough, or nothing more will come. */
  async #filled(): Promise<void> {
    const { batch, clock } = this.#options;
    const { signal } = this.#closing;
    const isFull = () => this.#queue.length >= batch.maxSize || signal.aborted;
    if (isFull()) return;
    const stop = new AbortController();
    let isLate = false;
    // A batch of one is full with its first event, however long that takes.
    if (batch.maxSize > 1) {
      void clock.sleep(batch.maxWaitMs, stop.signal).then(() => {
        isLate = true;
        this.#wake();
      });
    }
    while (!isFull() && !isLate) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
    stop.abort();
  }

  async #send(events: readonly AuditEvent[]): Promise<void> {
    const { sink, isParallel } = this.#options;
    await this.#throttle?.next(this.#closing.signal);
    const sent = Promise.resolve(sink.process(events));
    if (!isParallel) {
      await sent;
      return;
    }
    this.#underWay.add(sent);
    void sent.finally(() => this.#underWay.delete(sent));
  }
}
