/** Pods. */

import type {
  FieldError,
  ResourceDefinition,
  Subresource,
  WriteContext,
} from "../../api/resource-definition.ts";
import { pods } from "../../client/resources.ts";
import type { Pod, PodStatus } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { copyJson } from "../../schema/copy.ts";
import { forbidden, invalid } from "../field-errors.ts";
import type { NodeConnector } from "../node-connector.ts";
import { nameWarnings, podWarnings } from "../pod-warnings.ts";
import { define } from "../row.ts";
import { validateIpPair } from "./address-validation.ts";
import { podBinding } from "./pod-binding.ts";
import { podColumns } from "./pod-columns.ts";
import { podLog, podStreams } from "./pod-connect.ts";
import { podSpecDefaults } from "./pod-defaults.ts";
import { podEviction } from "./pod-eviction.ts";
import { podResize, validateResize } from "./pod-resize.ts";
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

type ReadStatus = DeepReadonly<PodStatus>;

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

/** Addresses in a status: the first of the host is told twice, and there is one of each family. */
function validateStatus({ podIPs = [], hostIP, hostIPs = [] }: ReadStatus = {}): FieldError[] {
  const [first] = hostIPs;
  const isOdd = first !== undefined && (hostIP ?? "") !== (first.ip ?? "");
  const at = "status.hostIPs[0].ip";
  return [
    ...validateIpPair(podIPs, "status.podIPs"),
    ...(isOdd ? [invalid(at, first.ip ?? "", "must be equal to `hostIP`")] : []),
    ...validateIpPair(hostIPs, "status.hostIPs"),
  ];
}

/** The list of addresses begins with the one that stood alone before there were lists. */
function listAddress({ status }: Pod): void {
  if (!status?.podIP || status.podIPs?.[0]?.ip === status.podIP) return;
  status.podIPs = [{ ip: status.podIP }];
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
    defaults(pod) {
      podSpecDefaults(pod.spec, true);
      listAddress(pod);
    },
    status: true,
    validateStatus: ({ status }) => validateStatus(status),
    generation: true,
    prepare,
    validate,
    strategy: {
      warn: (pod, { old, subresource }) =>
        subresource === ""
          ? [
              ...(old === undefined ? nameWarnings(pod.metadata.name, true) : []),
              ...podWarnings(pod.metadata, pod.spec),
            ]
          : [],
      graceSeconds: podGraceSeconds,
    },
    subresources: {
      binding: podBinding,
      ephemeralcontainers: ephemeralContainers,
      eviction: podEviction,
      log: podLog(nodes),
      proxy: proxy(nodes, "PodProxyOptions"),
      resize: podResize,
      ...podStreams(nodes),
    },
  });
}
