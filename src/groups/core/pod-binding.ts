/** pods/binding: the scheduler's word on where a pod runs. */
import type { ApiRequest, ApiResponse } from "../../api/request.ts";
import type { ActionContext, Subresource } from "../../api/resource-definition.ts";
import type { Binding, Pod, PodCondition } from "../../gen/core-v1.ts";
import { ApiError } from "../../lib/api-error.ts";
import type { LiveObject } from "../../live/live-set.ts";
import { readNamed } from "../read-body.ts";

/** RFC 3339 to the second, as meta/v1 Time. */
export function timestamp(now: Date): string {
  return now.toISOString().replace(/\.\d+Z$/, "Z");
}

/** The conditions with `condition` in place of the one of its type. */
export function withCondition(
  conditions: readonly PodCondition[] | undefined,
  condition: PodCondition,
): PodCondition[] {
  const before = (conditions ?? []).find((one) => one.type === condition.type);
  const since =
    before?.status === condition.status ? before.lastTransitionTime : condition.lastTransitionTime;
  const next = { ...condition, ...(since === undefined ? {} : { lastTransitionTime: since }) };
  const rest = (conditions ?? []).filter((one) => one.type !== condition.type);
  return [...rest, next];
}

function conflict(pod: Pod, detail: string): ApiError {
  const name = pod.metadata.name ?? "";
  return new ApiError(
    "Conflict",
    `Operation cannot be fulfilled on pods/binding "${name}": ${detail}`,
    { details: { name, kind: "pods/binding" } },
  );
}

/** The pod as bound; throws Conflict when it is bound, being deleted, or gated. */
export function bindPod(pod: Pod, binding: Binding, now: Date): Pod {
  const name = pod.metadata.name ?? "";
  const node = binding.target?.name ?? "";
  if (binding.metadata?.uid && binding.metadata.uid !== pod.metadata.uid)
    throw conflict(
      pod,
      `Precondition failed: UID in precondition: ${binding.metadata.uid}, ` +
        `UID in object meta: ${pod.metadata.uid}`,
    );
  if (pod.metadata.deletionTimestamp)
    throw conflict(pod, `pod ${name} is being deleted, cannot be assigned to a host`);
  if (pod.spec.nodeName)
    throw conflict(pod, `pod ${name} is already assigned to node "${pod.spec.nodeName}"`);
  if ((pod.spec.schedulingGates ?? []).length > 0)
    throw conflict(pod, `pod ${name} has non-empty .spec.schedulingGates`);
  pod.spec.nodeName = node;
  const { annotations, labels } = binding.metadata ?? {};
  if (annotations) pod.metadata.annotations = { ...pod.metadata.annotations, ...annotations };
  if (labels) pod.metadata.labels = { ...labels, ...pod.metadata.labels };
  pod.status ??= {};
  pod.status.conditions = withCondition(pod.status.conditions, {
    type: "PodScheduled",
    status: "True",
    lastTransitionTime: timestamp(now),
  });
  return pod;
}

function checkBinding(binding: Binding, podName: string): void {
  const { kind, name } = binding.target ?? {};
  const refuse = (detail: string): ApiError =>
    new ApiError("Invalid", `Binding "${podName}" is invalid: ${detail}`, {
      details: { name: podName, kind: "Binding" },
    });
  if (kind && kind !== "Node")
    throw refuse(`target.kind: Unsupported value: "${kind}": supported values: "Node", "<empty>"`);
  if (!name) throw refuse("target.name: Required value");
}

async function run(
  target: LiveObject<Pod>,
  request: ApiRequest,
  context: ActionContext,
): Promise<ApiResponse> {
  const binding = readNamed<Binding>(request, "Binding");
  checkBinding(binding, request.name);
  const now = context.runtime.clock.now();
  if (request.query.get("dryRun") !== "All")
    await context.change(target, (pod) => bindPod(pod, binding, now));
  const status = { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code: 201 };
  return { type: "object", status: 201, object: status };
}

export const podBinding: Subresource<Pod> = {
  type: "action",
  verb: "create",
  kind: "Binding",
  group: "",
  version: "v1",
  run,
};
