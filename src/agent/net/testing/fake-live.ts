/** LiveSets whose contents a test sets. */
import type { Resource } from "../../../client/client.ts";
import type { DeepReadonly } from "../../../lib/deep-readonly.ts";
import type { LiveChange, LiveObject, LiveSet, LiveSets } from "../../../live/live-set.ts";
import { type KubeObject, keyOf } from "../../../schema/object.ts";

class FakeLiveSet<T extends KubeObject> implements LiveSet<T> {
  revision = 1;
  readonly #objects = new Map<string, LiveObject<T>>();
  readonly #listeners = new Set<(change: LiveChange<T>) => void>();
  readonly #indexes = new Map<string, (object: DeepReadonly<T>) => readonly string[]>();

  put(object: T): void {
    const key = keyOf(object);
    const before = this.#objects.get(key);
    const now: LiveObject<T> = {
      key,
      revision: ++this.revision,
      object: object as DeepReadonly<T>,
      labels: object.metadata.labels,
      json: () => new TextEncoder().encode(JSON.stringify(object)),
    };
    this.#objects.set(key, now);
    this.#tell({ type: before === undefined ? "added" : "modified", now, before });
  }

  remove(key: string): void {
    const before = this.#objects.get(key);
    if (before === undefined) return;
    this.#objects.delete(key);
    this.#tell({ type: "deleted", now: before, before });
  }

  async ready(): Promise<void> {}
  async reached(): Promise<void> {}
  get(key: string): LiveObject<T> | undefined {
    return this.#objects.get(key);
  }
  *list(prefix = ""): Iterable<LiveObject<T>> {
    for (const key of [...this.#objects.keys()].sort()) {
      const found = this.#objects.get(key);
      if (found !== undefined && key.startsWith(prefix)) yield found;
    }
  }
  *by(index: string, value: string): Iterable<LiveObject<T>> {
    for (const one of this.list()) {
      if (this.#indexes.get(index)?.(one.object).includes(value)) yield one;
    }
  }
  addIndex(index: string, values: (object: DeepReadonly<T>) => readonly string[]): void {
    if (!this.#indexes.has(index)) this.#indexes.set(index, values);
  }
  since(): "too-old" {
    return "too-old";
  }
  subscribe(onChange: (change: LiveChange<T>) => void): Disposable {
    this.#listeners.add(onChange);
    return { [Symbol.dispose]: () => void this.#listeners.delete(onChange) };
  }

  #tell(change: LiveChange<T>): void {
    for (const listener of this.#listeners) listener(change);
  }
}

export class FakeLiveSets implements LiveSets {
  readonly #sets = new Map<string, FakeLiveSet<KubeObject>>();

  of<T extends KubeObject>(resource: Resource<T>): FakeLiveSet<T> {
    let set = this.#sets.get(resource.plural);
    if (set === undefined) {
      set = new FakeLiveSet<KubeObject>();
      this.#sets.set(resource.plural, set);
    }
    return set as unknown as FakeLiveSet<T>;
  }
}
