/**
 * A map in layers: a layer that stays the same object has not changed, so that two states of a
 * large table are compared by looking only at what differs. The first layer that has a key counts.
 */
export type Layers<V> = readonly ReadonlyMap<string, V>[];

export function lookUp<V>(layers: Layers<V>, key: string): V | undefined {
  for (const layer of layers) {
    const value = layer.get(key);
    if (value !== undefined) return value;
  }
  return undefined;
}

/** Keys of which `before` and `after` may tell different things, each once. */
export function touchedKeys<V>(before: Layers<V>, after: Layers<V>): ReadonlySet<string> {
  const keys = new Set<string>();
  for (let i = 0; i < Math.max(before.length, after.length); i++) {
    if (before[i] === after[i]) continue;
    for (const layer of [before[i], after[i]]) {
      for (const key of layer?.keys() ?? []) keys.add(key);
    }
  }
  return keys;
}
