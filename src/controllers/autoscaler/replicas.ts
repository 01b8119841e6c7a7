/** How many replicas metrics ask for. Pure; all amounts are thousandths. */
import { quantityMilliValue } from "../../lib/quantity.ts";
import { isDeleting, parseTime } from "../objects.ts";
import { type LivePod, podCondition } from "../pod-state.ts";
import type { PodMetrics } from "./metrics.ts";

/** How far use may be from the target without a change. */
export interface Tolerance {
  readonly up: number;
  readonly down: number;
}

export interface PodsInput {
  readonly current: number;
  readonly pods: readonly LivePod[];
  readonly metrics: PodMetrics;
  /** "cpu" is not trusted while a pod starts. */
  readonly resource: string;
  readonly tolerance: Tolerance;
  readonly nowMs: number;
}

/** A pod's cpu use counts only after so long, or after it was ready for a whole window. */
const cpuInitializationMs = 5 * 60_000;
/** A pod that became unready so soon after its start has never been ready. */
const initialReadinessMs = 30_000;

interface Groups {
  readonly ready: number;
  readonly unready: ReadonlySet<string>;
  readonly missing: ReadonlySet<string>;
  readonly metrics: Map<string, number>;
}

function isWithin(tolerance: Tolerance, ratio: number): boolean {
  return 1 - tolerance.down <= ratio && ratio <= 1 + tolerance.up;
}

function isCpuUnready(pod: LivePod, { metrics, nowMs }: PodsInput): boolean {
  const condition = podCondition(pod, "Ready");
  const startMs = parseTime(pod.status?.startTime);
  if (condition === undefined || startMs === 0) return true;
  const changedMs = parseTime(condition.lastTransitionTime);
  const metric = metrics.get(pod.metadata.name ?? "");
  if (startMs + cpuInitializationMs > nowMs) {
    const isEarly = metric !== undefined && metric.timestampMs < changedMs + metric.windowMs;
    return condition.status === "False" || isEarly;
  }
  return condition.status === "False" && startMs + initialReadinessMs > changedMs;
}

function group(input: PodsInput): Groups {
  const unready = new Set<string>();
  const missing = new Set<string>();
  const metrics = new Map([...input.metrics].map(([name, { value }]) => [name, value]));
  const known = new Set<string>();
  let ready = 0;
  for (const pod of input.pods) {
    const { name = "" } = pod.metadata;
    known.add(name);
    if (isDeleting(pod) || pod.status?.phase === "Failed") metrics.delete(name);
    else if (pod.status?.phase === "Pending") unready.add(name);
    else if (!metrics.has(name)) missing.add(name);
    else if (input.resource === "cpu" && isCpuUnready(pod, input)) unready.add(name);
    else ready++;
  }
  for (const name of unready) metrics.delete(name);
  return { ready, unready, missing, metrics };
}

export interface Proposal {
  readonly replicas: number;
  /** Average use of the pods that count. */
  readonly average: number;
  /** Percent of what they request; 0 for plain values. */
  readonly utilization: number;
}

interface Ratio {
  readonly ratio: number;
  readonly average: number;
  readonly utilization: number;
}

const noMetrics = "did not receive metrics for targeted pods (pods might be unready)";

/** Scales so that average use becomes `targetPercent` of what the pods request. */
export function utilizationReplicas(
  input: PodsInput,
  targetPercent: number,
  container: string | undefined,
): Proposal {
  if (input.pods.length === 0) {
    throw new Error("no pods returned by selector while calculating replica count");
  }
  const groups = group(input);
  const requests = requestsOf(input, container);
  if (groups.metrics.size === 0) throw new Error(noMetrics);
  const ratioOf = (metrics: ReadonlyMap<string, number>): Ratio => {
    let used = 0;
    let asked = 0;
    let count = 0;
    for (const [name, value] of metrics) {
      const request = requests.get(name);
      if (request === undefined) continue;
      used += value;
      asked += request;
      count++;
    }
    if (asked === 0) throw new Error("no metrics returned matched known pods");
    const utilization = Math.trunc((used * 100) / asked);
    return { ratio: utilization / targetPercent, average: Math.trunc(used / count), utilization };
  };
  const fallback = Math.max(100, targetPercent);
  return propose(input, groups, ratioOf, (name) =>
    Math.trunc(((requests.get(name) ?? 0) * fallback) / 100),
  );
}

/** Scales so that average use becomes `target`. */
export function valueReplicas(input: PodsInput, target: number): Proposal {
  if (input.pods.length === 0) {
    throw new Error("no pods returned by selector while calculating replica count");
  }
  const groups = group(input);
  if (groups.metrics.size === 0) throw new Error(noMetrics);
  const ratioOf = (metrics: ReadonlyMap<string, number>): Ratio => {
    const total = [...metrics.values()].reduce((sum, value) => sum + value, 0);
    const average = Math.trunc(total / metrics.size);
    return { ratio: average / target, average, utilization: 0 };
  };
  return propose(input, groups, ratioOf, () => target);
}

/** Pods that tell nothing are taken for what makes the change smallest. */
function propose(
  { current, tolerance }: PodsInput,
  { ready, unready, missing, metrics }: Groups,
  ratioOf: (metrics: ReadonlyMap<string, number>) => Ratio,
  presumed: (name: string) => number,
): Proposal {
  const { ratio, average, utilization } = ratioOf(metrics);
  const answer = (replicas: number) => ({ replicas, average, utilization });
  const countsUnready = unready.size > 0 && ratio > 1;
  if (!countsUnready && missing.size === 0) {
    return answer(isWithin(tolerance, ratio) ? current : Math.ceil(ratio * ready));
  }
  const guessed = new Map(metrics);
  if (ratio < 1) for (const name of missing) guessed.set(name, presumed(name));
  if (ratio > 1) for (const name of missing) guessed.set(name, 0);
  if (countsUnready) for (const name of unready) guessed.set(name, 0);
  const { ratio: again } = ratioOf(guessed);
  const isTurned = (ratio < 1 && again > 1) || (ratio > 1 && again < 1);
  if (isWithin(tolerance, again) || isTurned) return answer(current);
  const replicas = Math.ceil(again * guessed.size);
  const isAgainst = (again < 1 && replicas > current) || (again > 1 && replicas < current);
  return answer(isAgainst ? current : replicas);
}

function requestsOf(
  { pods, resource }: PodsInput,
  container: string | undefined,
): ReadonlyMap<string, number> {
  const requests = new Map<string, number>();
  for (const pod of pods) {
    const { name = "" } = pod.metadata;
    const sidecars = (pod.spec.initContainers ?? []).filter((c) => c.restartPolicy === "Always");
    const podLevel = pod.spec.resources?.requests?.[resource];
    if (container === undefined && podLevel !== undefined) {
      requests.set(name, quantityMilliValue(podLevel));
      continue;
    }
    let sum = 0;
    for (const one of [...pod.spec.containers, ...sidecars]) {
      if (container !== undefined && one.name !== container) continue;
      const amount = one.resources?.requests?.[resource];
      if (amount === undefined) {
        throw new Error(`missing request for ${resource} in container ${one.name} of Pod ${name}`);
      }
      sum += quantityMilliValue(amount);
    }
    requests.set(name, sum);
  }
  return requests;
}

/** A value that all pods share: the ready ones are scaled by its ratio to the target. */
export function sharedReplicas(
  current: number,
  pods: readonly LivePod[],
  used: number,
  target: number,
  tolerance: Tolerance,
): number {
  const ratio = used / target;
  if (current === 0) return Math.ceil(ratio);
  if (isWithin(tolerance, ratio)) return current;
  if (pods.length === 0) {
    throw new Error("unable to calculate ready pods: no pods returned by selector");
  }
  const ready = pods.filter(
    (pod) => pod.status?.phase === "Running" && podCondition(pod, "Ready")?.status === "True",
  ).length;
  return Math.ceil(ratio * ready);
}

/** A value that is divided by all pods. */
export function dividedReplicas(
  replicas: number,
  used: number,
  target: number,
  tolerance: Tolerance,
): { readonly replicas: number; readonly average: number } {
  const ratio = used / (target * replicas);
  const wanted = isWithin(tolerance, ratio) ? replicas : Math.ceil(used / target);
  return { replicas: wanted, average: replicas === 0 ? 0 : Math.ceil(used / replicas) };
}
