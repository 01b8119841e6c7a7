/** Decides how many pods a ReplicaSet makes or removes, and what its status says. */
import type { ReplicaSetCondition, ReplicaSetStatus } from "../../gen/apps-v1.ts";
import type { PodTemplateSpec } from "../../gen/core-v1.ts";
import type { LabelSelector } from "../../gen/meta-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { matchesLabels, selectorOfMap } from "../../lib/selector.ts";
import type { KubeObject } from "../../schema/object.ts";
import { formatTime, mutable, omitEmpty } from "../objects.ts";
import {
  isPodActive,
  isPodReady,
  isPodTerminating,
  type LivePod,
  untilAvailableMs,
} from "../pod-state.ts";
import { choosePodsToDelete } from "./deletion-order.ts";

/** What ReplicaSet and ReplicationController have in common. */
export interface ReplicaOwner {
  readonly object: DeepReadonly<KubeObject>;
  readonly replicas: number;
  readonly minReadySeconds: number;
  readonly selector: DeepReadonly<LabelSelector>;
  readonly template: DeepReadonly<PodTemplateSpec>;
  readonly status: DeepReadonly<ReplicaSetStatus> | undefined;
}

/** Most pods made or removed by one reconcile (upstream's BurstReplicas). */
const burstPodsMax = 500;

export type ReplicaStep =
  | { readonly do: "nothing" }
  | { readonly do: "create"; readonly count: number }
  | { readonly do: "delete"; readonly pods: readonly LivePod[] };

export function planReplicas(
  wanted: number,
  pods: readonly LivePod[],
  related: readonly LivePod[],
  nowMs: number,
): ReplicaStep {
  const active = pods.filter(isPodActive);
  const surplus = active.length - wanted;
  if (surplus === 0) return { do: "nothing" };
  if (surplus < 0) return { do: "create", count: Math.min(-surplus, burstPodsMax) };
  const count = Math.min(surplus, burstPodsMax);
  return {
    do: "delete",
    pods: choosePodsToDelete(active, related.filter(isPodActive), count, nowMs),
  };
}

export interface ReplicaFailure {
  readonly reason: "FailedCreate" | "FailedDelete";
  readonly message: string;
}

/** The status, and when a pod that is ready will count as available. */
export function planReplicaStatus(
  owner: ReplicaOwner,
  pods: readonly LivePod[],
  failure: ReplicaFailure | undefined,
  now: Date,
): { readonly status: ReplicaSetStatus; readonly againInMs: number | undefined } {
  const labels = owner.template.metadata?.labels ?? {};
  const full = selectorOfMap(labels);
  const hasNoLabels = Object.keys(labels).length === 0;
  const active = pods.filter(isPodActive);
  const waits = active.map((pod) => untilAvailableMs(pod, owner.minReadySeconds, now.getTime()));
  const pending = waits.filter((wait) => wait !== undefined && wait > 0) as number[];
  const status: ReplicaSetStatus = {
    replicas: active.length,
    ...omitEmpty({
      fullyLabeledReplicas: active.filter(
        (pod) => hasNoLabels || matchesLabels(full, pod.metadata.labels),
      ).length,
      readyReplicas: active.filter(isPodReady).length,
      availableReplicas: waits.filter((wait) => wait === 0).length,
      observedGeneration: owner.object.metadata.generation,
      conditions: withFailure(owner.status?.conditions ?? [], failure, now),
    }),
    terminatingReplicas: pods.filter(isPodTerminating).length,
  };
  return { status, againInMs: pending.length === 0 ? undefined : Math.min(...pending) };
}

function withFailure(
  conditions: readonly DeepReadonly<ReplicaSetCondition>[],
  failure: ReplicaFailure | undefined,
  now: Date,
): ReplicaSetCondition[] {
  const others = conditions.filter(({ type }) => type !== "ReplicaFailure");
  if (failure === undefined) return mutable<ReplicaSetCondition[]>(others);
  const current = conditions.find(({ type }) => type === "ReplicaFailure");
  const condition = current ?? {
    type: "ReplicaFailure",
    status: "True",
    lastTransitionTime: formatTime(now),
    ...failure,
  };
  return mutable<ReplicaSetCondition[]>([...others, condition]);
}
