/** The watches under way: how many a write will have to be told to, and what they were told. */
import type { ApiRequest, ResourceRef } from "../request.ts";
import { exactFieldOf } from "./exact-field.ts";
import type { DigestedResource } from "./rules.ts";

/** What is watched; a field selector may name the only object of interest. */
type Watched = Pick<ApiRequest, "resource" | "namespace" | "name" | "query">;

/** What is counted for all watches of one resource. */
export interface WatchTally {
  readonly resource: ResourceRef;
  open: number;
  events: number;
}

export class WatchCounts {
  readonly #counts = new Map<string, number>();
  readonly #tallies = new Map<string, WatchTally>();

  get tallies(): Iterable<WatchTally> {
    return this.#tallies.values();
  }

  /** Counts a watch; `forget` may be called more than once. */
  add(watched: Watched): { readonly tally: WatchTally; readonly forget: () => void } {
    const tally = this.#tallyOf(watched.resource);
    tally.open += 1;
    const leave = this.#count(watched);
    let isOpen = true;
    return {
      tally,
      forget: () => {
        if (!isOpen) return;
        isOpen = false;
        tally.open -= 1;
        leave();
      },
    };
  }

  #tallyOf(resource: ResourceRef): WatchTally {
    const key = `${resource.group}/${resource.version}/${resource.plural}`;
    let tally = this.#tallies.get(key);
    if (tally === undefined) {
      tally = { resource, open: 0, events: 0 };
      this.#tallies.set(key, tally);
    }
    return tally;
  }

  #count({ resource, namespace, name, query }: Watched): () => void {
    const { group, plural } = resource;
    // Changes of one pod reach few of the watches that follow a node's pods.
    if (plural === "pods" && (exactFieldOf(query, "spec.nodeName") ?? "") !== "") return () => {};
    const named = name === "" ? (exactFieldOf(query, "metadata.name") ?? "") : name;
    const key = keyOf(group, plural, namespace, named);
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    return () => {
      const left = (this.#counts.get(key) ?? 0) - 1;
      if (left > 0) this.#counts.set(key, left);
      else this.#counts.delete(key);
    };
  }

  /** Watches of everything, of the object's namespace and of the object itself. */
  interestedIn({ group, plural, namespace, name }: DigestedResource): number {
    const of = (inNamespace: string, named: string): number =>
      this.#counts.get(keyOf(group, plural, inNamespace, named)) ?? 0;
    return (
      of("", "") +
      (namespace === "" ? 0 : of(namespace, "")) +
      (name === "" ? 0 : of(namespace, name))
    );
  }
}

function keyOf(group: string, plural: string, namespace: string, name: string): string {
  return `${group}/${plural}/${namespace}/${name}`;
}
