/** Pods. */

import type {
  FieldError,
  ResourceDefinition,
  Subresource,
  WriteContext,
} from "../../api/resource-definition.ts";
import { pods } from "../../client/resources.ts";
import type { Pod } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { semanticEqual } from "../../lib/semantic-equal.ts";
import { copyJson } from "../../schema/copy.ts";
import { forbidden, invalid } from "../field-errors.ts";
import type { NodeConnector } from "../node-connector.ts";
import { define } from "../row.ts";
import { podBinding } from "./pod-binding.ts";
import { podColumns } from "./pod-columns.ts";
import { podLog, podStreams } from "./pod-connect.ts";
import { podSpecDefaults } from "./pod-defaults.ts";
import { podEviction } from "./pod-eviction.ts";
import { validatePodAlone, validatePodSpec } from "./pod-spec-validation.ts";
import {
  validateEphemeralUpdate,
  validatePodAnnotations,
  validatePodUpdate,
} from "./pod-update.ts";
import { proxy } from "./proxy.ts";
import { qosClassOf } from "./resource-requirements.ts";

function prepare(pod: Pod, context: WriteContext<Pod>): void {
  if (context.verb === "create") {
    pod.status = { phase: "Pending", qosClass: qosClassOf(pod) };
    return;
  }
  if (context.subresource === "status" && context.old?.status?.qosClass) {
    pod.status ??= {};
    pod.status.qosClass = context.old.status.qosClass;
  }
}

function validate(pod: DeepReadonly<Pod>, context: WriteContext<Pod>): readonly FieldError[] {
  if (context.old === undefined) {
    const errors = [
      ...validatePodAnnotations(pod),
      ...validatePodSpec(pod.spec, "spec"),
      ...validatePodAlone(pod.spec),
    ];
    if ((pod.spec.ephemeralContainers ?? []).length > 0)
      errors.push(forbidden("spec.ephemeralContainers", "cannot be set on create"));
    return errors;
  }
  if (context.subresource === "ephemeralcontainers")
    return validateEphemeralUpdate(pod, context.old);
  if (context.subresource === "resize") return validateResize(pod, context.old);
  return validatePodUpdate(pod, context.old);
}

function validateResize(pod: DeepReadonly<Pod>, old: DeepReadonly<Pod>): FieldError[] {
  const errors = validatePodSpec(pod.spec, "spec");
  const before = old.status?.qosClass;
  if (before && qosClassOf(pod) !== before)
    errors.push(
      invalid("spec", qosClassOf(pod), "Pod QOS Class may not change as a result of resizing"),
    );
  if (old.spec.os?.name === "windows")
    errors.push(forbidden("spec", "windows pods cannot be resized"));
  return errors;
}

const writeVerbs = ["get", "patch", "update"] as const;

const ephemeralContainers: Subresource<Pod> = {
  type: "part",
  verbs: writeVerbs,
  merge(old, sent): Pod {
    const next = copyJson<Pod>(old);
    if (sent.spec.ephemeralContainers)
      next.spec.ephemeralContainers = sent.spec.ephemeralContainers;
    else delete next.spec.ephemeralContainers;
    if (sent.metadata.resourceVersion)
      next.metadata.resourceVersion = sent.metadata.resourceVersion;
    return next;
  },
};

/** Only the resources and resize policies of containers pass. */
const resize: Subresource<Pod> = {
  type: "part",
  verbs: writeVerbs,
  merge(old, sent): Pod {
    const next = copyJson<Pod>(old);
    for (const key of ["containers", "initContainers"] as const)
      for (const container of next.spec[key] ?? []) {
        const wanted = (sent.spec[key] ?? []).find((one) => one.name === container.name);
        if (wanted === undefined) continue;
        if (!semanticEqual(wanted.resources, container.resources) && wanted.resources)
          container.resources = wanted.resources;
        if (wanted.resizePolicy) container.resizePolicy = wanted.resizePolicy;
      }
    if (sent.spec.resources) next.spec.resources = sent.spec.resources;
    if (sent.metadata.resourceVersion)
      next.metadata.resourceVersion = sent.metadata.resourceVersion;
    return next;
  },
};

/** Seconds until removal: none for a pod that no node runs. */
export function podGraceSeconds(pod: DeepReadonly<Pod>, asked: number | undefined): number {
  const phase = pod.status?.phase;
  if (!pod.spec.nodeName || phase === "Succeeded" || phase === "Failed") return 0;
  const seconds = asked ?? pod.spec.terminationGracePeriodSeconds ?? 30;
  return seconds < 0 ? 1 : seconds;
}

/** The row of pods; `nodes` reaches the kubelets. */
export function podRow(nodes: NodeConnector): ResourceDefinition {
  return define<Pod>(pods, {
    shortNames: ["po"],
    categories: ["all"],
    columns: podColumns,
    fields: {
      "spec.nodeName": (pod) => pod.spec.nodeName ?? "",
      "spec.restartPolicy": (pod) => pod.spec.restartPolicy ?? "",
      "spec.schedulerName": (pod) => pod.spec.schedulerName ?? "",
      "spec.serviceAccountName": (pod) => pod.spec.serviceAccountName ?? "",
      "spec.hostNetwork": (pod) => String(pod.spec.hostNetwork ?? false),
      "status.phase": (pod) => pod.status?.phase ?? "",
      "status.podIP": (pod) => pod.status?.podIP ?? "",
      "status.podIPs": (pod) => (pod.status?.podIPs ?? []).map((one) => one.ip ?? "").join(","),
      "status.nominatedNodeName": (pod) => pod.status?.nominatedNodeName ?? "",
    },
    defaults: (pod) => podSpecDefaults(pod.spec, true),
    status: true,
    generation: true,
    prepare,
    validate,
    strategy: { graceSeconds: podGraceSeconds },
    subresources: {
      binding: podBinding,
      ephemeralcontainers: ephemeralContainers,
      eviction: podEviction,
      log: podLog(nodes),
      proxy: proxy(nodes, "PodProxyOptions"),
      resize,
      ...podStreams(nodes),
    },
  });
}
