/** Work that is done one piece after the other, in a lane for each key. */
export class Lanes {
  readonly #last = new Map<string, Promise<unknown>>();

  /** Begins `work` when all that was given for the key before has ended, well or not. */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key);
    const mine = (before ?? Promise.resolve()).catch(() => {}).then(work);
    this.#last.set(key, mine);
    try {
      return await mine;
    } finally {
      if (this.#last.get(key) === mine) this.#last.delete(key);
    }
  }
}
