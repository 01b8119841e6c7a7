/** Takes over matching objects without an owner, lets go of own ones that match no more. */
import type { LabelSelector } from "../gen/meta-v1.ts";
import { isReason } from "../lib/api-error.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { labelSelectorOf, matchesLabels } from "../lib/selector.ts";
import type { LiveSet } from "../live/live-set.ts";
import type { KubeObject } from "../schema/object.ts";
import { controllerOf, controllerReference, isDeleting } from "./objects.ts";
import type { OwnWrites } from "./own-writes.ts";

const ownedIndex = "controllerUid";
const orphanIndex = "orphanNamespace";

/** Declares the indexes that `claim` reads. */
export function indexByController<T extends KubeObject>(set: LiveSet<T>): void {
  set.addIndex(ownedIndex, (object) => {
    const owner = controllerOf(object);
    return owner === undefined ? [] : [owner.uid];
  });
  set.addIndex(orphanIndex, (object) =>
    controllerOf(object) === undefined ? [object.metadata.namespace ?? ""] : [],
  );
}

/** The objects that `owner` controls at the moment, matching or not. */
export function ownedBy<T extends KubeObject>(
  set: LiveSet<T>,
  ownerUid: string,
): DeepReadonly<T>[] {
  return Array.from(set.by(ownedIndex, ownerUid), (live) => live.object);
}

export type ClaimStep<T> =
  | { readonly do: "keep"; readonly object: DeepReadonly<T> }
  | { readonly do: "adopt"; readonly object: DeepReadonly<T> }
  | { readonly do: "release"; readonly object: DeepReadonly<T> };

/** Decides for each candidate; those that concern someone else yield no step. */
export function planClaims<T extends KubeObject>(
  owner: DeepReadonly<KubeObject>,
  selector: DeepReadonly<LabelSelector>,
  candidates: Iterable<DeepReadonly<T>>,
): ClaimStep<T>[] {
  const matcher = labelSelectorOf(selector);
  const steps: ClaimStep<T>[] = [];
  for (const object of candidates) {
    const controller = controllerOf(object);
    const matches = matchesLabels(matcher, object.metadata.labels);
    if (controller !== undefined) {
      if (controller.uid !== owner.metadata.uid) continue;
      if (matches) steps.push({ do: "keep", object });
      else if (!isDeleting(owner)) steps.push({ do: "release", object });
      continue;
    }
    if (matches && !isDeleting(owner) && !isDeleting(object)) steps.push({ do: "adopt", object });
  }
  return steps;
}

/** All objects of `owner` after adoption and release. */
export async function claim<T extends KubeObject>(options: {
  readonly owner: DeepReadonly<KubeObject>;
  readonly selector: DeepReadonly<LabelSelector>;
  readonly set: LiveSet<T>;
  readonly writes: OwnWrites<T>;
  /** Put on with adoption and taken off with release. */
  readonly finalizer?: string;
  /** Reads the owner from the API itself: a deleted owner must not adopt. */
  readonly readOwner: () => Promise<KubeObject>;
}): Promise<DeepReadonly<T>[]> {
  const { owner, selector, set, writes, finalizer } = options;
  const orphans = Array.from(
    set.by(orphanIndex, owner.metadata.namespace ?? ""),
    (live) => live.object,
  );
  const steps = planClaims(owner, selector, [
    ...ownedBy(set, owner.metadata.uid ?? ""),
    ...orphans,
  ]);
  const claimed: DeepReadonly<T>[] = [];
  let mayAdopt: Promise<void> | undefined;
  for (const step of steps) {
    if (step.do === "keep") claimed.push(step.object);
    if (step.do === "release") await release(owner, step.object, writes, finalizer);
    if (step.do === "adopt") {
      mayAdopt ??= checkOwner(owner, options.readOwner);
      await mayAdopt;
      const adopted = await adopt(owner, step.object, writes, finalizer);
      if (adopted !== undefined) claimed.push(adopted);
    }
  }
  return claimed;
}

async function checkOwner(
  owner: DeepReadonly<KubeObject>,
  readOwner: () => Promise<KubeObject>,
): Promise<void> {
  const fresh = await readOwner();
  if (fresh.metadata.uid !== owner.metadata.uid) {
    throw new Error(`Cannot adopt for "${owner.metadata.name}": it was replaced by another object`);
  }
  if (isDeleting(fresh)) {
    throw new Error(`Cannot adopt for "${owner.metadata.name}": it has just been deleted`);
  }
}

async function adopt<T extends KubeObject>(
  owner: DeepReadonly<KubeObject>,
  object: DeepReadonly<T>,
  writes: OwnWrites<T>,
  finalizer: string | undefined,
): Promise<DeepReadonly<T> | undefined> {
  const ownerReferences = [...(object.metadata.ownerReferences ?? []), controllerReference(owner)];
  const others = withoutFinalizer(object, finalizer);
  const finalizers = finalizer === undefined ? {} : { finalizers: [...others, finalizer] };
  try {
    const metadata = { ownerReferences, ...finalizers };
    return (await writes.merge(object, { metadata })) as DeepReadonly<T>;
  } catch (error) {
    if (isReason(error, "NotFound")) return undefined;
    throw error;
  }
}

async function release<T extends KubeObject>(
  owner: DeepReadonly<KubeObject>,
  object: DeepReadonly<T>,
  writes: OwnWrites<T>,
  finalizer: string | undefined,
): Promise<void> {
  const ownerReferences = (object.metadata.ownerReferences ?? []).filter(
    (reference) => reference.uid !== owner.metadata.uid,
  );
  const finalizers =
    finalizer === undefined ? {} : { finalizers: withoutFinalizer(object, finalizer) };
  try {
    await writes.merge(object, { metadata: { ownerReferences, ...finalizers } });
  } catch (error) {
    if (!isReason(error, "NotFound")) throw error;
  }
}

function withoutFinalizer(
  object: DeepReadonly<KubeObject>,
  finalizer: string | undefined,
): string[] {
  return (object.metadata.finalizers ?? []).filter((name) => name !== finalizer);
}
