/** What the garbage collector does with one object, given the state of its owners. Pure. */
import type { OwnerReference } from "../../gen/meta-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { KubeObject } from "../../schema/object.ts";

type LiveOwner = DeepReadonly<OwnerReference>;

export const foregroundFinalizer = "foregroundDeletion";
export const orphanFinalizer = "orphan";

/** `waiting`: it is being deleted in the foreground and waits for its dependents. */
export type OwnerState = "solid" | "waiting" | "absent";

export type GarbageStep =
  | { readonly do: "nothing" }
  /** Drops owners that are gone, as another one still wants the object. */
  | { readonly do: "forget"; readonly ownerReferences: readonly LiveOwner[] }
  | {
      readonly do: "delete";
      readonly policy: "Background" | "Foreground" | "Orphan";
      /** Its owners need not wait for it: they wait for each other in a circle. */
      readonly unblocks?: boolean;
    };

/** What depends on an object; "waiting" when one of that is itself waiting to go. */
export type Dependents = "none" | "some" | "waiting";

/** `dependents` says whether others would wait in turn for this object. */
export function planGarbage(
  object: DeepReadonly<KubeObject>,
  owners: readonly (readonly [LiveOwner, OwnerState])[],
  dependents: Dependents,
): GarbageStep {
  if (owners.length === 0) return { do: "nothing" };
  const solid = owners.filter(([, state]) => state === "solid").map(([owner]) => owner);
  if (solid.length > 0) {
    if (solid.length === owners.length) return { do: "nothing" };
    return { do: "forget", ownerReferences: solid };
  }
  const isAwaited = owners.some(([, state]) => state === "waiting");
  if (isAwaited && dependents !== "none") {
    return { do: "delete", policy: "Foreground", unblocks: dependents === "waiting" };
  }
  const finalizers = object.metadata.finalizers ?? [];
  if (finalizers.includes(orphanFinalizer)) return { do: "delete", policy: "Orphan" };
  if (finalizers.includes(foregroundFinalizer)) return { do: "delete", policy: "Foreground" };
  return { do: "delete", policy: "Background" };
}

/** True when `owner` may not go before `dependent` has. */
export function blocks(dependent: DeepReadonly<KubeObject>, ownerUid: string): boolean {
  return (
    dependent.metadata.ownerReferences?.some(
      (owner) => owner.uid === ownerUid && owner.blockOwnerDeletion === true,
    ) === true
  );
}
