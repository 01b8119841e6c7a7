/** Rules of the counts in the status of workloads. */
import type { FieldError } from "../api/resource-definition.ts";
import { invalid, nonNegative } from "./field-errors.ts";

type Counts = Readonly<Partial<Record<string, unknown>>>;

function countOf(status: Counts | undefined, key: string): number {
  const value = status?.[key];
  return typeof value === "number" ? value : 0;
}

/**
 * No count may be negative, those of `parts` not above the replicas, and no more replicas may be
 * available than are ready. `ready` is what upstream calls the ready ones in its message.
 */
export function validateReplicaStatus(
  status: Counts | undefined,
  old: Counts | undefined,
  parts: readonly string[],
  ready = "readyReplicas",
): FieldError[] {
  const errors = validateCounts(status);
  for (const key of parts)
    if (countOf(status, key) > countOf(status, "replicas"))
      errors.push(
        invalid(`status.${key}`, countOf(status, key), "cannot be greater than status.replicas"),
      );
  const available = countOf(status, "availableReplicas");
  if (available > countOf(status, "readyReplicas"))
    errors.push(invalid("status.availableReplicas", available, `cannot be greater than ${ready}`));
  return [...errors, ...validateCollisions(status, old)];
}

/** No count may be negative. */
export function validateCounts(status: Counts | undefined): FieldError[] {
  return Object.entries(status ?? {}).flatMap(([key, value]) =>
    typeof value === "number" || typeof value === "bigint"
      ? nonNegative(`status.${key}`, value as number)
      : [],
  );
}

/** Collisions are only ever counted up. */
export function validateCollisions(
  status: Counts | undefined,
  old: Counts | undefined,
): FieldError[] {
  const collisions = countOf(status, "collisionCount");
  if (collisions >= countOf(old, "collisionCount")) return [];
  return [invalid("status.collisionCount", collisions, "cannot be decremented")];
}
