/** The status of a Deployment: counts, Available, Progressing and ReplicaFailure. */
import type { DeploymentCondition, DeploymentStatus } from "../../gen/apps-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { formatTime, mutable, omitEmpty, parseTime } from "../objects.ts";
import {
  fenceposts,
  type LiveDeployment,
  type LiveReplicaSet,
  progressDeadlineSeconds,
  replicasOf,
  sum,
} from "./replica-sets.ts";

type Conditions = readonly DeepReadonly<DeploymentCondition>[];
type Status = DeepReadonly<DeploymentStatus>;

export function conditionOf(
  conditions: Conditions | undefined,
  type: string,
): DeepReadonly<DeploymentCondition> | undefined {
  return conditions?.find((condition) => condition.type === type);
}

/** Sets a condition; one of the same status and reason is left alone, times included. */
export function withCondition(
  conditions: Conditions,
  wanted: { type: string; status: string; reason: string; message: string },
  now: Date,
): Conditions {
  const current = conditionOf(conditions, wanted.type);
  if (current?.status === wanted.status && current.reason === wanted.reason) return conditions;
  const time = formatTime(now);
  const lastTransitionTime =
    current?.status === wanted.status ? (current.lastTransitionTime ?? time) : time;
  return [
    ...without(conditions, wanted.type),
    { ...wanted, lastUpdateTime: time, lastTransitionTime },
  ];
}

export function without(conditions: Conditions, type: string): Conditions {
  return conditions.filter((condition) => condition.type !== type);
}

/** Counts and the Available condition, over all ReplicaSets. */
export function calculateStatus(
  deployment: LiveDeployment,
  all: readonly LiveReplicaSet[],
  newSet: LiveReplicaSet | undefined,
  now: Date,
): DeploymentStatus {
  const available = sum(all, (rs) => rs.status?.availableReplicas ?? 0);
  const wanted = replicasOf(deployment);
  const isAvailable = available >= wanted - fenceposts(deployment).maxUnavailable;
  const conditions = withCondition(
    deployment.status?.conditions ?? [],
    {
      type: "Available",
      status: isAvailable ? "True" : "False",
      reason: isAvailable ? "MinimumReplicasAvailable" : "MinimumReplicasUnavailable",
      message: `Deployment ${isAvailable ? "has" : "does not have"} minimum availability.`,
    },
    now,
  );
  const collisionCount = deployment.status?.collisionCount;
  return {
    ...omitEmpty({
      observedGeneration: deployment.metadata.generation,
      replicas: sum(all, (rs) => rs.status?.replicas ?? 0),
      updatedReplicas: newSet?.status?.replicas ?? 0,
      readyReplicas: sum(all, (rs) => rs.status?.readyReplicas ?? 0),
      availableReplicas: available,
      unavailableReplicas: Math.max(0, sum(all, replicasOf) - available),
    }),
    ...terminatingReplicas(all),
    ...(collisionCount === undefined ? {} : { collisionCount }),
    conditions: mutable(conditions) as DeploymentCondition[],
  };
}

function terminatingReplicas(all: readonly LiveReplicaSet[]): { terminatingReplicas?: number } {
  if (all.some((rs) => rs.status?.terminatingReplicas === undefined)) return {};
  return { terminatingReplicas: sum(all, (rs) => rs.status?.terminatingReplicas ?? 0) };
}

export function isComplete(deployment: LiveDeployment, status: Status): boolean {
  const wanted = replicasOf(deployment);
  return (
    (status.updatedReplicas ?? 0) === wanted &&
    (status.replicas ?? 0) === wanted &&
    (status.availableReplicas ?? 0) === wanted &&
    (status.observedGeneration ?? 0) >= (deployment.metadata.generation ?? 0)
  );
}

function isProgressing(before: Status | undefined, status: Status): boolean {
  const old = (of: Status | undefined) => (of?.replicas ?? 0) - (of?.updatedReplicas ?? 0);
  return (
    (status.updatedReplicas ?? 0) > (before?.updatedReplicas ?? 0) ||
    old(status) < old(before) ||
    (status.readyReplicas ?? 0) > (before?.readyReplicas ?? 0) ||
    (status.availableReplicas ?? 0) > (before?.availableReplicas ?? 0)
  );
}

function isTimedOut(deployment: LiveDeployment, conditions: Conditions, now: Date): boolean {
  const condition = conditionOf(conditions, "Progressing");
  const deadline = progressDeadlineSeconds(deployment);
  if (condition === undefined || deadline === undefined) return false;
  if (condition.reason === "NewReplicaSetAvailable") return false;
  if (condition.reason === "ProgressDeadlineExceeded") return true;
  return parseTime(condition.lastUpdateTime) + deadline * 1000 < now.getTime();
}

/** The status while a rollout runs: counts plus how it gets on. */
export function rolloutStatus(
  deployment: LiveDeployment,
  all: readonly LiveReplicaSet[],
  newSet: LiveReplicaSet | undefined,
  now: Date,
): DeploymentStatus {
  const status = calculateStatus(deployment, all, newSet, now);
  const current = conditionOf(deployment.status?.conditions, "Progressing");
  let conditions: Conditions = status.conditions ?? [];
  const deadline = progressDeadlineSeconds(deployment);
  if (deadline === undefined) conditions = without(conditions, "Progressing");
  const settled =
    (status.replicas ?? 0) === (status.updatedReplicas ?? 0) &&
    current?.reason === "NewReplicaSetAvailable";
  if (deadline !== undefined && !settled) {
    conditions = withProgress(deployment, { ...status, conditions }, newSet, now);
  }
  conditions = withReplicaFailure(conditions, all, newSet, now);
  return { ...status, conditions: mutable(conditions) as DeploymentCondition[] };
}

function withProgress(
  deployment: LiveDeployment,
  status: Status,
  newSet: LiveReplicaSet | undefined,
  now: Date,
): Conditions {
  const conditions = status.conditions ?? [];
  const who =
    newSet === undefined
      ? `Deployment "${deployment.metadata.name}"`
      : `ReplicaSet "${newSet.metadata.name}"`;
  const set = (progress: string, reason: string, text: string) =>
    withCondition(
      conditions,
      { type: "Progressing", status: progress, reason, message: `${who} ${text}` },
      now,
    );
  if (isComplete(deployment, status)) {
    return set("True", "NewReplicaSetAvailable", "has successfully progressed.");
  }
  if (isProgressing(deployment.status, status)) {
    const current = conditionOf(conditions, "Progressing");
    const time = formatTime(now);
    const since = current?.status === "True" ? current.lastTransitionTime : undefined;
    // Progress restarts the deadline, so the update time moves even if nothing else changes.
    return [
      ...without(conditions, "Progressing"),
      {
        type: "Progressing",
        status: "True",
        reason: "ReplicaSetUpdated",
        message: `${who} is progressing.`,
        lastUpdateTime: time,
        lastTransitionTime: since ?? time,
      },
    ];
  }
  if (isTimedOut(deployment, conditions, now)) {
    return set("False", "ProgressDeadlineExceeded", "has timed out progressing.");
  }
  return conditions;
}

function withReplicaFailure(
  conditions: Conditions,
  all: readonly LiveReplicaSet[],
  newSet: LiveReplicaSet | undefined,
  now: Date,
): Conditions {
  const failures = (newSet === undefined ? all : [newSet, ...all]).flatMap(
    (rs) => rs.status?.conditions?.filter(({ type }) => type === "ReplicaFailure") ?? [],
  );
  const failure = failures[0];
  if (failure === undefined) return without(conditions, "ReplicaFailure");
  const { status, reason = "", message = "" } = failure;
  return withCondition(conditions, { type: "ReplicaFailure", status, reason, message }, now);
}

/** When to look again for a missed deadline; undefined when there is none to miss. */
export function untilDeadlineMs(
  deployment: LiveDeployment,
  status: Status,
  now: Date,
): number | undefined {
  const condition = conditionOf(status.conditions, "Progressing");
  const deadline = progressDeadlineSeconds(deployment);
  if (condition === undefined || deadline === undefined) return undefined;
  if (isComplete(deployment, status)) return undefined;
  if (condition.reason === "ProgressDeadlineExceeded") return undefined;
  const left = parseTime(condition.lastUpdateTime) + deadline * 1000 - now.getTime();
  return Math.max(0, left) + 1000;
}
