/** A LiveSet whose changes are seen as soon as they are written. */
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { LiveChange, LiveObject, LiveSet } from "../../live/live-set.ts";
import { type KubeObject, keyOf } from "../../schema/object.ts";

export class MemorySet<T extends KubeObject> implements LiveSet<T> {
  revision = 0;
  readonly #objects = new Map<string, LiveObject<T>>();
  readonly #listeners = new Set<(change: LiveChange<T>) => void>();
  readonly #indexes = new Map<string, (object: DeepReadonly<T>) => readonly string[]>();

  async ready(): Promise<void> {}
  async reached(): Promise<void> {}

  get(key: string): LiveObject<T> | undefined {
    return this.#objects.get(key);
  }

  list(prefix = ""): LiveObject<T>[] {
    return [...this.#objects.values()]
      .filter(({ key }) => key.startsWith(prefix))
      .sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  by(index: string, value: string): LiveObject<T>[] {
    const values = this.#indexes.get(index);
    if (values === undefined) throw new Error(`No index "${index}"`);
    return this.list().filter(({ object }) => values(object).includes(value));
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

  put(object: T, revision: number): void {
    const now = liveObject(object, revision);
    const before = this.#objects.get(now.key);
    this.#objects.set(now.key, now);
    this.#tell({ type: before === undefined ? "added" : "modified", now, before }, revision);
  }

  drop(key: string, revision: number): void {
    const before = this.#objects.get(key);
    if (before === undefined) return;
    this.#objects.delete(key);
    this.#tell({ type: "deleted", now: before, before }, revision);
  }

  #tell(change: LiveChange<T>, revision: number): void {
    this.revision = revision;
    for (const listener of this.#listeners) listener(change);
  }
}

function liveObject<T extends KubeObject>(object: T, revision: number): LiveObject<T> {
  const frozen = deepFreeze(structuredClone(object)) as DeepReadonly<T>;
  return {
    key: keyOf(object),
    revision,
    object: frozen,
    labels: object.metadata.labels,
    json: () => new TextEncoder().encode(JSON.stringify(frozen)),
  };
}

function deepFreeze<V>(value: V): V {
  if (value === null || typeof value !== "object") return value;
  for (const item of Object.values(value)) deepFreeze(item);
  return Object.freeze(value);
}
