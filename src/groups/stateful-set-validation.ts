/** Rules of StatefulSets. */
import type { FieldError } from "../api/resource-definition.ts";
import type { StatefulSet, StatefulSetSpec } from "../gen/apps-v1.ts";
import type { PodTemplateSpec } from "../gen/core-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { labelErrors } from "../lib/names.ts";
import { semanticEqual } from "../lib/semantic-equal.ts";
import { validateClaimSpec } from "./core/claim-validation.ts";
import {
  forbidden,
  invalid,
  invalids,
  nonNegative,
  notSupported,
  required,
} from "./field-errors.ts";

type ReadSpec = DeepReadonly<StatefulSetSpec>;

const mutable = [
  "replicas",
  "ordinals",
  "template",
  "updateStrategy",
  "revisionHistoryLimit",
  "persistentVolumeClaimRetentionPolicy",
  "minReadySeconds",
] as const;

/** The template as the pods will have it: the claims are volumes, the controller names hosts. */
export function templateOfPods(spec: ReadSpec): DeepReadonly<PodTemplateSpec> | undefined {
  const { template, volumeClaimTemplates = [] } = spec;
  if (!template?.spec) return template;
  const { subdomain: _subdomain, hostname: _hostname, ...rest } = template.spec;
  const names = new Set(volumeClaimTemplates.map(({ metadata }) => metadata.name ?? ""));
  const volumes = [
    ...[...names].map((name) => ({ name, persistentVolumeClaim: { claimName: name } })),
    ...(rest.volumes ?? []).filter(({ name }) => !names.has(name)),
  ];
  return { ...template, spec: { ...rest, volumes } };
}

function validateUpdateStrategy({ updateStrategy }: ReadSpec): FieldError[] {
  const at = "spec.updateStrategy";
  const { type, rollingUpdate } = updateStrategy ?? {};
  if (!type) return [required(at)];
  if (type !== "OnDelete" && type !== "RollingUpdate")
    return [invalid(at, updateStrategy, "must be 'RollingUpdate' or 'OnDelete'")];
  if (rollingUpdate === undefined) return [];
  if (type === "OnDelete")
    return [
      invalid(
        `${at}.rollingUpdate`,
        rollingUpdate,
        "only allowed for updateStrategy 'RollingUpdate'",
      ),
    ];
  return nonNegative(`${at}.rollingUpdate.partition`, rollingUpdate.partition);
}

function validateRetention({ persistentVolumeClaimRetentionPolicy: policy }: ReadSpec) {
  const known = ["Delete", "Retain"];
  return (["whenDeleted", "whenScaled"] as const).flatMap((key) => {
    const value = policy?.[key] ?? "";
    if (policy === undefined || known.includes(value)) return [];
    return [notSupported(`spec.persistentVolumeClaimRetentionPolicy.${key}`, value, known)];
  });
}

/** What a stateful set's own fields must fulfil; the rest it shares with other workloads. */
export function validateStatefulSetSpec(
  { spec }: DeepReadonly<StatefulSet>,
  old: DeepReadonly<StatefulSet> | undefined,
): FieldError[] {
  const errors: FieldError[] = [];
  const { podManagementPolicy: policy, serviceName, ordinals } = spec;
  if (!policy) errors.push(required("spec.podManagementPolicy"));
  else if (policy !== "OrderedReady" && policy !== "Parallel")
    errors.push(
      invalid("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'"),
    );
  errors.push(...validateUpdateStrategy(spec), ...validateRetention(spec));
  if (old === undefined)
    (spec.volumeClaimTemplates ?? []).forEach((claim, index) => {
      errors.push(...validateClaimSpec(claim.spec, `spec.volumeClaimTemplates[${index}].spec`));
    });
  errors.push(...nonNegative("spec.ordinals.start", ordinals?.start));
  if (old === undefined && serviceName)
    errors.push(...invalids("spec.serviceName", serviceName, labelErrors(serviceName)));
  return errors;
}

/** What of a stateful set may not change as it did. */
export function validateStatefulSetChange(
  { spec }: DeepReadonly<StatefulSet>,
  old: DeepReadonly<StatefulSet>,
): FieldError[] {
  const frozen = (one: ReadSpec): unknown => {
    const rest: Record<string, unknown> = { ...one };
    for (const key of mutable) delete rest[key];
    return rest;
  };
  if (semanticEqual(frozen(spec), frozen(old.spec))) return [];
  return [
    forbidden(
      "spec",
      "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', " +
        "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and " +
        "'minReadySeconds' are forbidden",
    ),
  ];
}
