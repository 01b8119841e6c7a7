/** What a Job's podFailurePolicy says about one failed pod. */

import type { PodFailurePolicyRule } from "../../gen/batch-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { LivePod } from "../pod-state.ts";
import { isPerIndex, type LiveJob } from "./job-state.ts";

export interface FailureVerdict {
  readonly action: "FailJob" | "FailIndex" | "Ignore" | "Count";
  readonly message: string;
}

const counted: FailureVerdict = { action: "Count", message: "" };

/** The first matching rule decides; without one the failure counts. */
export function judgeFailure(job: LiveJob, pod: LivePod): FailureVerdict {
  const rules = job.spec.podFailurePolicy?.rules ?? [];
  for (const [index, rule] of rules.entries()) {
    const matched = matchRule(rule, pod);
    if (matched === undefined) continue;
    switch (rule.action) {
      case "Ignore":
        return { action: "Ignore", message: "" };
      case "FailIndex":
        return isPerIndex(job) ? { action: "FailIndex", message: "" } : counted;
      case "FailJob":
        return {
          action: "FailJob",
          message: `${matched} matching FailJob rule at index ${index}`,
        };
      default:
        return counted;
    }
  }
  return counted;
}

/** What about the pod matches the rule, in upstream's words. */
function matchRule(rule: DeepReadonly<PodFailurePolicyRule>, pod: LivePod): string | undefined {
  const who = `${pod.metadata.namespace}/${pod.metadata.name}`;
  if (rule.onExitCodes !== undefined) {
    const exit = matchExit(rule.onExitCodes, pod);
    if (exit === undefined) return undefined;
    return `Container ${exit.container} for pod ${who} failed with exit code ${exit.code}`;
  }
  const condition = (rule.onPodConditions ?? []).find((pattern) =>
    pod.status?.conditions?.some(
      (c) => c.type === pattern.type && c.status === (pattern.status ?? "True"),
    ),
  );
  return condition === undefined ? undefined : `Pod ${who} has condition ${condition.type}`;
}

interface ExitRule {
  readonly containerName?: string;
  readonly operator: string;
  readonly values: readonly number[];
}

function matchExit(
  rule: ExitRule,
  pod: LivePod,
): { readonly container: string; readonly code: number } | undefined {
  const statuses = [
    ...(pod.status?.containerStatuses ?? []),
    ...(pod.status?.initContainerStatuses ?? []),
  ];
  for (const { name, state } of statuses) {
    if (rule.containerName !== undefined && rule.containerName !== name) continue;
    const code = state?.terminated?.exitCode;
    if (code === undefined || code === 0) continue;
    if (rule.values.includes(code) === (rule.operator === "In")) return { container: name, code };
  }
  return undefined;
}
