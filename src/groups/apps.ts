/** apps/v1: Deployment, ReplicaSet, DaemonSet, StatefulSet, ControllerRevision. */
import type { FieldError, ResourceDefinition } from "../api/resource-definition.ts";
import {
  controllerRevisions,
  daemonSets,
  deployments,
  replicaSets,
  statefulSets,
} from "../client/resources.ts";
import type {
  ControllerRevision,
  DaemonSet,
  Deployment,
  ReplicaSet,
  StatefulSet,
} from "../gen/apps-v1.ts";
import type { PodTemplateSpec } from "../gen/core-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { semanticEqual } from "../lib/semantic-equal.ts";
import { persistentVolumeClaimSpecDefaults } from "./core/persistent-volume-claim.ts";
import { forbidden, invalid, nonNegative, notSupported, required } from "./field-errors.ts";
import { validateIntOrPercent } from "./int-or-percent.ts";
import {
  alwaysRestarted,
  containerColumns,
  isUsable,
  selectorText,
  templateDefaults,
  validateImmutable,
  validateTemplate,
  validateTemplateLabels,
  validateWorkloadSelector,
} from "./pod-template.ts";
import { workloadWarnings } from "./pod-warnings.ts";
import { column, count, define, scale, wide } from "./row.ts";
import {
  templateOfPods,
  validateStatefulSetChange,
  validateStatefulSetSpec,
} from "./stateful-set-validation.ts";
import { validateCollisions, validateCounts, validateReplicaStatus } from "./workload-status.ts";

type Workload = DeepReadonly<Deployment | ReplicaSet | DaemonSet | StatefulSet>;

/** What all four workloads must fulfil. */
function validateWorkload(
  object: Workload,
  old: Workload | undefined,
  kind: string,
  template: DeepReadonly<PodTemplateSpec> | undefined = object.spec.template,
): FieldError[] {
  const { selector } = object.spec;
  const errors: FieldError[] = [];
  if (old !== undefined && kind === "DaemonSet")
    errors.push(...validateImmutable(selector, old.spec.selector, "spec.selector"));
  errors.push(...validateWorkloadSelector(selector, kind));
  if ("replicas" in object.spec) errors.push(...nonNegative("spec.replicas", object.spec.replicas));
  if ("minReadySeconds" in object.spec)
    errors.push(...nonNegative("spec.minReadySeconds", object.spec.minReadySeconds));
  return [...errors, ...validatePods(selector, template, kind)];
}

/** The template, which upstream looks at only where the selector can be used. */
function validatePods(
  selector: Workload["spec"]["selector"],
  template: DeepReadonly<PodTemplateSpec> | undefined,
  kind: string,
): FieldError[] {
  const rules = alwaysRestarted(kind === "Deployment" ? "ReplicaSet" : kind);
  if (kind !== "DaemonSet" && !isUsable(selector)) {
    const detail = kind === "StatefulSet" ? "" : "invalid label selector";
    return [invalid("spec.selector", selector, detail)];
  }
  return [...validateTemplateLabels(selector, template), ...validateTemplate(template, rules)];
}

function validateSameSelector(object: Workload, old: Workload | undefined): FieldError[] {
  if (old === undefined) return [];
  return validateImmutable(object.spec.selector, old.spec.selector, "spec.selector");
}

function templateOf(object: Workload): DeepReadonly<PodTemplateSpec> | undefined {
  return object.spec.template;
}

function isZero(value: number | string | undefined): boolean {
  // What is no number counts as none.
  return value !== undefined && !Number(String(value).replace(/%$/, ""));
}

function validateDeployment(
  object: DeepReadonly<Deployment>,
  old: DeepReadonly<Deployment> | undefined,
): FieldError[] {
  const errors = validateWorkload(object, old, "Deployment");
  const { strategy, progressDeadlineSeconds, minReadySeconds = 0 } = object.spec;
  const at = "spec.strategy";
  const strategies = ["Recreate", "RollingUpdate"];
  if (!strategies.includes(strategy?.type ?? ""))
    errors.push(notSupported(at, strategy, strategies));
  if (strategy?.type === "Recreate" && strategy.rollingUpdate)
    errors.push(
      forbidden(`${at}.rollingUpdate`, "may not be specified when strategy `type` is 'Recreate'"),
    );
  const rolling = strategy?.type === "RollingUpdate" ? strategy.rollingUpdate : undefined;
  if (rolling) {
    const below = `${at}.rollingUpdate`;
    errors.push(...validateIntOrPercent(rolling.maxUnavailable, `${below}.maxUnavailable`, 100));
    errors.push(...validateIntOrPercent(rolling.maxSurge, `${below}.maxSurge`));
    if (isZero(rolling.maxUnavailable) && isZero(rolling.maxSurge))
      errors.push(
        invalid(
          `${below}.maxUnavailable`,
          rolling.maxUnavailable,
          "may not be 0 when `maxSurge` is 0",
        ),
      );
  }
  errors.push(...nonNegative("spec.revisionHistoryLimit", object.spec.revisionHistoryLimit));
  if (progressDeadlineSeconds !== undefined) {
    errors.push(...nonNegative("spec.progressDeadlineSeconds", progressDeadlineSeconds));
    if (progressDeadlineSeconds <= minReadySeconds)
      errors.push(
        invalid(
          "spec.progressDeadlineSeconds",
          progressDeadlineSeconds,
          "must be greater than minReadySeconds",
        ),
      );
  }
  return errors;
}

const deployment = define<Deployment>(deployments, {
  shortNames: ["deploy"],
  categories: ["all"],
  columns: [
    column(
      "Ready",
      (one) => `${one.status?.readyReplicas ?? 0}/${one.spec.replicas ?? 1}`,
      "Number of the pod with ready state",
    ),
    column("Up-to-date", (one) => one.status?.updatedReplicas ?? 0),
    column("Available", (one) => one.status?.availableReplicas ?? 0),
    ...containerColumns<Deployment>((one) => one.spec.template),
    wide("Selector", (one) => selectorText(one.spec.selector)),
  ],
  defaults(object) {
    const { spec } = object;
    spec.replicas ??= 1;
    spec.strategy ??= {};
    spec.strategy.type ||= "RollingUpdate";
    if (spec.strategy.type === "RollingUpdate") {
      spec.strategy.rollingUpdate ??= {};
      spec.strategy.rollingUpdate.maxUnavailable ??= "25%";
      spec.strategy.rollingUpdate.maxSurge ??= "25%";
    }
    spec.revisionHistoryLimit ??= 10;
    spec.progressDeadlineSeconds ??= 600;
    templateDefaults(spec.template);
  },
  status: true,
  generation: "annotations",
  validate: (object, { old }) => [
    ...validateDeployment(object, old),
    ...validateSameSelector(object, old),
  ],
  validateStatus: ({ status }, { old }) =>
    validateReplicaStatus(status, old?.status, [
      "updatedReplicas",
      "readyReplicas",
      "availableReplicas",
    ]),
  strategy: { warn: (one, context) => workloadWarnings<Deployment>(one, context, templateOf) },
  subresources: { scale },
});

const replicaParts = ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"];

const replicaSet = define<ReplicaSet>(replicaSets, {
  shortNames: ["rs"],
  categories: ["all"],
  columns: [
    count("Desired", (one) => one.spec.replicas ?? 1),
    count("Current", (one) => one.status?.replicas ?? 0),
    count("Ready", (one) => one.status?.readyReplicas ?? 0),
    ...containerColumns<ReplicaSet>((one) => one.spec.template),
    wide("Selector", (one) => selectorText(one.spec.selector)),
  ],
  fields: { "status.replicas": (one) => String(one.status?.replicas ?? 0) },
  defaults(object) {
    object.spec.replicas ??= 1;
    templateDefaults(object.spec.template);
  },
  status: true,
  generation: true,
  prepare(object, { verb }) {
    if (verb === "create") object.status = { replicas: 0 };
  },
  validate: (object, { old }) => [
    ...validateWorkload(object, old, "ReplicaSet"),
    ...validateSameSelector(object, old),
  ],
  validateStatus: ({ status }, { old }) => validateReplicaStatus(status, old?.status, replicaParts),
  strategy: { warn: (one, context) => workloadWarnings<ReplicaSet>(one, context, templateOf) },
  subresources: { scale },
});

function validateDaemonSet(
  object: DeepReadonly<DaemonSet>,
  old: DeepReadonly<DaemonSet> | undefined,
): FieldError[] {
  const errors = validateWorkload(object, old, "DaemonSet");
  const { updateStrategy } = object.spec;
  const at = "spec.updateStrategy";
  if (updateStrategy?.type === "RollingUpdate") {
    const { maxUnavailable, maxSurge } = updateStrategy.rollingUpdate ?? {};
    const below = `${at}.rollingUpdate`;
    errors.push(...validateIntOrPercent(maxUnavailable, `${below}.maxUnavailable`, 100));
    errors.push(...validateIntOrPercent(maxSurge, `${below}.maxSurge`, 100));
    if (!isZero(maxUnavailable) && !isZero(maxSurge))
      errors.push(
        invalid(`${below}.maxSurge`, maxSurge, "may not be set when maxUnavailable is non-zero"),
      );
    else if (isZero(maxUnavailable) && isZero(maxSurge))
      errors.push(required(`${below}.maxUnavailable`, "cannot be 0 when maxSurge is 0"));
  } else if (updateStrategy?.type !== "OnDelete")
    errors.push(notSupported(at, updateStrategy, ["OnDelete", "RollingUpdate"]));
  errors.push(...nonNegative("spec.revisionHistoryLimit", object.spec.revisionHistoryLimit));
  return errors;
}

const templateGeneration = "deprecated.daemonset.template.generation";

/** The generation of the template, which apps/v1 keeps in an annotation; clients cannot set it. */
function countTemplates(object: DaemonSet, old: DeepReadonly<DaemonSet> | undefined): void {
  const before = Number(old?.metadata.annotations?.[templateGeneration] ?? 0);
  const same = old !== undefined && semanticEqual(object.spec.template, old.spec.template);
  const count = Math.max(1, same ? before : before + 1);
  object.metadata.annotations ??= {};
  object.metadata.annotations[templateGeneration] = String(count);
}

const daemonSet = define<DaemonSet>(daemonSets, {
  shortNames: ["ds"],
  categories: ["all"],
  columns: [
    count("Desired", (one) => one.status?.desiredNumberScheduled ?? 0),
    count("Current", (one) => one.status?.currentNumberScheduled ?? 0),
    count("Ready", (one) => one.status?.numberReady ?? 0),
    count("Up-to-date", (one) => one.status?.updatedNumberScheduled ?? 0),
    count("Available", (one) => one.status?.numberAvailable ?? 0),
    column("Node Selector", (one) => {
      const selector = one.spec.template?.spec?.nodeSelector ?? {};
      const pairs = Object.entries(selector).map(([key, value]) => `${key}=${value}`);
      return pairs.sort().join(",") || "<none>";
    }),
    ...containerColumns<DaemonSet>((one) => one.spec.template),
    wide("Selector", (one) => selectorText(one.spec.selector)),
  ],
  defaults(object) {
    const { spec } = object;
    spec.updateStrategy ??= {};
    spec.updateStrategy.type ||= "RollingUpdate";
    if (spec.updateStrategy.type === "RollingUpdate") {
      spec.updateStrategy.rollingUpdate ??= {};
      spec.updateStrategy.rollingUpdate.maxUnavailable ??= 1;
      spec.updateStrategy.rollingUpdate.maxSurge ??= 0;
    }
    spec.revisionHistoryLimit ??= 10;
    // Whoever writes the object owns the annotation, as upstream's conversion puts it there.
    object.metadata.annotations ??= {};
    object.metadata.annotations[templateGeneration] ??= "0";
    templateDefaults(spec.template);
  },
  status: true,
  generation: true,
  prepare(object, { verb, old }) {
    countTemplates(object, old);
    if (verb === "create")
      object.status = {
        currentNumberScheduled: 0,
        desiredNumberScheduled: 0,
        numberMisscheduled: 0,
        numberReady: 0,
      };
  },
  strategy: { warn: (one, context) => workloadWarnings<DaemonSet>(one, context, templateOf) },
  validate: (object, { old }) => validateDaemonSet(object, old),
  validateStatus: ({ status }, { old }) => [
    ...validateCounts(status),
    ...validateCollisions(status, old?.status),
  ],
});

const statefulSetParts = [
  "readyReplicas",
  "currentReplicas",
  "updatedReplicas",
  "availableReplicas",
];

const statefulSet = define<StatefulSet>(statefulSets, {
  shortNames: ["sts"],
  categories: ["all"],
  columns: [
    column("Ready", (one) => `${one.status?.readyReplicas ?? 0}/${one.spec.replicas ?? 1}`),
    ...containerColumns<StatefulSet>((one) => one.spec.template),
  ],
  defaults(object) {
    const { spec } = object;
    spec.podManagementPolicy ||= "OrderedReady";
    spec.updateStrategy ??= {};
    spec.updateStrategy.type ||= "RollingUpdate";
    if (spec.updateStrategy.type === "RollingUpdate") {
      spec.updateStrategy.rollingUpdate ??= {};
      spec.updateStrategy.rollingUpdate.partition ??= 0;
    }
    spec.persistentVolumeClaimRetentionPolicy ??= {};
    spec.persistentVolumeClaimRetentionPolicy.whenDeleted ||= "Retain";
    spec.persistentVolumeClaimRetentionPolicy.whenScaled ||= "Retain";
    spec.replicas ??= 1;
    spec.revisionHistoryLimit ??= 10;
    for (const claim of spec.volumeClaimTemplates ?? []) {
      claim.apiVersion ||= "v1";
      claim.kind ||= "PersistentVolumeClaim";
      persistentVolumeClaimSpecDefaults(claim.spec);
      claim.status ??= {};
      claim.status.phase ||= "Pending";
    }
    templateDefaults(spec.template);
  },
  status: true,
  generation: true,
  prepare(object, { verb }) {
    if (verb === "create") object.status = { replicas: 0, availableReplicas: 0 };
  },
  validate: (object, { old }) => [
    ...validateStatefulSetSpec(object, old),
    ...validateWorkload(object, old, "StatefulSet", templateOfPods(object.spec)),
    ...(old === undefined ? [] : validateStatefulSetChange(object, old)),
  ],
  validateStatus: ({ status }, { old }) =>
    validateReplicaStatus(status, old?.status, statefulSetParts, "status.readyReplicas"),
  strategy: { warn: (one, context) => workloadWarnings<StatefulSet>(one, context, templateOf) },
  subresources: { scale },
});

const controllerRevision = define<ControllerRevision>(controllerRevisions, {
  columns: [
    column("Controller", (one) => {
      const owner = (one.metadata.ownerReferences ?? []).find((ref) => ref.controller);
      if (owner === undefined) return "<none>";
      const group = owner.apiVersion.includes("/") ? `.${owner.apiVersion.split("/")[0]}` : "";
      return `${owner.kind.toLowerCase()}${group}/${owner.name}`;
    }),
    column("Revision", (one) => one.revision ?? 0),
  ],
  validate(object, { old }) {
    const errors = nonNegative("revision", object.revision);
    if (object.data === undefined) errors.push(required("data", "data is mandatory"));
    if (old !== undefined) errors.push(...validateImmutable(object.data, old.data, "data"));
    return errors;
  },
});

export const apps: readonly ResourceDefinition[] = [
  controllerRevision,
  daemonSet,
  deployment,
  replicaSet,
  statefulSet,
];
