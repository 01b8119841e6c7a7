/** Which parts of a pod's spec may change once it exists, and through which door. */
import type { FieldError } from "../../api/resource-definition.ts";
import type { Container, Pod, PodSpec } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { semanticEqual } from "../../lib/semantic-equal.ts";
import { forbidden, invalid } from "../field-errors.ts";

type ReadPod = DeepReadonly<Pod>;

const mutableDetail =
  "pod updates may not change fields other than `spec.containers[*].image`," +
  "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only " +
  "additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to " +
  "be set to 1 if it " +
  "was previously negative)";

function withImagesOf(
  containers: readonly DeepReadonly<Container>[] | undefined,
  source: readonly DeepReadonly<Container>[] | undefined,
): unknown {
  return (containers ?? []).map((container, index) => ({
    ...container,
    image: source?.[index]?.image,
  }));
}

/** The new spec with everything that may change taken from the old one. */
function withMutablePartsOf(spec: DeepReadonly<PodSpec>, old: DeepReadonly<PodSpec>): unknown {
  const gated = (old.schedulingGates ?? []).length > 0;
  return {
    ...spec,
    containers: withImagesOf(spec.containers, old.containers),
    initContainers: withImagesOf(spec.initContainers, old.initContainers),
    activeDeadlineSeconds: old.activeDeadlineSeconds,
    tolerations: old.tolerations,
    schedulingGates: old.schedulingGates,
    // Gated pods are not placed yet: narrowing where they may go is allowed.
    ...(gated ? { nodeSelector: old.nodeSelector, affinity: old.affinity } : {}),
    ...((old.terminationGracePeriodSeconds ?? 0) < 0 && spec.terminationGracePeriodSeconds === 1
      ? { terminationGracePeriodSeconds: old.terminationGracePeriodSeconds }
      : {}),
  };
}

function validateDeadline(pod: ReadPod, old: ReadPod): FieldError[] {
  const next = pod.spec.activeDeadlineSeconds;
  const before = old.spec.activeDeadlineSeconds;
  if (next === before) return [];
  const field = "spec.activeDeadlineSeconds";
  if (next === undefined)
    return [invalid(field, next ?? null, "must not update from a positive integer to nil value")];
  if (before !== undefined && next > before)
    return [invalid(field, next, "must be less than or equal to previous value")];
  return [];
}

function validateTolerations(pod: ReadPod, old: ReadPod): FieldError[] {
  const kept = (old.spec.tolerations ?? []).every((before) =>
    (pod.spec.tolerations ?? []).some(
      (now) =>
        now.key === before.key &&
        now.operator === before.operator &&
        (now.value ?? "") === (before.value ?? "") &&
        (now.effect ?? "") === (before.effect ?? ""),
    ),
  );
  return kept
    ? []
    : [
        forbidden(
          "spec.tolerations",
          "existing toleration can not be modified except its tolerationSeconds",
        ),
      ];
}

function validateGates(pod: ReadPod, old: ReadPod): FieldError[] {
  const before = new Set((old.spec.schedulingGates ?? []).map((gate) => gate.name));
  const added = (pod.spec.schedulingGates ?? []).filter((gate) => !before.has(gate.name));
  return added.map((gate) =>
    forbidden(
      `spec.schedulingGates`,
      `only deletion is allowed, but found new scheduling gate '${gate.name}'`,
    ),
  );
}

const mirrorAnnotation = "kubernetes.io/config.mirror";
const costAnnotation = "controller.kubernetes.io/pod-deletion-cost";

/** The errors of annotations that mean something on pods. */
export function validatePodAnnotations(pod: ReadPod): FieldError[] {
  const errors: FieldError[] = [];
  const { annotations = {} } = pod.metadata;
  const mirror = annotations[mirrorAnnotation];
  if (mirror !== undefined && !pod.spec.nodeName)
    errors.push(
      invalid(
        `metadata.annotations[${mirrorAnnotation}]`,
        mirror,
        "must set spec.nodeName if mirror pod annotation is set",
      ),
    );
  const cost = annotations[costAnnotation];
  if (cost !== undefined && !isWholeNumber(cost))
    errors.push(
      invalid(`metadata.annotations[${costAnnotation}]`, cost, "must be a 32bit integer"),
    );
  return errors;
}

/** As Go reads it: no plus sign and no leading zeros. */
function isWholeNumber(text: string): boolean {
  return /^(0|-?[1-9]\d*)$/.test(text) && Math.abs(Number(text)) <= 2 ** 31 - 1;
}

function validateMirrorUpdate(pod: ReadPod, old: ReadPod): FieldError[] {
  const [now, before] = [pod, old].map((one) => one.metadata.annotations?.[mirrorAnnotation]);
  if (now === before) return [];
  const what = before === undefined ? "add" : "remove or update";
  const field = `metadata.annotations[${mirrorAnnotation}]`;
  return [forbidden(field, `may not ${what} mirror pod annotation`)];
}

/** The errors of an update of the pod itself. */
export function validatePodUpdate(pod: ReadPod, old: ReadPod): FieldError[] {
  const marked = [...validateMirrorUpdate(pod, old), ...validatePodAnnotations(pod)];
  if (semanticEqual(pod.spec, old.spec)) return marked;
  const errors: FieldError[] = [...marked];
  const field = "spec.containers";
  if ((pod.spec.containers ?? []).length !== (old.spec.containers ?? []).length)
    return [forbidden(field, "pod updates may not add or remove containers")];
  if ((pod.spec.initContainers ?? []).length !== (old.spec.initContainers ?? []).length)
    return [forbidden("spec.initContainers", "pod updates may not add or remove containers")];
  errors.push(...validateDeadline(pod, old), ...validateTolerations(pod, old));
  errors.push(...validateGates(pod, old));
  if (!semanticEqual(withMutablePartsOf(pod.spec, old.spec), old.spec))
    errors.push(forbidden("spec", mutableDetail));
  return errors;
}

/** The errors of a write through pods/ephemeralcontainers. */
export function validateEphemeralUpdate(pod: ReadPod, old: ReadPod): FieldError[] {
  const errors: FieldError[] = [];
  const names = new Set(
    [...(pod.spec.containers ?? []), ...(pod.spec.initContainers ?? [])].map((one) => one.name),
  );
  const field = "spec.ephemeralContainers";
  (pod.spec.ephemeralContainers ?? []).forEach((container, index) => {
    const at = `${field}[${index}]`;
    if (!container.name)
      errors.push({ type: "FieldValueRequired", field: `${at}.name`, detail: "" });
    else if (names.has(container.name))
      errors.push({
        type: "FieldValueDuplicate",
        field: `${at}.name`,
        value: container.name,
        detail: "",
      });
    names.add(container.name);
    if (!container.image)
      errors.push({ type: "FieldValueRequired", field: `${at}.image`, detail: "" });
    for (const key of [
      "ports",
      "livenessProbe",
      "readinessProbe",
      "startupProbe",
      "lifecycle",
    ] as const)
      if (container[key] !== undefined)
        errors.push(forbidden(`${at}.${key}`, "cannot be set for an Ephemeral Container"));
  });
  for (const before of old.spec.ephemeralContainers ?? []) {
    const now = (pod.spec.ephemeralContainers ?? []).find((one) => one.name === before.name);
    if (now === undefined)
      errors.push(
        forbidden(field, `existing ephemeral containers "${before.name}" may not be removed\n`),
      );
    else if (!semanticEqual(now, before))
      errors.push(
        forbidden(field, `existing ephemeral containers "${before.name}" may not be changed\n`),
      );
  }
  return errors;
}
