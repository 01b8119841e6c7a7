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
export async function shown(
  object: Seen,
  context: AdmissionContext,
  definition: ResourceDefinition,
): Promise<Shown> {
  const { verb, old } = context;
  const as = async (one: Seen | undefined): Promise<Seen | null> =>
    one === undefined ? null : await converted(one, context.definition, definition);
  if (verb === "DELETE") return { definition, object: null, oldObject: await as(object) };
  if (verb === "CONNECT") return { definition, object: connectOptions(context), oldObject: null };
  const oldObject = verb === "UPDATE" ? await as(old) : null;
  return { definition, object: await as(object), oldObject };
}

/** The object in another version of its resource; a webhook converts where there is one. */
export async function converted(
  object: Seen,
  from: ResourceDefinition,
  to: ResourceDefinition,
): Promise<Seen> {
  const apiVersion = to.group === "" ? to.version : `${to.group}/${to.version}`;
  const { group, version, kind } = from;
  const own = group === "" ? version : `${group}/${version}`;
  // A body of another kind (Scale, Eviction) is the same in every version of its resource.
  if (object.kind !== undefined && object.kind !== kind) return object;
  if (from === to) return object.kind ? object : { ...object, apiVersion: own, kind };
  const copy = copyJson<KubeObject>(object);
  if (to.custom?.convert !== undefined) {
    const [made] = await to.custom.convert([{ ...copy, apiVersion: own, kind }], apiVersion);
    return made ?? copy;
  }
  const stored = from.conversion?.toStorage(copy) ?? copy;
  const result = to.conversion?.fromStorage(stored) ?? stored;
  return { ...result, apiVersion, kind: to.kind };
}
