/** pods/eviction: a delete that the PodDisruptionBudgets must allow. */
import type { ApiRequest, ApiResponse } from "../../api/request.ts";
import type { ActionContext, Subresource } from "../../api/resource-definition.ts";
import type { DeleteOptions } from "../../client/client.ts";
import { podDisruptionBudgets, pods } from "../../client/resources.ts";
import type { Pod } from "../../gen/core-v1.ts";
import type { Eviction, PodDisruptionBudget } from "../../gen/policy-v1.ts";
import { ApiError } from "../../lib/api-error.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { labelSelectorOf, matchesLabels } from "../../lib/selector.ts";
import type { LiveObject } from "../../live/live-set.ts";
import { readNamed } from "../read-body.ts";
import { timestamp, withCondition } from "./pod-binding.ts";

type ReadPod = DeepReadonly<Pod>;
type Budget = LiveObject<PodDisruptionBudget>;

function isReady(pod: ReadPod): boolean {
  return (pod.status?.conditions ?? []).some(
    (condition) => condition.type === "Ready" && condition.status === "True",
  );
}

/** Pods that do not run yet or any more can always go. */
export function canIgnoreBudget(pod: ReadPod): boolean {
  const phase = pod.status?.phase;
  return (
    phase === "Succeeded" ||
    phase === "Failed" ||
    phase === "Pending" ||
    pod.metadata.deletionTimestamp !== undefined
  );
}

function budgetsOf(pod: ReadPod, context: ActionContext): readonly Budget[] {
  const prefix = `${pod.metadata.namespace}/`;
  return [...context.live.of(podDisruptionBudgets).list(prefix)].filter(({ object }) =>
    matchesLabels(labelSelectorOf(object.spec.selector), pod.metadata.labels),
  );
}

function tooMany(message: string, budget: string, detail: string): ApiError {
  return new ApiError("TooManyRequests", message, {
    details: {
      retryAfterSeconds: 0,
      causes: [{ reason: "DisruptionBudget", message: detail, field: budget }],
    },
  });
}

/** True when the budget need not be asked: the pod is unready and its policy lets it go. */
export function mayEvictUnready(pod: ReadPod, budget: DeepReadonly<PodDisruptionBudget>): boolean {
  if (isReady(pod)) return false;
  if (budget.spec.unhealthyPodEvictionPolicy === "AlwaysAllow") return true;
  const { currentHealthy = 0, desiredHealthy = 0 } = budget.status ?? {};
  return desiredHealthy > 0 && currentHealthy >= desiredHealthy;
}

/** The budget with one disruption taken; throws TooManyRequests when none is left. */
export function takeDisruption(
  budget: PodDisruptionBudget,
  podName: string,
  now: Date,
): PodDisruptionBudget {
  const message = "Cannot evict pod as it would violate the pod's disruption budget.";
  const name = budget.metadata.name ?? "";
  const status = budget.status ?? {};
  if ((status.observedGeneration ?? 0) < (budget.metadata.generation ?? 0))
    throw new ApiError("TooManyRequests", message, {
      details: {
        retryAfterSeconds: 10,
        causes: [
          {
            reason: "DisruptionBudget",
            message: `The disruption budget ${name} is still being processed by the server.`,
          },
        ],
      },
    });
  const { disruptionsAllowed = 0, desiredHealthy = 0, currentHealthy = 0 } = status;
  if (disruptionsAllowed <= 0)
    throw tooMany(
      message,
      "",
      `The disruption budget ${name} needs ${desiredHealthy} healthy pods and has ` +
        `${currentHealthy} currently`,
    );
  budget.status = {
    ...status,
    disruptionsAllowed: disruptionsAllowed - 1,
    disruptedPods: { ...status.disruptedPods, [podName]: timestamp(now) },
  };
  return budget;
}

async function askBudget(pod: ReadPod, context: ActionContext): Promise<void> {
  const budgets = budgetsOf(pod, context);
  if (budgets.length > 1)
    throw new ApiError(
      "InternalError",
      "This pod has more than one PodDisruptionBudget, which the eviction subresource does not " +
        "support.",
    );
  const [budget] = budgets;
  if (budget === undefined || mayEvictUnready(pod, budget.object)) return;
  const now = context.runtime.clock.now();
  const { name = "" } = pod.metadata;
  const client = context.client;
  for (let tries = 0; ; tries += 1) {
    const current = await client.get(
      podDisruptionBudgets,
      pod.metadata.namespace ?? "",
      budget.object.metadata.name ?? "",
    );
    try {
      await client.update(podDisruptionBudgets, takeDisruption(current, name, now), {
        subresource: "status",
      });
      return;
    } catch (error) {
      const again = error instanceof ApiError && error.reason === "Conflict" && tries < 5;
      if (!again) throw error;
    }
  }
}

async function run(
  target: LiveObject<Pod>,
  request: ApiRequest,
  context: ActionContext,
): Promise<ApiResponse> {
  const eviction = readNamed<Eviction>(request, "Eviction");
  const { namespace = "", name = "", uid } = target.object.metadata;
  const isDryRun =
    request.query.get("dryRun") === "All" || (eviction.deleteOptions?.dryRun ?? []).includes("All");
  if (!canIgnoreBudget(target.object)) await askBudget(target.object, context);
  const status = { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code: 201 };
  if (isDryRun) return { type: "object", status: 201, object: status };
  const now = timestamp(context.runtime.clock.now());
  await context.change(target, (pod) => {
    pod.status ??= {};
    pod.status.conditions = withCondition(pod.status.conditions, {
      type: "DisruptionTarget",
      status: "True",
      reason: "EvictionByEvictionAPI",
      message: "Eviction API: evicting",
      lastTransitionTime: now,
    });
    return pod;
  });
  const options: DeleteOptions = {
    ...(eviction.deleteOptions?.gracePeriodSeconds === undefined
      ? {}
      : { gracePeriodSeconds: eviction.deleteOptions.gracePeriodSeconds }),
    preconditions: {
      ...(uid === undefined ? {} : { uid }),
      ...eviction.deleteOptions?.preconditions,
    },
  };
  await context.client.delete(pods, namespace, name, options);
  return { type: "object", status: 201, object: status };
}

export const podEviction: Subresource<Pod> = {
  type: "action",
  verb: "create",
  kind: "Eviction",
  group: "policy",
  version: "v1",
  run,
};
