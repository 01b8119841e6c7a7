/** What those who admit are shown of a request: its objects, in the version they want. */
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { copyJson } from "../../schema/copy.ts";
import type { KubeObject } from "../../schema/object.ts";
import type { AdmissionContext } from "../admission-plugin.ts";
import type { ResourceDefinition } from "../resource-definition.ts";
import { connectOptions } from "./connect-options.ts";

type Seen = DeepReadonly<KubeObject>;

export interface Shown {
  readonly definition: ResourceDefinition;
  readonly object: Seen | null;
  readonly oldObject: Seen | null;
}

/** On DELETE there is only the old object, on CONNECT only the options. */
export function shown(
  object: Seen,
  context: AdmissionContext,
  definition: ResourceDefinition,
): Shown {
  const { verb, old } = context;
  const as = (one: Seen | undefined): Seen | null =>
    one === undefined ? null : converted(one, context.definition, definition);
  if (verb === "DELETE") return { definition, object: null, oldObject: as(object) };
  if (verb === "CONNECT") return { definition, object: connectOptions(context), oldObject: null };
  return { definition, object: as(object), oldObject: verb === "UPDATE" ? as(old) : null };
}

/** The object in another version of its resource. */
export function converted(object: Seen, from: ResourceDefinition, to: ResourceDefinition): Seen {
  const apiVersion = to.group === "" ? to.version : `${to.group}/${to.version}`;
  const { group, version, kind } = from;
  const own = group === "" ? version : `${group}/${version}`;
  // A body of another kind (Scale, Eviction) is the same in every version of its resource.
  if (object.kind !== undefined && object.kind !== kind) return object;
  if (from === to) return object.kind ? object : { ...object, apiVersion: own, kind };
  const copy = copyJson<KubeObject>(object);
  const stored = from.conversion?.toStorage(copy) ?? copy;
  const result = to.conversion?.fromStorage(stored) ?? stored;
  return { ...result, apiVersion, kind: to.kind };
}
