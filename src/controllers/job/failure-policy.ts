/** What a Job's podFailurePolicy says about one failed pod. */
import type { Job } from "../../gen/batch-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { LivePod } from "../pod-state.ts";

export interface FailureVerdict {
  readonly action: "FailJob" | "Ignore" | "Count";
  readonly message: string;
}

const counted: FailureVerdict = { action: "Count", message: "" };

/** The first matching rule decides; without one the failure counts. */
export function judgeFailure(job: DeepReadonly<Job>, pod: LivePod): FailureVerdict {
  const rules = job.spec.podFailurePolicy?.rules ?? [];
  const who = `pod ${pod.metadata.namespace}/${pod.metadata.name}`;
  for (const [index, rule] of rules.entries()) {
    const exit = rule.onExitCodes === undefined ? undefined : matchExit(rule.onExitCodes, pod);
    const condition = (rule.onPodConditions ?? []).find((pattern) =>
      pod.status?.conditions?.some(
        (c) => c.type === pattern.type && c.status === (pattern.status ?? "True"),
      ),
    );
    if (exit === undefined && condition === undefined) continue;
    if (rule.action === "Ignore") return { action: "Ignore", message: "" };
    if (rule.action !== "FailJob") return counted;
    const tail = `matching FailJob rule at index ${index}`;
    const message =
      exit === undefined
        ? `P${who.slice(1)} has condition ${condition?.type} ${tail}`
        : `Container ${exit.container} for ${who} failed with exit code ${exit.code} ${tail}`;
    return { action: "FailJob", message };
  }
  return counted;
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
    ...(pod.status?.initContainerStatuses ?? []),
    ...(pod.status?.containerStatuses ?? []),
  ];
  for (const { name, state } of statuses) {
    if (rule.containerName !== undefined && rule.containerName !== name) continue;
    const code = state?.terminated?.exitCode;
    if (code === undefined || code === 0) continue;
    if (rule.values.includes(code) === (rule.operator === "In")) return { container: name, code };
  }
  return undefined;
}
