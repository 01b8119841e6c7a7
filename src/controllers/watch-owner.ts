/** Which owners a change of an owned object concerns. */

import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { labelSelectorOf, type MetaLabelSelector, matchesLabels } from "../lib/selector.ts";
import type { LiveChange, LiveSet } from "../live/live-set.ts";
import type { KubeObject } from "../schema/object.ts";
import { controllerOf } from "./objects.ts";

/** An owner whose selector says what it wants to own. */
export interface Selecting extends KubeObject {
  spec?: { selector?: MetaLabelSelector };
}

/**
 * The owners before and after the change; for an object without an owner, every owner of that
 * kind in its namespace whose selector matches (it may adopt).
 */
export function ownerKeys<T extends KubeObject, O extends KubeObject>(
  change: LiveChange<T>,
  kind: string,
  owners: LiveSet<O>,
): Set<string> {
  const keys = new Set<string>();
  for (const live of [change.before, change.now]) {
    if (live === undefined) continue;
    const object: DeepReadonly<KubeObject> = live.object;
    const namespace = object.metadata.namespace ?? "";
    const owner = controllerOf(object);
    if (owner?.kind === kind) keys.add(`${namespace}/${owner.name}`);
    if (owner !== undefined || live !== change.now || change.type === "deleted") continue;
    for (const candidate of owners.list(`${namespace}/`)) {
      const selector = (candidate.object as DeepReadonly<Selecting>).spec?.selector;
      if (selector === undefined) continue;
      if (matchesLabels(labelSelectorOf(toSelector(selector)), object.metadata.labels)) {
        keys.add(candidate.key);
      }
    }
  }
  return keys;
}

/** ReplicationController's selector is a plain map. */
function toSelector(selector: DeepReadonly<MetaLabelSelector>): DeepReadonly<MetaLabelSelector> {
  const isSelector = Object.entries(selector).every(
    ([key, value]) =>
      (key === "matchLabels" && typeof value === "object") ||
      (key === "matchExpressions" && Array.isArray(value)),
  );
  return isSelector
    ? selector
    : { matchLabels: selector as unknown as Readonly<Record<string, string>> };
}
