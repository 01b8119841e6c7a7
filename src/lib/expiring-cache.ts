/** Remembers values for a while, and no more of them than fit: the least used goes first. */
export class ExpiringCache<V> {
  readonly #entries = new Map<string, { readonly value: V; readonly untilMs: number }>();

  constructor(
    private readonly entriesMax: number,
    /** Any clock that never runs backwards. */
    private readonly nowMs: () => number,
  ) {}

  get size(): number {
    return this.#entries.size;
  }

  get(key: string): V | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    this.#entries.delete(key);
    if (entry.untilMs <= this.nowMs()) return undefined;
    // The order of insertion is the order of use.
    this.#entries.set(key, entry);
    return entry.value;
  }

  /** A time of 0 remembers nothing. */
  set(key: string, value: V, ttlMs: number): void {
    this.#entries.delete(key);
    if (ttlMs <= 0) return;
    this.#entries.set(key, { value, untilMs: this.nowMs() + ttlMs });
    if (this.#entries.size <= this.entriesMax) return;
    const [oldest] = this.#entries.keys();
    if (oldest !== undefined) this.#entries.delete(oldest);
  }
}
