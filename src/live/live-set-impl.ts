/**
 * The LiveSet that servers and agents share. Its owner feeds it with `reset`, `apply` and
 * `progress`, all synchronous: after a commit was applied, every reader sees it.
 */
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import type { Revision } from "../store/store.ts";
import { LabelIndexes } from "./label-indexes.ts";
import type { LiveChange, LiveObject, SearchableSet, Wanted } from "./live-set.ts";
import { SortedObjects } from "./sorted-objects.ts";

const limits = {
  /** Changes that `since` can answer; older ones are read from the store's log. */
  recentChangesMax: 2048,
} as const;

/** What happened to a key, before the set has looked up what was there. */
export type Incoming<T> =
  | { readonly type: "put"; readonly now: LiveObject<T> }
  | { readonly type: "delete"; readonly now: LiveObject<T> };

interface Index<T> {
  readonly values: (object: DeepReadonly<T>) => readonly string[];
  readonly members: Map<string, Map<string, LiveObject<T>>>;
}

interface Waiter {
  readonly revision: Revision;
  readonly resolve: () => void;
}

export class LiveSetImpl<T> implements SearchableSet<T> {
  readonly #objects = new Map<string, LiveObject<T>>();
  readonly #sorted = new SortedObjects<LiveObject<T>>();
  readonly #indexes = new Map<string, Index<T>>();
  readonly #labels = new LabelIndexes(this.#objects);
  readonly #subscribers = new Set<(change: LiveChange<T>) => void>();
  #recent: LiveChange<T>[] = [];
  /** Changes after this revision are all in `#recent`. */
  #floor: Revision = 0;
  #revision: Revision = -1;
  #waiters: Waiter[] = [];
  #storedBytes = 0;

  get revision(): Revision {
    return Math.max(this.#revision, 0);
  }

  /** True once the first list is in. */
  get filled(): boolean {
    return this.#revision >= 0;
  }

  get size(): number {
    return this.#objects.size;
  }

  /** What its objects take in the store. */
  get storedBytes(): number {
    return this.#storedBytes;
  }

  ready(signal: AbortSignal): Promise<void> {
    return this.reached(0, signal);
  }

  /** Rejects with the signal's reason when it aborts first. */
  reached(revision: Revision, signal: AbortSignal): Promise<void> {
    if (this.#revision >= revision) return Promise.resolve();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const abort = () => {
      this.#waiters = this.#waiters.filter((other) => other !== waiter);
      reject(signal.reason);
    };
    const waiter: Waiter = {
      revision,
      resolve: () => {
        signal.removeEventListener("abort", abort);
        resolve();
      },
    };
    if (signal.aborted) {
      reject(signal.reason);
      return promise;
    }
    signal.addEventListener("abort", abort, { once: true });
    this.#waiters.push(waiter);
    return promise;
  }

  get(key: string): LiveObject<T> | undefined {
    return this.#objects.get(key);
  }

  list(prefix = ""): readonly LiveObject<T>[] {
    return this.#sorted.startingWith(prefix);
  }

  by(index: string, value: string): readonly LiveObject<T>[] {
    const members = this.#indexes.get(index)?.members.get(value);
    return members === undefined ? [] : [...members.values()];
  }

  /** A field can be found by when an index is called as it is. */
  search(wanted: Wanted): readonly LiveObject<T>[] {
    const { prefix, label, field } = wanted;
    const members = field && this.#indexes.get(field.path)?.members;
    const keys = members
      ? [...(members.get(field.value)?.keys() ?? [])]
      : label && this.#labels.find(label);
    if (keys === undefined) return this.list(prefix);
    return keys
      .filter((key) => key.startsWith(prefix))
      .sort()
      .flatMap((key) => this.#objects.get(key) ?? []);
  }

  addIndex(name: string, values: (object: DeepReadonly<T>) => readonly string[]): void {
    if (this.#indexes.has(name)) return;
    const index: Index<T> = { values, members: new Map() };
    this.#indexes.set(name, index);
    for (const object of this.#objects.values()) addMember(index, object);
  }

  since(revision: Revision): readonly LiveChange<T>[] | "too-old" {
    if (revision < this.#floor) return "too-old";
    let first = this.#recent.length;
    while (first > 0 && (this.#recent[first - 1]?.now.revision ?? 0) > revision) first -= 1;
    return this.#recent.slice(first);
  }

  subscribe(onChange: (change: LiveChange<T>) => void): Disposable {
    // A listener given twice is two subscriptions.
    const listener = (change: LiveChange<T>) => onChange(change);
    this.#subscribers.add(listener);
    return { [Symbol.dispose]: () => void this.#subscribers.delete(listener) };
  }

  /** Makes the set hold exactly `objects`; subscribers see the differences. */
  reset(objects: readonly LiveObject<T>[], revision: Revision): void {
    const wanted = new Set(objects.map((object) => object.key));
    const gone = [...this.#objects.values()].filter((object) => !wanted.has(object.key));
    // Who is told of one of them may list them all.
    this.#sorted.setAll(objects);
    for (const now of gone) this.#change({ type: "delete", now });
    for (const now of objects) {
      if (this.#objects.get(now.key)?.revision !== now.revision) this.#change({ type: "put", now });
    }
    this.#recent = [];
    this.#floor = revision;
    this.progress(revision);
  }

  /** Puts other readings of the same stored objects in their places; nobody is told. */
  reread(objects: readonly LiveObject<T>[]): void {
    for (const now of objects) {
      const before = this.#objects.get(now.key);
      if (before?.revision !== now.revision) continue;
      this.#objects.set(now.key, now);
      this.#sorted.set(now);
      this.#storedBytes += (now.storedBytes ?? 0) - (before.storedBytes ?? 0);
      for (const index of this.#indexes.values()) {
        removeMember(index, before);
        addMember(index, now);
      }
      this.#labels.replace(before, now);
    }
  }

  /** Takes over changes in revision order. */
  apply(changes: readonly Incoming<T>[]): void {
    for (const change of changes) {
      this.#revision = Math.max(this.#revision, change.now.revision);
      this.#change(change);
    }
    this.#wake();
  }

  /** Nothing of this resource changed up to `revision`. */
  progress(revision: Revision): void {
    if (revision <= this.#revision) return;
    this.#revision = revision;
    this.#wake();
  }

  #change(incoming: Incoming<T>): void {
    const { now } = incoming;
    const before = this.#objects.get(now.key);
    if (incoming.type === "delete" && before === undefined) return;
    const change: LiveChange<T> = {
      type: incoming.type === "delete" ? "deleted" : before === undefined ? "added" : "modified",
      now,
      before,
    };
    this.#storedBytes -= before?.storedBytes ?? 0;
    if (incoming.type === "put") this.#storedBytes += now.storedBytes ?? 0;
    if (incoming.type === "delete") {
      this.#objects.delete(now.key);
      this.#sorted.delete(now.key);
    } else {
      this.#objects.set(now.key, now);
      this.#sorted.set(now);
    }
    for (const index of this.#indexes.values()) {
      if (before !== undefined) removeMember(index, before);
      if (incoming.type === "put") addMember(index, now);
    }
    this.#labels.replace(before, incoming.type === "put" ? now : undefined);
    this.#remember(change);
    this.#notify(change);
  }

  #remember(change: LiveChange<T>): void {
    this.#recent.push(change);
    if (this.#recent.length < 2 * limits.recentChangesMax) return;
    const forgotten = this.#recent.length - limits.recentChangesMax;
    this.#floor = this.#recent[forgotten - 1]?.now.revision ?? this.#floor;
    this.#recent = this.#recent.slice(forgotten);
  }

  #notify(change: LiveChange<T>): void {
    for (const listener of this.#subscribers) {
      try {
        listener(change);
      } catch (error) {
        // A broken listener must not keep the change from the others; it ends the process instead.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  #wake(): void {
    if (this.#waiters.length === 0) return;
    const due = this.#waiters.filter((waiter) => waiter.revision <= this.#revision);
    this.#waiters = this.#waiters.filter((waiter) => waiter.revision > this.#revision);
    for (const waiter of due) waiter.resolve();
  }
}

function addMember<T>(index: Index<T>, object: LiveObject<T>): void {
  for (const value of index.values(object.object)) {
    let members = index.members.get(value);
    if (members === undefined) {
      members = new Map();
      index.members.set(value, members);
    }
    members.set(object.key, object);
  }
}

function removeMember<T>(index: Index<T>, object: LiveObject<T>): void {
  for (const value of index.values(object.object)) {
    const members = index.members.get(value);
    members?.delete(object.key);
    if (members?.size === 0) index.members.delete(value);
  }
}
