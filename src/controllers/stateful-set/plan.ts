/** Decides which pod of a StatefulSet is made, replaced or removed next. Pure. */
import type { StatefulSet, StatefulSetStatus } from "../../gen/apps-v1.ts";
import type { PersistentVolumeClaim, Pod, PodTemplateSpec } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { scaledValue } from "../deployment/replica-sets.ts";
import { isDeleting, mutable, omitEmpty } from "../objects.ts";
import { podFromTemplate } from "../pod-control.ts";
import { isPodAvailable, isPodReady, isPodTerminal, type LivePod } from "../pod-state.ts";
import { hashOf, revisionHashLabel } from "../revisions.ts";

export type LiveStatefulSet = DeepReadonly<StatefulSet>;

/** A revision by its name, as `status.currentRevision` and the pods' labels carry it. */
export interface NamedTemplate {
  readonly name: string;
  readonly template: DeepReadonly<PodTemplateSpec>;
}

export interface StatefulInput {
  readonly set: LiveStatefulSet;
  readonly pods: readonly LivePod[];
  readonly current: NamedTemplate;
  readonly update: NamedTemplate;
  readonly nowMs: number;
}

export type StatefulStep =
  | { readonly do: "create"; readonly ordinal: number; readonly revision: NamedTemplate }
  | { readonly do: "delete"; readonly pod: LivePod; readonly isOver?: boolean };

/** -1 for a pod that is not named by this set. */
export function ordinalOf(set: LiveStatefulSet, pod: LivePod): number {
  const prefix = `${set.metadata.name}-`;
  const { name = "" } = pod.metadata;
  const text = name.startsWith(prefix) ? name.slice(prefix.length) : "";
  return /^\d+$/.test(text) ? Number(text) : -1;
}

function rangeOf(set: LiveStatefulSet): { readonly first: number; readonly end: number } {
  const first = set.spec.ordinals?.start ?? 0;
  return { first, end: first + (set.spec.replicas ?? 1) };
}

function isHealthy(set: LiveStatefulSet, pod: LivePod, nowMs: number): boolean {
  return !isDeleting(pod) && isPodAvailable(pod, set.spec.minReadySeconds ?? 0, nowMs);
}

/** Below the partition pods keep, or come back with, the former template. */
function revisionFor({ set, current, update }: StatefulInput, ordinal: number): NamedTemplate {
  const strategy = set.spec.updateStrategy;
  if ((strategy?.type ?? "RollingUpdate") !== "RollingUpdate") return update;
  const kept = strategy?.rollingUpdate?.partition ?? 0;
  return ordinal < rangeOf(set).first + kept ? current : update;
}

function isParallel(set: LiveStatefulSet): boolean {
  return set.spec.podManagementPolicy === "Parallel";
}

/** The pods beyond the range, the highest ordinal first. */
export function condemnedPods(set: LiveStatefulSet, pods: readonly LivePod[]): LivePod[] {
  const { first, end } = rangeOf(set);
  return pods
    .filter((pod) => {
      const ordinal = ordinalOf(set, pod);
      return ordinal >= 0 && (ordinal < first || ordinal >= end);
    })
    .sort((a, b) => ordinalOf(set, b) - ordinalOf(set, a));
}

/** Ordered sets take one step at a time; parallel ones all at once. */
export function planStatefulSet(input: StatefulInput): StatefulStep[] {
  const { set, pods, nowMs } = input;
  if (isDeleting(set)) return [];
  const { first, end } = rangeOf(set);
  const byOrdinal = new Map(pods.map((pod) => [ordinalOf(set, pod), pod]));
  const steps: StatefulStep[] = [];
  let mustWait = false;
  for (let ordinal = first; ordinal < end; ordinal++) {
    const pod = byOrdinal.get(ordinal);
    if (pod === undefined) {
      steps.push({ do: "create", ordinal, revision: revisionFor(input, ordinal) });
    } else if (isPodTerminal(pod)) {
      // One that is over comes again under its name, however it ended.
      mustWait = true;
      if (!isDeleting(pod)) steps.push({ do: "delete", pod, isOver: true });
    } else if (isParallel(set) || isHealthy(set, pod, nowMs)) {
      continue;
    }
    if (!isParallel(set)) return steps;
  }
  const condemned = planCondemned(input);
  steps.push(...condemned.steps);
  if (mustWait || condemned.mustWait || steps.length > 0) return steps;
  return planUpdate(input, byOrdinal);
}

/** From the highest ordinal down; an ordered set waits for each to be gone, and for the well. */
function planCondemned({ set, pods, nowMs }: StatefulInput): {
  readonly steps: StatefulStep[];
  readonly mustWait: boolean;
} {
  const condemned = condemnedPods(set, pods);
  // The lowest unhealthy pod may go although it is not well: none else would ever be.
  const firstUnhealthy = condemned.findLast((pod) => !isHealthy(set, pod, nowMs));
  const steps: StatefulStep[] = [];
  for (const pod of condemned) {
    if (isDeleting(pod)) {
      if (!isParallel(set)) return { steps, mustWait: true };
      continue;
    }
    const isStuck = !isHealthy(set, pod, nowMs) && pod !== firstUnhealthy;
    if (isStuck && !isParallel(set)) return { steps, mustWait: true };
    steps.push({ do: "delete", pod });
    if (!isParallel(set)) return { steps, mustWait: true };
  }
  return { steps, mustWait: false };
}

function maxUnavailableOf(set: LiveStatefulSet): number {
  const wanted = set.spec.updateStrategy?.rollingUpdate?.maxUnavailable;
  return Math.max(1, scaledValue(wanted ?? 1, set.spec.replicas ?? 1, "down"));
}

/** From the highest ordinal down to the partition, as many at once as may be unavailable. */
function planUpdate(input: StatefulInput, byOrdinal: ReadonlyMap<number, LivePod>): StatefulStep[] {
  const { set, update, nowMs } = input;
  const strategy = set.spec.updateStrategy;
  if ((strategy?.type ?? "RollingUpdate") !== "RollingUpdate") return [];
  const { first, end } = rangeOf(set);
  const lowest = first + (strategy?.rollingUpdate?.partition ?? 0);
  const most = maxUnavailableOf(set);
  const steps: StatefulStep[] = [];
  let unavailable = 0;
  for (let ordinal = end - 1; ordinal >= lowest && unavailable < most; ordinal--) {
    const pod = byOrdinal.get(ordinal);
    if (pod === undefined) {
      unavailable++;
    } else if (hashOf(pod) !== update.name && !isDeleting(pod)) {
      steps.push({ do: "delete", pod });
      unavailable++;
    } else if (!isHealthy(set, pod, nowMs)) {
      unavailable++;
    }
  }
  return steps;
}

export function planStatefulStatus(input: StatefulInput): StatefulSetStatus {
  const { set, current, update, nowMs } = input;
  const pods = input.pods.filter((pod) => ordinalOf(set, pod) >= 0);
  const living = pods.filter((pod) => !isDeleting(pod) && !isPodTerminal(pod));
  const ready = living.filter(isPodReady).length;
  const count = (revision: NamedTemplate) =>
    living.filter((pod) => hashOf(pod) === revision.name).length;
  const updated = count(update);
  const minReady = set.spec.minReadySeconds ?? 0;
  const isRolling = (set.spec.updateStrategy?.type ?? "RollingUpdate") === "RollingUpdate";
  const isDone = isRolling && updated === pods.length && ready === pods.length;
  return {
    replicas: pods.length,
    ...omitEmpty({
      observedGeneration: set.metadata.generation,
      readyReplicas: ready,
      currentReplicas: isDone ? updated : count(current),
      updatedReplicas: updated,
      currentRevision: isDone ? update.name : current.name,
      updateRevision: update.name,
    }),
    collisionCount: set.status?.collisionCount ?? 0,
    availableReplicas: living.filter((pod) => isPodAvailable(pod, minReady, nowMs)).length,
  };
}

/** Names and claims a pod must have to be the one of its ordinal; undefined when it has them. */
export function identityLabels(
  set: LiveStatefulSet,
  pod: LivePod,
): Record<string, string> | undefined {
  const { name = "", labels } = pod.metadata;
  const wanted = {
    "statefulset.kubernetes.io/pod-name": name,
    "apps.kubernetes.io/pod-index": String(ordinalOf(set, pod)),
  };
  const isSame = Object.entries(wanted).every(([key, value]) => labels?.[key] === value);
  return isSame ? undefined : wanted;
}

export function claimName(template: string, set: LiveStatefulSet, ordinal: number): string {
  return `${template}-${set.metadata.name}-${ordinal}`;
}

/** The pod of one ordinal, with a stable name, host name and claims. */
export function statefulPod(set: LiveStatefulSet, ordinal: number, revision: NamedTemplate): Pod {
  const pod = podFromTemplate(revision.template, set);
  const name = `${set.metadata.name}-${ordinal}`;
  const { generateName: _none, ...metadata } = pod.metadata;
  pod.metadata = {
    ...metadata,
    name,
    labels: {
      ...metadata.labels,
      "statefulset.kubernetes.io/pod-name": name,
      "apps.kubernetes.io/pod-index": String(ordinal),
      [revisionHashLabel]: revision.name,
    },
  };
  pod.spec.hostname = name;
  if (set.spec.serviceName) pod.spec.subdomain = set.spec.serviceName;
  const claims = (set.spec.volumeClaimTemplates ?? []).map(
    ({ metadata: { name: template = "" } }) => ({
      name: template,
      persistentVolumeClaim: { claimName: claimName(template, set, ordinal) },
    }),
  );
  const others = (pod.spec.volumes ?? []).filter(
    (volume) => !claims.some((claim) => claim.name === volume.name),
  );
  if (claims.length > 0) pod.spec.volumes = [...claims, ...others];
  return pod;
}

/** The claims that the pod of one ordinal uses. */
export function statefulClaims(set: LiveStatefulSet, ordinal: number): PersistentVolumeClaim[] {
  return (set.spec.volumeClaimTemplates ?? []).map((template) => {
    const { metadata, spec } = mutable<PersistentVolumeClaim>(template);
    return {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: {
        name: claimName(metadata.name ?? "", set, ordinal),
        namespace: set.metadata.namespace ?? "",
        labels: { ...metadata.labels, ...set.spec.selector.matchLabels },
        ...(metadata.annotations === undefined ? {} : { annotations: metadata.annotations }),
      },
      spec,
    };
  });
}
