/**
 * A Scale shows one field of a workload, and only who manages that one: the record of managers is
 * carried over to the Scale and back.
 */
import { difference, hasPath, isEmptySet, setOf } from "./field-set.ts";
import type { Manager } from "./managers.ts";

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

/** Managers of the workload once its Scale has `after`. */
export function managersAfterScale(
  before: readonly Manager[],
  after: readonly Manager[],
  replicas: readonly string[],
  apiVersion: string,
): readonly Manager[] {
  const left = after.filter(({ fields }) => hasPath(fields, replicasInScale));
  const isIn = (manager: Manager) => (other: Manager) =>
    other.name === manager.name &&
    other.operation === manager.operation &&
    other.subresource === manager.subresource;
  const kept = before.map((manager) => {
    if (!hasPath(manager.fields, replicas)) return manager;
    const still = left.find(isIn(manager));
    if (still !== undefined) return { ...manager, time: still.time };
    return { ...manager, fields: difference(manager.fields, setOf(replicas)) };
  });
  const own = before.filter(({ fields }) => hasPath(fields, replicas));
  const gained = left
    .filter((manager) => !own.some(isIn(manager)))
    .map((manager) => ({ ...manager, apiVersion, fields: setOf(replicas) }));
  return [...kept.filter(({ fields }) => !isEmptySet(fields)), ...gained];
}
