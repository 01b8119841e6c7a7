/** LiveSets as agents and servers have them, filled by hand. */
import type { Resource } from "../src/client/client.ts";
import type { LiveObject, LiveSet, LiveSets } from "../src/live/live-set.ts";
import { LiveSetImpl } from "../src/live/live-set-impl.ts";
import { type KubeObject, keyOf } from "../src/schema/object.ts";

type Named = Pick<Resource<KubeObject>, "plural">;

export class MemoryLive implements LiveSets {
  readonly #sets = new Map<string, LiveSetImpl<KubeObject>>();
  #revision = 1;

  of<T extends KubeObject>({ plural }: Resource<T>): LiveSet<T> {
    return this.#setOf(plural) as unknown as LiveSet<T>;
  }

  fill({ plural }: Named, objects: readonly KubeObject[]): void {
    this.#setOf(plural).reset(objects.map(liveObject), this.#revision);
  }

  put({ plural }: Named, object: KubeObject): void {
    this.#revision += 1;
    this.#setOf(plural).apply([{ type: "put", now: liveObject(object) }]);
  }

  #setOf(plural: string): LiveSetImpl<KubeObject> {
    let set = this.#sets.get(plural);
    if (set === undefined) {
      set = new LiveSetImpl<KubeObject>();
      set.reset([], this.#revision);
      this.#sets.set(plural, set);
    }
    return set;
  }
}

function liveObject(object: KubeObject): LiveObject<KubeObject> {
  return {
    key: keyOf(object),
    revision: 1,
    object,
    labels: object.metadata.labels,
    json: () => new TextEncoder().encode(JSON.stringify(object)),
  };
}
