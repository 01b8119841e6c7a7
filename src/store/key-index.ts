/** Keys in byte order with a value each, in memory: ranges, counts, cheap insertion. */
import { compareKeys } from "./backend.ts";
import type { KeyRange } from "./store.ts";

export class KeyIndex<T> {
  readonly #values: Map<string, T>;
  /** The keys of `#values`, sorted. */
  readonly #keys: string[];

  constructor(values: Map<string, T> = new Map()) {
    this.#values = values;
    this.#keys = [...values.keys()].sort(compareKeys);
  }

  get(key: string): T | undefined {
    return this.#values.get(key);
  }

  set(key: string, value: T): void {
    if (!this.#values.has(key)) this.#keys.splice(this.#position(key), 0, key);
    this.#values.set(key, value);
  }

  delete(key: string): void {
    if (this.#values.delete(key)) this.#keys.splice(this.#position(key), 1);
  }

  values(): Iterable<T> {
    return this.#values.values();
  }

  count(range: KeyRange): number {
    return this.#position(range.end) - this.#position(range.start);
  }

  /** The first keys of the range; `limit` 0 means all. */
  keys(range: KeyRange, limit = 0): string[] {
    const from = this.#position(range.start);
    const end = this.#position(range.end);
    return this.#keys.slice(from, limit > 0 ? Math.min(end, from + limit) : end);
  }

  /** Index of the first key that is not below `key`. */
  #position(key: string): number {
    let low = 0;
    let high = this.#keys.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compareKeys(this.#keys[middle] ?? "", key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
