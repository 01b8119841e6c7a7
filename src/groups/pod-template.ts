/** What every kind with a pod template shares: defaults, rules, columns. */
import type { Column, FieldError } from "../api/resource-definition.ts";
import type { PodTemplateSpec } from "../gen/core-v1.ts";
import type { LabelSelector as MetaSelector } from "../gen/meta-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { formatSelector, labelSelectorOf, matchesLabels } from "../lib/selector.ts";
import { semanticEqual } from "../lib/semantic-equal.ts";
import type { KubeObject } from "../schema/object.ts";
import { podSpecDefaults } from "./core/pod-defaults.ts";
import { validatePodSpec } from "./core/pod-spec-validation.ts";
import { forbidden, invalid, notSupported, required } from "./field-errors.ts";
import { validateAnnotations, validateLabels } from "./metadata.ts";
import { wide } from "./row.ts";
import { validateSelector } from "./selector-validation.ts";

type ReadTemplate = DeepReadonly<PodTemplateSpec>;
type ReadSelector = DeepReadonly<MetaSelector>;

export function templateDefaults(template: PodTemplateSpec | undefined): void {
  if (template?.spec) podSpecDefaults(template.spec, false);
}

/** A workload's selector: there, valid, and not empty. */
export function validateWorkloadSelector(
  selector: ReadSelector | undefined,
  kind: string,
): FieldError[] {
  const field = "spec.selector";
  if (selector === undefined) return kind === "DaemonSet" ? [] : [required(field)];
  const errors = validateSelector(selector, field);
  // Upstream's replica sets borrow the words of deployments.
  const told = kind === "ReplicaSet" ? "deployment" : kind.toLowerCase();
  if (semanticEqual(selector, {}))
    errors.push(invalid(field, selector, `empty selector is invalid for ${told}`));
  return errors;
}

export interface TemplateRules {
  /** Which restart policies the kind allows, beyond what every pod may have. */
  readonly restartPolicies: readonly string[] | "any";
  /** The kind whose pods may have no deadline, as its error calls it. */
  readonly noDeadlineIn?: string;
}

/** What pods that run for good must fulfil. */
export function alwaysRestarted(noDeadlineIn: string): TemplateRules {
  return { restartPolicies: ["Always"], noDeadlineIn };
}

/** The errors of `spec.template`. */
export function validateTemplate(
  template: ReadTemplate | undefined,
  rules: TemplateRules,
  field = "spec.template",
): FieldError[] {
  if (template === undefined) return [required(field)];
  const errors = [
    ...validateLabels(template.metadata?.labels, `${field}.labels`),
    ...validateAnnotations(template.metadata?.annotations, `${field}.annotations`),
    ...validatePodSpec(template.spec ?? { containers: [] }, `${field}.spec`),
  ];
  if ((template.spec?.ephemeralContainers ?? []).length > 0) {
    const detail = "ephemeral containers not allowed in pod template";
    errors.push(forbidden(`${field}.spec.ephemeralContainers`, detail));
  }
  const policy = template.spec?.restartPolicy ?? "";
  const { restartPolicies } = rules;
  if (restartPolicies !== "any" && !restartPolicies.includes(policy))
    errors.push(notSupported(`${field}.spec.restartPolicy`, policy, restartPolicies));
  const { noDeadlineIn: kind } = rules;
  if (kind !== undefined && template.spec?.activeDeadlineSeconds !== undefined) {
    const detail = `activeDeadlineSeconds in ${kind} is not Supported`;
    errors.push(forbidden(`${field}.spec.activeDeadlineSeconds`, detail));
  }
  return errors;
}

/** The template's labels must be ones that the selector selects. */
export function validateTemplateLabels(
  selector: ReadSelector | undefined,
  template: ReadTemplate | undefined,
): FieldError[] {
  if (selector !== undefined && semanticEqual(selector, {})) return [];
  if (!isUsable(selector)) return [];
  const labels = template?.metadata?.labels;
  // No selector selects nothing.
  if (selector !== undefined && matchesLabels(labelSelectorOf(selector), labels)) return [];
  return [
    invalid(
      "spec.template.metadata.labels",
      labels ?? null,
      "`selector` does not match template `labels`",
    ),
  ];
}

/** Whether a selector can select at all; what is wrong with it is told elsewhere. */
export function isUsable(selector: ReadSelector | undefined): boolean {
  return validateSelector(selector, "spec.selector").length === 0;
}

export function validateImmutable(now: unknown, before: unknown, field: string): FieldError[] {
  return semanticEqual(now, before) ? [] : [invalid(field, now, "field is immutable")];
}

/** The selector as a wide column shows it. */
export function selectorText(selector: ReadSelector | undefined): string {
  return formatSelector(labelSelectorOf(selector)) || "<none>";
}

type TemplateOf<T> = (object: DeepReadonly<T>) => ReadTemplate | undefined;

/** The wide columns Containers and Images. */
export function containerColumns<T extends KubeObject>(
  templateOf: TemplateOf<T>,
): readonly Column<T>[] {
  return [
    wide(
      "Containers",
      (object) => (templateOf(object)?.spec?.containers ?? []).map((one) => one.name).join(","),
      "Names of each container in the template.",
    ),
    wide(
      "Images",
      (object) =>
        (templateOf(object)?.spec?.containers ?? []).map((one) => one.image ?? "").join(","),
      "Images referenced by each container in the template.",
    ),
  ];
}
