/** What every Kubernetes object has, and how it is named. */
import type { ObjectMeta } from "../gen/meta-v1.ts";

export interface KubeObject {
  apiVersion: string;
  kind: string;
  metadata: ObjectMeta;
}

/** Only the parts that naming needs, so that readonly objects fit too. */
export interface Named {
  readonly metadata: { readonly name?: string; readonly namespace?: string };
}

/** `namespace/name`, or `name` of a cluster-scoped object: the key in LiveSets and queues. */
export function keyOf(object: Named): string {
  const { namespace, name } = object.metadata;
  return namespace ? `${namespace}/${name ?? ""}` : (name ?? "");
}

/** The parts of a key made by `keyOf`. */
export function splitKey(key: string): { readonly namespace: string; readonly name: string } {
  const slash = key.indexOf("/");
  return slash < 0
    ? { namespace: "", name: key }
    : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}
