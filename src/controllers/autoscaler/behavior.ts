/** How fast a HorizontalPodAutoscaler may follow its metrics. Pure. */
import type { HorizontalPodAutoscalerBehavior, HPAScalingRules } from "../../gen/autoscaling-v2.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";

type Rules = DeepReadonly<HPAScalingRules>;

export interface Recommendation {
  readonly replicas: number;
  readonly atMs: number;
}

/** A change of the size that was made. */
export interface ScaleEvent {
  readonly change: number;
  readonly atMs: number;
}

export interface History {
  readonly recommendations: readonly Recommendation[];
  readonly ups: readonly ScaleEvent[];
  readonly downs: readonly ScaleEvent[];
}

export interface Wish {
  readonly current: number;
  readonly desired: number;
  readonly min: number;
  readonly max: number;
  readonly nowMs: number;
}

export interface Outcome {
  readonly replicas: number;
  readonly ableToScale: { readonly reason: string; readonly message: string };
  readonly limited: {
    readonly status: "True" | "False";
    readonly reason: string;
    readonly message: string;
  };
}

const downscaleWindowSeconds = 300;
const policyDefaults = {
  up: {
    stabilizationWindowSeconds: 0,
    selectPolicy: "Max",
    policies: [
      { type: "Pods", value: 4, periodSeconds: 15 },
      { type: "Percent", value: 100, periodSeconds: 15 },
    ],
  },
  down: {
    stabilizationWindowSeconds: downscaleWindowSeconds,
    selectPolicy: "Max",
    policies: [{ type: "Percent", value: 100, periodSeconds: 15 }],
  },
} as const satisfies Record<string, Rules>;

function rulesOf(given: Rules | undefined, fallback: Rules): Rules {
  const { policies = [] } = given ?? {};
  return {
    ...fallback,
    ...given,
    policies: policies.length === 0 ? (fallback.policies ?? []) : policies,
  };
}

const ready = { reason: "ReadyForNewScale", message: "recommended size matches current size" };
const downStabilized = {
  reason: "ScaleDownStabilized",
  message:
    "recent recommendations were higher than current one, applying the highest recent " +
    "recommendation",
};
const upStabilized = {
  reason: "ScaleUpStabilized",
  message:
    "recent recommendations were lower than current one, applying the lowest recent " +
    "recommendation",
};
const inRange = {
  reason: "DesiredWithinRange",
  message: "the desired count is within the acceptable range",
};

type Limit = { readonly replicas: number; readonly reason: string; readonly message: string };

function outcome(stabilized: number, wished: number, why: Outcome["ableToScale"], limit: Limit) {
  const { replicas, reason, message } = limit;
  return {
    replicas,
    ableToScale: stabilized === wished ? ready : why,
    limited: { status: replicas === stabilized ? "False" : "True", reason, message },
  } satisfies Outcome;
}

/** The size to take now, given what was recommended and done before. */
export function limitReplicas(
  behavior: DeepReadonly<HorizontalPodAutoscalerBehavior> | undefined,
  history: History,
  wish: Wish,
): Outcome {
  return behavior === undefined
    ? withoutBehavior(history, wish)
    : withBehavior(behavior, history, wish);
}

function withoutBehavior({ recommendations }: History, wish: Wish): Outcome {
  const sinceMs = wish.nowMs - downscaleWindowSeconds * 1000;
  const recent = recommendations.filter(({ atMs }) => atMs >= sinceMs);
  const stabilized = Math.max(wish.desired, ...recent.map(({ replicas }) => replicas));
  const fastest = Math.max(2 * wish.current, 4);
  const isByRate = fastest < wish.max;
  const most = Math.min(fastest, wish.max);
  const limit = clamp(stabilized, wish, most, isByRate, wish.min, false);
  return outcome(stabilized, wish.desired, downStabilized, limit);
}

function clamp(
  wanted: number,
  { min, max }: Wish,
  most: number,
  isUpByRate: boolean,
  least: number,
  isDownByRate: boolean,
): Limit {
  if (wanted > most) {
    return isUpByRate
      ? {
          replicas: most,
          reason: "ScaleUpLimit",
          message: "the desired replica count is increasing faster than the maximum scale rate",
        }
      : {
          replicas: max,
          reason: "TooManyReplicas",
          message: "the desired replica count is more than the maximum replica count",
        };
  }
  if (wanted < least) {
    return isDownByRate
      ? {
          replicas: least,
          reason: "ScaleDownLimit",
          message: "the desired replica count is decreasing faster than the maximum scale rate",
        }
      : {
          replicas: min,
          reason: "TooFewReplicas",
          message: "the desired replica count is less than the minimum replica count",
        };
  }
  return { replicas: wanted, ...inRange };
}

function withBehavior(
  behavior: DeepReadonly<HorizontalPodAutoscalerBehavior>,
  history: History,
  wish: Wish,
): Outcome {
  const up = rulesOf(behavior.scaleUp, policyDefaults.up);
  const down = rulesOf(behavior.scaleDown, policyDefaults.down);
  const stabilized = stabilize(up, down, history.recommendations, wish);
  const why = wish.desired >= wish.current ? upStabilized : downStabilized;
  const { current } = wish;
  if (stabilized > current) {
    const fastest = Math.max(current, highestAllowed(up, history, wish));
    const most = Math.min(wish.max, fastest);
    const limit = clamp(stabilized, wish, most, fastest < wish.max, 0, false);
    return outcome(stabilized, wish.desired, why, limit);
  }
  if (stabilized < current) {
    const fastest = Math.min(current, lowestAllowed(down, history, wish));
    const least = Math.max(wish.min, fastest);
    const limit = clamp(
      stabilized,
      wish,
      Number.POSITIVE_INFINITY,
      false,
      least,
      fastest > wish.min,
    );
    return outcome(stabilized, wish.desired, why, limit);
  }
  return outcome(stabilized, wish.desired, why, { replicas: stabilized, ...inRange });
}

/** Up to the lowest and down to the highest of what the windows have seen. */
function stabilize(
  up: Rules,
  down: Rules,
  recommendations: readonly Recommendation[],
  { current, desired, nowMs }: Wish,
): number {
  const since = ({ stabilizationWindowSeconds = 0 }: Rules) =>
    recommendations
      .filter(({ atMs }) => atMs > nowMs - stabilizationWindowSeconds * 1000)
      .map(({ replicas }) => replicas);
  const lowest = Math.min(desired, ...since(up));
  const highest = Math.max(desired, ...since(down));
  return Math.min(Math.max(current, lowest), highest);
}

function changeWithin(events: readonly ScaleEvent[], periodSeconds: number, nowMs: number): number {
  return events
    .filter(({ atMs }) => atMs > nowMs - periodSeconds * 1000)
    .reduce((sum, { change }) => sum + change, 0);
}

/** Where the size was when the policy's period began. */
function periodStart({ ups, downs }: History, { current, nowMs }: Wish, seconds: number): number {
  return current - changeWithin(ups, seconds, nowMs) + changeWithin(downs, seconds, nowMs);
}

function highestAllowed({ selectPolicy, policies = [] }: Rules, history: History, wish: Wish) {
  if (selectPolicy === "Disabled") return wish.current;
  const allowed = policies.map(({ type, value, periodSeconds }) => {
    const start = periodStart(history, wish, periodSeconds);
    return type === "Pods" ? start + value : Math.ceil(start * (1 + value / 100));
  });
  return selectPolicy === "Min" ? Math.min(...allowed) : Math.max(...allowed);
}

function lowestAllowed({ selectPolicy, policies = [] }: Rules, history: History, wish: Wish) {
  if (selectPolicy === "Disabled") return wish.current;
  const allowed = policies.map(({ type, value, periodSeconds }) => {
    const start = periodStart(history, wish, periodSeconds);
    return type === "Pods" ? start - value : Math.trunc(start * (1 - value / 100));
  });
  return selectPolicy === "Min" ? Math.max(...allowed) : Math.min(...allowed);
}
