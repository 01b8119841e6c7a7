/** The arithmetic of a rollout: which ReplicaSet is new, how many pods may exist or be missing. */
import type { Deployment, ReplicaSet } from "../../gen/apps-v1.ts";
import type { PodTemplateSpec } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { byCreation, canonicalJson, isDeleting } from "../objects.ts";

export type LiveDeployment = DeepReadonly<Deployment>;
export type LiveReplicaSet = DeepReadonly<ReplicaSet>;

export const hashLabel = "pod-template-hash";
export const annotations = {
  revision: "deployment.kubernetes.io/revision",
  revisionHistory: "deployment.kubernetes.io/revision-history",
  desiredReplicas: "deployment.kubernetes.io/desired-replicas",
  maxReplicas: "deployment.kubernetes.io/max-replicas",
} as const;

/** What int32 fields hold when they mean "none". */
const unlimited = 2 ** 31 - 1;

export function replicasOf(object: { readonly spec?: { readonly replicas?: number } }): number {
  return object.spec?.replicas ?? 1;
}

export function sum<T>(items: readonly T[], count: (item: T) => number): number {
  return items.reduce((total, item) => total + count(item), 0);
}

/** An absolute number or a percentage of `total`. */
export function scaledValue(
  value: number | string | undefined,
  total: number,
  round: "up" | "down",
): number {
  if (value === undefined) return 0;
  if (typeof value === "number") return value;
  const percent = Number.parseInt(value, 10);
  if (Number.isNaN(percent)) return 0;
  const exact = percent * total;
  return round === "up" ? Math.ceil(exact / 100) : Math.floor(exact / 100);
}

/** How many pods may be too many and too few; never both 0, or no rollout would ever move. */
export function fenceposts(deployment: LiveDeployment): {
  readonly maxSurge: number;
  readonly maxUnavailable: number;
} {
  if (!isRollingUpdate(deployment)) return { maxSurge: 0, maxUnavailable: 0 };
  const replicas = replicasOf(deployment);
  const rolling = deployment.spec.strategy?.rollingUpdate;
  const maxSurge = scaledValue(rolling?.maxSurge ?? "25%", replicas, "up");
  let maxUnavailable = scaledValue(rolling?.maxUnavailable ?? "25%", replicas, "down");
  if (maxSurge === 0 && maxUnavailable === 0) maxUnavailable = 1;
  if (replicas === 0) maxUnavailable = 0;
  return { maxSurge, maxUnavailable: Math.min(maxUnavailable, replicas) };
}

export function isRollingUpdate(deployment: LiveDeployment): boolean {
  return (deployment.spec.strategy?.type ?? "RollingUpdate") === "RollingUpdate";
}

export function progressDeadlineSeconds(deployment: LiveDeployment): number | undefined {
  const seconds = deployment.spec.progressDeadlineSeconds;
  return seconds === undefined || seconds === unlimited ? undefined : seconds;
}

export function revisionHistoryLimit(deployment: LiveDeployment): number | undefined {
  const limit = deployment.spec.revisionHistoryLimit;
  return limit === undefined || limit === unlimited ? undefined : limit;
}

function templateKey(template: DeepReadonly<PodTemplateSpec> | undefined): string {
  const { [hashLabel]: _hash, ...labels } = template?.metadata?.labels ?? {};
  const metadata = { ...template?.metadata, labels, creationTimestamp: undefined };
  return canonicalJson({ ...template, metadata });
}

/** The oldest ReplicaSet of the Deployment's present template. */
export function findNewReplicaSet(
  deployment: LiveDeployment,
  replicaSets: readonly LiveReplicaSet[],
): LiveReplicaSet | undefined {
  const wanted = templateKey(deployment.spec.template);
  return replicaSets.toSorted(byCreation).find((rs) => templateKey(rs.spec.template) === wanted);
}

export function sameTemplate(deployment: LiveDeployment, replicaSet: LiveReplicaSet): boolean {
  return templateKey(deployment.spec.template) === templateKey(replicaSet.spec.template);
}

/** A revision is a whole number of 64 bits: some are above what a `number` holds exactly. */
export function revisionOf(object: {
  readonly metadata: { readonly annotations?: Readonly<Record<string, string>> };
}): bigint {
  const text = object.metadata.annotations?.[annotations.revision] ?? "";
  return /^\d+$/.test(text) ? BigInt(text) : 0n;
}

/** The revision that follows those of `sets`. */
export function nextRevision(sets: readonly LiveReplicaSet[]): bigint {
  let newest = 0n;
  for (const revision of sets.map(revisionOf)) if (revision > newest) newest = revision;
  return newest + 1n;
}

export function isActive(replicaSet: LiveReplicaSet): boolean {
  return replicasOf(replicaSet) > 0;
}

/** How many pods the new ReplicaSet may ask for now. */
export function newReplicaCount(
  deployment: LiveDeployment,
  all: readonly LiveReplicaSet[],
  current: number,
): number {
  const wanted = replicasOf(deployment);
  if (!isRollingUpdate(deployment)) return wanted;
  const room = wanted + fenceposts(deployment).maxSurge - sum(all, replicasOf);
  if (room <= 0) return current;
  return current + Math.min(room, wanted - current);
}

/** How much of `toAdd` pods one ReplicaSet gets when a Deployment is scaled during a rollout. */
export function proportionOf(
  replicaSet: LiveReplicaSet,
  deployment: LiveDeployment,
  toAdd: number,
  added: number,
): number {
  const size = replicasOf(replicaSet);
  if (size === 0 || toAdd === 0 || toAdd === added) return 0;
  const allowed = toAdd - added;
  const fraction = fractionOf(replicaSet, deployment);
  return toAdd > 0 ? Math.min(fraction, allowed) : Math.max(fraction, allowed);
}

function fractionOf(replicaSet: LiveReplicaSet, deployment: LiveDeployment): number {
  const size = replicasOf(replicaSet);
  const wanted = replicasOf(deployment);
  if (wanted === 0) return -size;
  const maxNow = wanted + fenceposts(deployment).maxSurge;
  const noted = Number.parseInt(
    replicaSet.metadata.annotations?.[annotations.maxReplicas] ?? "",
    10,
  );
  const maxBefore = Number.isNaN(noted) ? (deployment.status?.replicas ?? 0) : noted;
  if (maxBefore === 0) return 0;
  return Math.round((size * maxNow) / maxBefore) - size;
}

/** Old ReplicaSets beyond the history limit, those of the lowest revisions. */
export function planCleanup(
  deployment: LiveDeployment,
  old: readonly LiveReplicaSet[],
): LiveReplicaSet[] {
  const limit = revisionHistoryLimit(deployment);
  if (limit === undefined) return [];
  const alive = old.filter((rs) => !isDeleting(rs));
  const surplus = alive.length - limit;
  if (surplus <= 0) return [];
  return alive
    .toSorted((a, b) => Number(revisionOf(a) - revisionOf(b)) || byCreation(a, b))
    .slice(0, surplus)
    .filter(
      (rs) =>
        (rs.status?.replicas ?? 0) === 0 &&
        replicasOf(rs) === 0 &&
        (rs.metadata.generation ?? 0) <= (rs.status?.observedGeneration ?? 0),
    );
}
