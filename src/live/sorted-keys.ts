/** Keys in byte order, with cheap insertion and ranges by prefix. */
export class SortedKeys {
  #keys: string[] = [];
  readonly #reserved = new Set<string>();

  /** Inserts many keys at once; `add` of one of them later does nothing. */
  reserve(keys: readonly string[]): void {
    if (keys.length < 64) return;
    for (const key of keys) this.#reserved.add(key);
    this.#keys = [...this.#keys, ...keys].sort(compare);
  }

  add(key: string): void {
    if (this.#reserved.delete(key)) return;
    const at = this.#lowerBound(key);
    if (this.#keys[at] !== key) this.#keys.splice(at, 0, key);
  }

  delete(key: string): void {
    const at = this.#lowerBound(key);
    if (this.#keys[at] === key) this.#keys.splice(at, 1);
  }

  startingWith(prefix: string): readonly string[] {
    if (prefix === "") return this.#keys;
    const first = this.#lowerBound(prefix);
    let end = first;
    while (this.#keys[end]?.startsWith(prefix)) end += 1;
    return this.#keys.slice(first, end);
  }

  #lowerBound(key: string): number {
    let low = 0;
    let high = this.#keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#keys[middle] ?? "") < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
