/** policy/v1, scheduling.k8s.io/v1, coordination.k8s.io/v1, node.k8s.io/v1. */
import type { FieldError, ResourceDefinition } from "../api/resource-definition.ts";
import {
  leases,
  podDisruptionBudgets,
  priorityClasses,
  runtimeClasses,
} from "../client/resources.ts";
import type { Lease } from "../gen/coordination-v1.ts";
import type { RuntimeClass } from "../gen/node-v1.ts";
import type { PodDisruptionBudget } from "../gen/policy-v1.ts";
import type { PriorityClass } from "../gen/scheduling-v1.ts";
import { labelErrors } from "../lib/names.ts";
import { semanticEqual } from "../lib/semantic-equal.ts";
import { validateConditions } from "./condition-validation.ts";
import { validateToleration } from "./core/pod-spec-validation.ts";
import { validateResources } from "./core/resource-requirements.ts";
import {
  duplicate,
  forbidden,
  invalid,
  invalids,
  notSupported,
  oneOf,
  required,
} from "./field-errors.ts";
import { validateIntOrPercent } from "./int-or-percent.ts";
import { validateLabels } from "./metadata.ts";
import { validateImmutable } from "./pod-template.ts";
import { column, count, define } from "./row.ts";
import { validateSelector } from "./selector-validation.ts";
import { sameWithout } from "./sign-of-life.ts";
import { validateCounts } from "./workload-status.ts";

export const podDisruptionBudget: ResourceDefinition = define<PodDisruptionBudget>(
  podDisruptionBudgets,
  {
    shortNames: ["pdb"],
    metadataLast: true,
    columns: [
      column("Min Available", (one) => String(one.spec?.minAvailable ?? "N/A")),
      column("Max Unavailable", (one) => String(one.spec?.maxUnavailable ?? "N/A")),
      count("Allowed Disruptions", (one) => one.status?.disruptionsAllowed ?? 0),
    ],
    status: true,
    generation: true,
    prepare(object, { verb }) {
      if (verb === "create")
        object.status = {
          currentHealthy: 0,
          desiredHealthy: 0,
          disruptionsAllowed: 0,
          expectedPods: 0,
        };
    },
    validate(object) {
      const { minAvailable, maxUnavailable, selector, unhealthyPodEvictionPolicy } =
        object.spec ?? {};
      const errors: FieldError[] = [];
      if (minAvailable !== undefined && maxUnavailable !== undefined)
        errors.push(
          invalid("spec", object.spec, "minAvailable and maxUnavailable cannot be both set"),
        );
      errors.push(...validateIntOrPercent(minAvailable, "spec.minAvailable", 100));
      errors.push(...validateIntOrPercent(maxUnavailable, "spec.maxUnavailable", 100));
      errors.push(...validateSelector(selector, "spec.selector"));
      if (unhealthyPodEvictionPolicy)
        errors.push(
          ...oneOf("spec.unhealthyPodEvictionPolicy", unhealthyPodEvictionPolicy, [
            "AlwaysAllow",
            "IfHealthyBudget",
          ]),
        );
      return errors;
    },
    validateStatus: ({ status }) => [
      ...validateConditions(status?.conditions),
      ...validateCounts(status),
    ],
  },
);

const highestUserPriority = 1_000_000_000;
const systemPriorities: Readonly<Record<string, number>> = {
  "system-cluster-critical": 2_000_000_000,
  "system-node-critical": 2_000_001_000,
};

function systemNameProblem(name: string): string {
  const known = systemPriorities[name];
  return known === undefined
    ? `${name} is not a known system priority class`
    : `value of ${name} PriorityClass must be ${known}`;
}

export const priorityClass: ResourceDefinition = define<PriorityClass>(priorityClasses, {
  shortNames: ["pc"],
  columns: [
    count("Value", (one) => one.value ?? 0),
    column("Global-Default", (one) => one.globalDefault ?? false, "", "boolean"),
    column("PreemptionPolicy", (one) => one.preemptionPolicy ?? "PreemptLowerPriority"),
  ],
  age: 2,
  defaults(object) {
    object.preemptionPolicy ??= "PreemptLowerPriority";
  },
  generation: "once",
  validate(object, { old }) {
    const errors: FieldError[] = [];
    const name = object.metadata.name ?? "";
    const known = systemPriorities[name];
    if (name.startsWith("system-") && known !== object.value)
      errors.push(
        forbidden(
          "metadata.name",
          "priority class names with 'system-' prefix are reserved for system use only. " +
            `error: ${systemNameProblem(name)}`,
        ),
      );
    else if (!name.startsWith("system-") && (object.value ?? 0) > highestUserPriority)
      errors.push(
        forbidden(
          "value",
          `maximum allowed value of a user defined priority is ${highestUserPriority}`,
        ),
      );
    if (old === undefined) {
      const policies = ["PreemptLowerPriority", "Never"];
      const policy = object.preemptionPolicy ?? "";
      if (policy === "") errors.push(required("preemptionPolicy"));
      else if (!policies.includes(policy))
        errors.push(notSupported("preemptionPolicy", policy, policies));
      return errors;
    }
    errors.length = 0;
    const frozen = "may not be changed in an update.";
    if (object.value !== old.value) errors.push(forbidden("value", frozen));
    errors.push(
      ...validateImmutable(object.preemptionPolicy, old.preemptionPolicy, "preemptionPolicy"),
    );
    return errors;
  },
});

export const lease: ResourceDefinition = define<Lease>(leases, {
  columns: [column("Holder", (one) => one.spec?.holderIdentity ?? "")],
  prepare({ spec }) {
    // Coordinated leader election is off.
    delete spec?.strategy;
    delete spec?.preferredHolder;
  },
  validate(object) {
    const errors: FieldError[] = [];
    const seconds = object.spec?.leaseDurationSeconds;
    if (seconds !== undefined && seconds <= 0)
      errors.push(invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0"));
    const transitions = object.spec?.leaseTransitions;
    if (transitions !== undefined && transitions < 0)
      errors.push(
        invalid("spec.leaseTransitions", transitions, "must be greater than or equal to 0"),
      );
    return errors;
  },
  strategy: {
    // Who holds the lease, and since when, is never lost.
    isSignOfLife: sameWithout<Lease>(({ metadata, spec }) => [
      metadata,
      { ...spec, renewTime: null },
    ]),
  },
});

export const runtimeClass: ResourceDefinition = define<RuntimeClass>(runtimeClasses, {
  columns: [column("Handler", (one) => one.handler)],
  validate(object, { old }) {
    const errors: FieldError[] = object.handler
      ? invalids("handler", object.handler, labelErrors(object.handler))
      : [required("handler")];
    const limits = object.overhead?.podFixed;
    if (limits) errors.push(...validateResources({ limits }, "overhead"));
    const { nodeSelector, tolerations = [] } = object.scheduling ?? {};
    errors.push(...validateLabels(nodeSelector, "scheduling.nodeSelector"));
    tolerations.forEach((toleration, index) => {
      const at = `scheduling.tolerations[${index}]`;
      errors.push(...validateToleration(toleration, at));
      if (tolerations.slice(0, index).some((one) => semanticEqual(one, toleration)))
        errors.push(duplicate(at, toleration));
    });
    if (old !== undefined)
      errors.push(...validateImmutable(object.handler, old.handler, "handler"));
    return errors;
  },
});
