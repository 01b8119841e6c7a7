/**
 * A Scale shows one field of a workload, and only who manages that one: the record of managers is
 * carried over to the Scale and back.
 */
import { difference, hasPath, isEmptySet, setOf } from "./field-set.ts";
import { isSameManager, type Manager } from "./managers.ts";

export const scaleVersion = "autoscaling/v1";

const replicasInScale = ["f:spec", "f:replicas"];

/** Managers of the replicas, as managers of the Scale. */
export function managersOfScale(
  managers: readonly Manager[],
  replicas: readonly string[],
): readonly Manager[] {
  return managers
    .filter(({ fields }) => hasPath(fields, replicas))
    .map((manager) => ({ ...manager, apiVersion: scaleVersion, fields: setOf(replicasInScale) }));
}

/**
 * Managers of the workload once its Scale has `after`. Upstream tells updaters of the Scale from
 * those of the workload by their version, and keeps no times of what comes from the Scale: who set
 * the replicas by an update has a new entry of its own.
 */
export function managersAfterScale(
  before: readonly Manager[],
  after: readonly Manager[],
  replicas: readonly string[],
  apiVersion: string,
): readonly Manager[] {
  const left = after.filter(({ fields }) => hasPath(fields, replicasInScale));
  const isNew = (manager: Manager): boolean =>
    !before.some((own) => hasPath(own.fields, replicas) && isSameManager(own, manager));
  const kept = before.map((manager) => {
    const isKept = left.some((other) => isSameManager(other, manager));
    if (isKept || !hasPath(manager.fields, replicas)) return manager;
    return { ...manager, fields: difference(manager.fields, setOf(replicas)) };
  });
  const gained = left
    .filter(isNew)
    .map((manager) => ({ ...manager, apiVersion, time: undefined, fields: setOf(replicas) }));
  return [...kept.filter(({ fields }) => !isEmptySet(fields)), ...gained];
}
