/** What a delete does to an object: removes it, marks it, or waits on (rest.BeforeDelete). */
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { copyJson } from "../schema/copy.ts";
import type { KubeObject } from "../schema/object.ts";
import { groupResource } from "./errors.ts";
import { timestamp } from "./object-meta.ts";
import type { ResourceDefinition } from "./resource-definition.ts";

export interface DeleteWish {
  readonly gracePeriodSeconds: number | undefined;
  readonly policy: "Background" | "Foreground" | "Orphan" | undefined;
}

export type DeletePlan =
  /** With what the object is marked as before, where a grace of nothing is written down too. */
  | { readonly type: "remove"; readonly marked?: KubeObject }
  | { readonly type: "mark"; readonly object: KubeObject }
  | { readonly type: "keep" };

/** Kinds that keep their dependents unless asked otherwise, for compatibility. */
const orphansByDefault: ReadonlySet<string> = new Set(["replicationcontrollers", "jobs.batch"]);
/** Kinds that are marked by their own deletion, which tells no grace. */
export const ungraced: ReadonlySet<string> = new Set(["Namespace", "CustomResourceDefinition"]);
/** Kinds that the garbage collector never looks at. */
const withoutCollection: ReadonlySet<string> = new Set(["events", "events.events.k8s.io"]);

const orphan = "orphan";
const foreground = "foregroundDeletion";

/** Decides from the stored state alone; the result is applied by compare-and-set. */
export function planDelete(
  definition: ResourceDefinition,
  old: DeepReadonly<KubeObject>,
  wish: DeleteWish,
  now: Date,
): DeletePlan {
  const object = copyJson<KubeObject>(old as KubeObject);
  const grace = graceStep(definition, old, wish, now);
  if (grace.type === "pending") return { type: "keep" };
  const changed = setFinalizers(definition, object, wish);
  const held = definition.strategy.holdsDeletion?.(old) === true;
  const hasFinalizers = (object.metadata.finalizers ?? []).length > 0;
  if (grace.type === "set") {
    markDeleted(definition, object, grace.at, grace.seconds);
    const isOver = grace.seconds === 0 && !hasFinalizers && !held;
    return isOver ? { type: "remove", marked: object } : mark(object);
  }
  if (!hasFinalizers && !held) return { type: "remove" };
  const isMarked = old.metadata.deletionTimestamp !== undefined;
  if (isMarked && !changed && (old.metadata.deletionGracePeriodSeconds ?? 0) === 0) {
    return { type: "keep" };
  }
  markDeleted(definition, object, now, 0);
  return mark(object);
}

function mark(object: KubeObject): DeletePlan {
  return { type: "mark", object };
}

type GraceStep =
  /** The kind knows no grace, or grace is over. */
  | { readonly type: "none" }
  /** A deletion is under way, and this one is not earlier. */
  | { readonly type: "pending" }
  | { readonly type: "set"; readonly at: Date; readonly seconds: number };

function graceStep(
  definition: ResourceDefinition,
  old: DeepReadonly<KubeObject>,
  wish: DeleteWish,
  now: Date,
): GraceStep {
  const { graceSeconds } = definition.strategy;
  if (graceSeconds === undefined) return { type: "none" };
  const { deletionTimestamp, deletionGracePeriodSeconds } = old.metadata;
  if (deletionTimestamp !== undefined) {
    if (deletionGracePeriodSeconds === undefined) return { type: "none" };
    const asked = wish.gracePeriodSeconds;
    if (asked === undefined || asked >= deletionGracePeriodSeconds) {
      return deletionGracePeriodSeconds === 0 && (asked ?? 0) === 0
        ? { type: "none" }
        : { type: "pending" };
    }
    // Grace may only become shorter, counted from when the first delete came.
    const begun = Date.parse(deletionTimestamp) - durationMs(deletionGracePeriodSeconds);
    return { type: "set", at: new Date(begun + durationMs(asked)), seconds: asked };
  }
  const seconds = graceSeconds.call(definition.strategy, old, wish.gracePeriodSeconds);
  return { type: "set", at: new Date(now.getTime() + durationMs(seconds)), seconds };
}

/** As Go counts: nanoseconds in 64 bits, which overflow after 292 years. */
function durationMs(seconds: number): number {
  return Number(BigInt.asIntN(64, BigInt(seconds) * 1_000_000_000n) / 1_000_000n);
}

function markDeleted(
  definition: ResourceDefinition,
  object: KubeObject,
  at: Date,
  seconds: number,
): void {
  const { metadata } = object;
  if (metadata.deletionTimestamp === undefined) {
    if (metadata.generation && !ungraced.has(definition.kind)) metadata.generation += 1;
    metadata.deletionTimestamp = timestamp(at);
    definition.strategy.markDeleted?.(object);
  } else if (metadata.deletionGracePeriodSeconds !== seconds && seconds > 0) {
    metadata.deletionTimestamp = timestamp(at);
  }
  if (!ungraced.has(definition.kind)) metadata.deletionGracePeriodSeconds = seconds;
}

/** Leaves word for the garbage collector; true when the list changed. */
function setFinalizers(
  definition: ResourceDefinition,
  object: KubeObject,
  wish: DeleteWish,
): boolean {
  if (withoutCollection.has(groupResource(definition))) return false;
  const before = object.metadata.finalizers ?? [];
  const wanted = collectorFinalizer(definition, before, wish);
  const others = before.filter((name) => name !== orphan && name !== foreground);
  const after = wanted === undefined ? others : [...others, wanted];
  if (after.length === before.length && after.every((name) => before.includes(name))) return false;
  if (after.length === 0) delete object.metadata.finalizers;
  else object.metadata.finalizers = after;
  return true;
}

function collectorFinalizer(
  definition: ResourceDefinition,
  before: readonly string[],
  wish: DeleteWish,
): string | undefined {
  switch (wish.policy) {
    case "Orphan":
      return orphan;
    case "Foreground":
      return foreground;
    case "Background":
      return undefined;
    case undefined:
      if (before.includes(orphan)) return orphan;
      if (before.includes(foreground)) return foreground;
      return orphansByDefault.has(groupResource(definition)) ? orphan : undefined;
  }
}
