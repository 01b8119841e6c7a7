/** A store without a disk: for tests, simulation and clusters that need not survive. */
import { assert } from "../lib/assert.ts";
import type { Runtime } from "../runtime/runtime.ts";
import {
  type Applied,
  type Backend,
  compareKeys,
  inRange,
  keyOfChange,
  revisionOf,
  type Write,
} from "./backend.ts";
import { KeyIndex } from "./key-index.ts";
import { LocalStore, type LocalStoreOptions } from "./local-store.ts";
import {
  type Change,
  Compacted,
  type Driver,
  type Entry,
  FutureRevision,
  type KeyRange,
  type Page,
  type Revision,
  type Store,
  type WriteResult,
} from "./store.ts";

export function openMemoryStore(runtime: Runtime, options: LocalStoreOptions = {}): Store {
  return new LocalStore(new MemoryBackend(), runtime, options);
}

export const memoryDriver: Driver = {
  scheme: "memory",
  open: async (_endpoint, runtime) => openMemoryStore(runtime),
};

class MemoryBackend implements Backend {
  readonly #current = new KeyIndex<Entry>();
  /** All changes after `#compacted`, so `#log[i]` has revision `#compacted + 1 + i`. */
  #log: Change[] = [];
  #compacted: Revision = 0;

  apply(writes: readonly Write[]): Applied {
    const from = this.#log.length;
    const results = writes.map((write) => this.#applyOne(write));
    return { results, changes: this.#log.slice(from) };
  }

  revision(): Revision {
    return this.#compacted + this.#log.length;
  }

  compacted(): Revision {
    return this.#compacted;
  }

  get(key: string, at: Revision | undefined): Entry | undefined {
    if (at === undefined) return this.#current.get(key);
    return this.#undone(at).get(key)?.entry ?? this.#unlessUndone(key, at);
  }

  list(range: KeyRange, limit: number, at: Revision | undefined): Page {
    const all =
      at === undefined
        ? this.#current.keys(range).flatMap((key) => this.#current.get(key) ?? [])
        : this.#listAt(range, at);
    const entries = limit > 0 ? all.slice(0, limit) : all;
    const remaining = all.length - entries.length;
    return { entries, revision: at ?? this.revision(), more: remaining > 0, remaining };
  }

  count(range: KeyRange): number {
    return this.#current.count(range);
  }

  sizeBytes(): number {
    return 0;
  }

  changes(range: KeyRange, from: Revision, limit: number): readonly Change[] {
    const found: Change[] = [];
    for (let i = from - this.#compacted; i < this.#log.length && found.length < limit; i++) {
      const change = this.#log[i];
      if (change !== undefined && inRange(keyOfChange(change), range)) found.push(change);
    }
    return found;
  }

  compactStep(before: Revision, limit: number): void {
    const count = Math.min(before - this.#compacted, limit);
    this.#log = this.#log.slice(count);
    this.#compacted += count;
  }

  flush(): void {}

  *leased(): Iterable<Entry> {
    for (const entry of this.#current.values()) if (entry.leaseSeconds > 0) yield entry;
  }

  close(): void {}

  #applyOne(write: Write): WriteResult {
    const { key } = write;
    const previous = this.#current.get(key);
    if ((previous?.revision ?? 0) !== write.expected) return { ok: false, current: previous };
    const revision = this.revision() + 1;
    if (write.type === "put") {
      const entry: Entry = {
        key,
        value: write.value,
        revision,
        createRevision: previous?.createRevision ?? revision,
        leaseSeconds: write.leaseSeconds,
      };
      this.#current.set(key, entry);
      this.#log.push({ type: "put", entry, previous });
      return { ok: true, revision };
    }
    if (previous === undefined) return { ok: false, current: undefined };
    this.#current.delete(key);
    this.#log.push({ type: "delete", revision, previous });
    return { ok: true, revision };
  }

  /** What each key changed after `at` was at `at`. */
  #undone(at: Revision): ReadonlyMap<string, { readonly entry: Entry | undefined }> {
    if (at < this.#compacted) throw new Compacted(this.#compacted);
    if (at > this.revision()) throw new FutureRevision(at, this.revision());
    const undone = new Map<string, { readonly entry: Entry | undefined }>();
    for (const change of this.#log.slice(at - this.#compacted)) {
      assert(revisionOf(change) > at, "the log is contiguous");
      const key = keyOfChange(change);
      if (!undone.has(key)) undone.set(key, { entry: change.previous });
    }
    return undone;
  }

  #unlessUndone(key: string, at: Revision): Entry | undefined {
    const current = this.#current.get(key);
    return current !== undefined && current.revision <= at ? current : undefined;
  }

  #listAt(range: KeyRange, at: Revision): Entry[] {
    const entries: Entry[] = [];
    for (const { entry } of this.#undone(at).values()) {
      if (entry !== undefined && inRange(entry.key, range)) entries.push(entry);
    }
    for (const key of this.#current.keys(range)) {
      const entry = this.#unlessUndone(key, at);
      if (entry !== undefined) entries.push(entry);
    }
    return entries.sort((a, b) => compareKeys(a.key, b.key));
  }
}
