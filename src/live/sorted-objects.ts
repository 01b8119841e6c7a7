/** Objects in the byte order of their keys, with cheap insertion and ranges by prefix. */

interface Keyed {
  readonly key: string;
}

export class SortedObjects<T extends Keyed> {
  #objects: T[] = [];

  /** Takes many objects at once, in place of those with their keys. */
  setAll(objects: readonly T[]): void {
    const given = new Set(objects.map(({ key }) => key));
    const kept = this.#objects.filter(({ key }) => !given.has(key));
    this.#objects = [...kept, ...objects].sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  set(object: T): void {
    const at = this.#lowerBound(object.key);
    const replaces = this.#objects[at]?.key === object.key ? 1 : 0;
    this.#objects.splice(at, replaces, object);
  }

  delete(key: string): void {
    const at = this.#lowerBound(key);
    if (this.#objects[at]?.key === key) this.#objects.splice(at, 1);
  }

  startingWith(prefix: string): T[] {
    if (prefix === "") return this.#objects.slice();
    // The first text that sorts after all that begin with the prefix.
    const after =
      prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1);
    return this.#objects.slice(this.#lowerBound(prefix), this.#lowerBound(after));
  }

  #lowerBound(key: string): number {
    let low = 0;
    let high = this.#objects.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#objects[middle] as T).key < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
