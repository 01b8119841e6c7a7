/** How many watches a write will have to be told to, for the estimate of what it costs. */
import type { ApiRequest } from "../request.ts";
import { exactFieldOf } from "./exact-field.ts";
import type { DigestedResource } from "./rules.ts";

/** What is watched; a field selector may name the only object of interest. */
type Watched = Pick<ApiRequest, "resource" | "namespace" | "name" | "query">;

export class WatchCounts {
  readonly #counts = new Map<string, number>();

  /** Counts a watch; the answer forgets it and may be called more than once. */
  add({ resource, namespace, name, query }: Watched): () => void {
    const { group, plural } = resource;
    // Changes of one pod reach few of the watches that follow a node's pods.
    if (plural === "pods" && (exactFieldOf(query, "spec.nodeName") ?? "") !== "") return () => {};
    const named = name === "" ? (exactFieldOf(query, "metadata.name") ?? "") : name;
    const key = keyOf(group, plural, namespace, named);
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    let counted = true;
    return () => {
      if (!counted) return;
      counted = false;
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
