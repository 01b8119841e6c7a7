/** How admission plugins read the cluster: from LiveSets, once these are filled. */
import type { Resource } from "../../client/client.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { LiveSet, LiveSets } from "../../live/live-set.ts";
import type { KubeObject } from "../../schema/object.ts";

const never = new AbortController().signal;

/** The filled LiveSet of a resource. */
export async function filled<T extends KubeObject>(
  live: LiveSets,
  resource: Resource<T>,
): Promise<LiveSet<T>> {
  const set = live.of(resource);
  await set.ready(never);
  return set;
}

/** One object, or undefined; `namespace` is "" for what has none. */
export async function lookUp<T extends KubeObject>(
  live: LiveSets,
  resource: Resource<T>,
  namespace: string,
  name: string,
): Promise<DeepReadonly<T> | undefined> {
  const set = await filled(live, resource);
  return set.get(namespace === "" ? name : `${namespace}/${name}`)?.object;
}

/** All objects, or those of one namespace. */
export async function everyOf<T extends KubeObject>(
  live: LiveSets,
  resource: Resource<T>,
  namespace = "",
): Promise<readonly DeepReadonly<T>[]> {
  const set = await filled(live, resource);
  return [...set.list(namespace === "" ? "" : `${namespace}/`)].map(({ object }) => object);
}
