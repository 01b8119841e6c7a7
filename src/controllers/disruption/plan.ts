/** How many pods of a PodDisruptionBudget may be evicted now. Pure. */
import type { PodDisruptionBudget, PodDisruptionBudgetStatus } from "../../gen/policy-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { scaledValue } from "../deployment/replica-sets.ts";
import { formatTime, isDeleting, mutable, parseTime } from "../objects.ts";
import { isPodReady, isPodTerminal, type LivePod, podCondition } from "../pod-state.ts";

export type LiveBudget = DeepReadonly<PodDisruptionBudget>;
type Condition = NonNullable<PodDisruptionBudgetStatus["conditions"]>[number];

/** An evicted pod that is not being deleted by then counts as healthy again. */
export const evictionTimeoutMs = 2 * 60_000;

export interface BudgetInput {
  readonly budget: LiveBudget;
  readonly pods: readonly LivePod[];
  /** The sum of what the pods' owners want to have. */
  readonly expectedScale: number;
  readonly now: Date;
}

export interface BudgetPlan {
  readonly status: PodDisruptionBudgetStatus;
  /** Pods whose eviction was granted and that were never deleted. */
  readonly notDeleted: readonly LivePod[];
  readonly againInMs: number | undefined;
}

/** True when the owners' sizes decide: a whole number as minimum counts the pods that are there. */
export function needsScale({ spec }: LiveBudget): boolean {
  return spec.maxUnavailable !== undefined || typeof spec.minAvailable === "string";
}

function expectation({ budget, pods, expectedScale }: BudgetInput): {
  readonly expected: number;
  readonly desired: number;
} {
  const { maxUnavailable, minAvailable } = budget.spec;
  if (maxUnavailable !== undefined) {
    const most = scaledValue(maxUnavailable, expectedScale, "up");
    return { expected: expectedScale, desired: Math.max(0, expectedScale - most) };
  }
  if (typeof minAvailable === "number") return { expected: pods.length, desired: minAvailable };
  if (minAvailable === undefined) return { expected: 0, desired: 0 };
  return { expected: expectedScale, desired: scaledValue(minAvailable, expectedScale, "up") };
}

/** The evictions that are still under way, and those that came to nothing. */
function sortDisrupted({ budget, pods, now }: BudgetInput): {
  readonly pending: Record<string, string>;
  readonly notDeleted: LivePod[];
  readonly recheckMs: number | undefined;
} {
  const pending: Record<string, string> = {};
  const notDeleted: LivePod[] = [];
  let recheckMs: number | undefined;
  for (const pod of pods) {
    const { name = "" } = pod.metadata;
    const at = budget.status?.disruptedPods?.[name];
    if (at === undefined || isDeleting(pod)) continue;
    const leftMs = parseTime(at) + evictionTimeoutMs - now.getTime();
    if (leftMs <= 0) {
      notDeleted.push(pod);
      continue;
    }
    pending[name] = at;
    recheckMs = Math.min(recheckMs ?? leftMs, leftMs);
  }
  return { pending, notDeleted, recheckMs };
}

export function planBudget(input: BudgetInput): BudgetPlan {
  const { budget, pods, now } = input;
  const { expected, desired } = expectation(input);
  const { pending, notDeleted, recheckMs } = sortDisrupted(input);
  const healthy = pods.filter(
    (pod) => !isDeleting(pod) && pending[pod.metadata.name ?? ""] === undefined && isPodReady(pod),
  ).length;
  const allowed = expected <= 0 ? 0 : Math.max(0, healthy - desired);
  const status: PodDisruptionBudgetStatus = {
    ...(Object.keys(pending).length === 0 ? {} : { disruptedPods: pending }),
    currentHealthy: healthy,
    desiredHealthy: desired,
    disruptionsAllowed: allowed,
    expectedPods: expected,
    observedGeneration: budget.metadata.generation ?? 0,
    conditions: withAllowed(
      budget,
      allowed > 0
        ? { status: "True", reason: "SufficientPods", message: "" }
        : { status: "False", reason: "InsufficientPods", message: "" },
      now,
    ),
  };
  return { status, notDeleted, againInMs: recheckMs };
}

/** When nothing can be said for certain, nothing may be disrupted. */
export function failedStatus(
  budget: LiveBudget,
  message: string,
  now: Date,
): PodDisruptionBudgetStatus {
  return {
    ...mutable<PodDisruptionBudgetStatus>(
      budget.status ?? { currentHealthy: 0, desiredHealthy: 0, expectedPods: 0 },
    ),
    disruptionsAllowed: 0,
    observedGeneration: budget.metadata.generation ?? 0,
    conditions: withAllowed(budget, { status: "False", reason: "SyncFailed", message }, now),
  };
}

function withAllowed(
  budget: LiveBudget,
  wanted: Pick<Condition, "status" | "reason" | "message">,
  now: Date,
): Condition[] {
  const type = "DisruptionAllowed";
  const present = budget.status?.conditions ?? [];
  const current = present.find((condition) => condition.type === type);
  const condition = {
    type,
    ...wanted,
    observedGeneration: budget.metadata.generation ?? 0,
    lastTransitionTime:
      current?.status === wanted.status ? current.lastTransitionTime : formatTime(now),
  };
  const others = present.filter((one) => one !== current);
  return mutable<Condition[]>([...others, condition]);
}

/**
 * When a DisruptionTarget condition stops to be true, as its disruption never came: milliseconds
 * since the epoch; undefined for pods whose condition stays.
 */
export function staleAtMs(pod: LivePod): number | undefined {
  if (isDeleting(pod) || isPodTerminal(pod)) return undefined;
  const condition = podCondition(pod, "DisruptionTarget");
  if (condition?.status !== "True") return undefined;
  // The kubelet may take as long as it likes.
  if (condition.reason === "TerminationByKubelet") return undefined;
  return parseTime(condition.lastTransitionTime) + evictionTimeoutMs;
}
