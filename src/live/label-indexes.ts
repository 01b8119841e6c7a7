/**
 * Which objects have a label. Only of large sets, and of keys that are asked for again: then a
 * selector costs what it finds, not what there is.
 */
import { nextTurn } from "../lib/turns.ts";
import type { LabelWanted, LiveObject } from "./live-set.ts";

const limits = {
  /** In smaller sets each object is looked at. */
  objectsMin: 2000,
  keysMax: 4,
  keysRememberedMax: 16,
  objectsPerTurn: 1000,
  /** A selector that finds more of all objects does better without an index. */
  shareMax: 0.25,
} as const;

type Labelled = Pick<LiveObject<unknown>, "key" | "labels">;

export class LabelIndexes {
  /** By label key; the one that was not asked for longest comes first. */
  readonly #indexes = new Map<string, LabelIndex>();
  /** Keys that were asked for once. */
  readonly #asked = new Set<string>();

  constructor(private readonly objects: ReadonlyMap<string, Labelled>) {}

  /** Keys of the objects that have the label, in no order; undefined when it is not known. */
  find({ key, values }: LabelWanted): readonly string[] | undefined {
    if (this.objects.size < limits.objectsMin) return undefined;
    const index = this.#indexes.get(key);
    if (index === undefined) {
      this.#ask(key);
      return undefined;
    }
    this.#indexes.delete(key);
    this.#indexes.set(key, index);
    return index.isWhole ? index.find(values, this.objects.size * limits.shareMax) : undefined;
  }

  /** One object in the place of another; undefined is none. */
  replace(before: Labelled | undefined, now: Labelled | undefined): void {
    if (this.#indexes.size === 0) return;
    if (this.objects.size < limits.objectsMin / 2) this.#indexes.clear();
    for (const [label, index] of this.#indexes) {
      const was = labelOf(before, label);
      const is = labelOf(now, label);
      if (was === is) continue;
      if (before !== undefined && was !== undefined) index.remove(was, before.key);
      if (now !== undefined && is !== undefined) index.add(is, now.key);
    }
  }

  #ask(key: string): void {
    if (!this.#asked.delete(key)) {
      if (this.#asked.size === limits.keysRememberedMax) this.#asked.clear();
      this.#asked.add(key);
      return;
    }
    if (this.#indexes.size === limits.keysMax) {
      for (const [longest] of this.#indexes) {
        this.#indexes.delete(longest);
        break;
      }
    }
    const index = new LabelIndex();
    this.#indexes.set(key, index);
    void this.#fill(key, index);
  }

  /** Bit by bit. What changes meanwhile is heeded at once, and may be looked at once more here. */
  async #fill(key: string, index: LabelIndex): Promise<void> {
    let left: number = limits.objectsPerTurn;
    for (const object of this.objects.values()) {
      const value = labelOf(object, key);
      if (value !== undefined) index.add(value, object.key);
      left -= 1;
      if (left > 0) continue;
      left = limits.objectsPerTurn;
      await nextTurn();
      if (this.#indexes.get(key) !== index) return;
    }
    index.isWhole = true;
  }
}

class LabelIndex {
  isWhole = false;
  /** By value; a value that only one object has needs no set. */
  readonly #keys = new Map<string, string | Set<string>>();

  add(value: string, key: string): void {
    const known = this.#keys.get(value);
    if (known === undefined) this.#keys.set(value, key);
    else if (typeof known !== "string") known.add(key);
    else if (known !== key) this.#keys.set(value, new Set([known, key]));
  }

  remove(value: string, key: string): void {
    const known = this.#keys.get(value);
    if (known === key) this.#keys.delete(value);
    else if (typeof known === "object" && known.delete(key) && known.size === 0) {
      this.#keys.delete(value);
    }
  }

  /** Undefined for more than `most`. */
  find(values: readonly string[], most: number): readonly string[] | undefined {
    const found: string[] = [];
    for (const value of new Set(values)) {
      const keys = this.#keys.get(value);
      if (keys === undefined) continue;
      if (typeof keys === "string") found.push(keys);
      else if (found.length + keys.size > most) return undefined;
      else found.push(...keys);
    }
    return found;
  }
}

function labelOf(object: Labelled | undefined, label: string): string | undefined {
  const labels = object?.labels;
  return labels !== undefined && Object.hasOwn(labels, label) ? labels[label] : undefined;
}
