/** Tells updates that only repeat "I am alive" from those that say something. */

import type { DeepReadonly } from "../lib/deep-readonly.ts";
import type { KubeObject } from "../schema/object.ts";
import { sameJson } from "../schema/same-json.ts";

/** Compares what `rest` leaves of two objects: all but the time of the sign of life. */
export function sameWithout<T extends KubeObject>(
  rest: (object: DeepReadonly<T>) => readonly unknown[],
): (object: DeepReadonly<T>, old: DeepReadonly<T>) => boolean {
  const bare = (object: DeepReadonly<T>): unknown => {
    const [metadata, ...others] = rest(object);
    // Both change with every write.
    return [{ ...(metadata as object), resourceVersion: null, managedFields: null }, ...others];
  };
  return (object, old) => sameJson(bare(object), bare(old));
}
