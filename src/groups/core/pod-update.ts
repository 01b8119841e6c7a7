/** Which parts of a pod's spec may change once it exists, and through which door. */
import type { FieldError } from "../../api/resource-definition.ts";
import type { Container, Pod, PodSpec } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { semanticEqual } from "../../lib/semantic-equal.ts";
import { forbidden, invalid } from "../field-errors.ts";
import { validateEphemeral } from "./ephemeral-validation.ts";
import { validatePodAlone, validatePodSpec } from "./pod-spec-validation.ts";

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
  const isGated = (old.schedulingGates ?? []).length > 0;
  return {
    ...spec,
    containers: withImagesOf(spec.containers, old.containers),
    initContainers: withImagesOf(spec.initContainers, old.initContainers),
    activeDeadlineSeconds: old.activeDeadlineSeconds,
    tolerations: old.tolerations,
    schedulingGates: old.schedulingGates,
    // Gated pods are not placed yet: narrowing where they may go is allowed.
    ...(isGated ? { nodeSelector: old.nodeSelector, affinity: affinityOf(spec, old) } : {}),
    ...((old.terminationGracePeriodSeconds ?? 0) < 0 && spec.terminationGracePeriodSeconds === 1
      ? { terminationGracePeriodSeconds: old.terminationGracePeriodSeconds }
      : {}),
  };
}

/** The new affinity with the old one's part about nodes. */
function affinityOf(spec: DeepReadonly<PodSpec>, old: DeepReadonly<PodSpec>): unknown {
  const { nodeAffinity: _now, ...rest } = spec.affinity ?? {};
  const before = old.affinity?.nodeAffinity;
  const affinity = { ...rest, ...(before === undefined ? {} : { nodeAffinity: before }) };
  return Object.keys(affinity).length === 0 && old.affinity === undefined ? undefined : affinity;
}

/** A pod that waits at its gates may be told more narrowly where to go, never more widely. */
function validateNarrowing(pod: ReadPod, old: ReadPod): FieldError[] {
  if ((old.spec.schedulingGates ?? []).length === 0) return [];
  const errors: FieldError[] = [];
  const selector = pod.spec.nodeSelector ?? {};
  const isKept = Object.entries(old.spec.nodeSelector ?? {}).every(
    ([key, value]) => selector[key] === value,
  );
  if (!isKept)
    errors.push(
      invalid(
        "spec.nodeSelector",
        selector,
        "only additions to spec.nodeSelector are allowed (no mutations or deletions)",
      ),
    );
  const termsOf = ({ spec }: ReadPod) =>
    spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution
      ?.nodeSelectorTerms ?? [];
  const [now, before] = [termsOf(pod), termsOf(old)];
  const field =
    "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
  if (before.length > 0 && before.length !== now.length)
    return [
      ...errors,
      invalid(field, now, "no additions/deletions to non-empty NodeSelectorTerms list are allowed"),
    ];
  before.forEach((term, index) => {
    const next = now[index];
    const isLonger = (["matchExpressions", "matchFields"] as const).every((key) => {
      const kept = term[key] ?? [];
      return semanticEqual((next?.[key] ?? []).slice(0, kept.length), kept);
    });
    const wasEmpty = [...(term.matchExpressions ?? []), ...(term.matchFields ?? [])].length === 0;
    if (isLonger && !(wasEmpty && !semanticEqual(next, term))) return;
    const detail = "only additions are allowed (no mutations or deletions)";
    errors.push(invalid(`${field}[${index}]`, next, detail));
  });
  return errors;
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
  return (pod.spec.schedulingGates ?? []).flatMap(({ name }, index) =>
    before.has(name)
      ? []
      : [
          forbidden(
            `spec.schedulingGates[${index}].name`,
            `only deletion is allowed, but found new scheduling gate '${name}'`,
          ),
        ],
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
  const errors: FieldError[] = [
    ...marked,
    ...validatePodSpec(pod.spec, "spec"),
    ...validatePodAlone(pod.spec),
  ];
  const field = "spec.containers";
  if ((pod.spec.containers ?? []).length !== (old.spec.containers ?? []).length)
    return [...errors, forbidden(field, "pod updates may not add or remove containers")];
  if ((pod.spec.initContainers ?? []).length !== (old.spec.initContainers ?? []).length)
    return [
      ...errors,
      forbidden("spec.initContainers", "pod updates may not add or remove containers"),
    ];
  errors.push(...validateDeadline(pod, old), ...validateTolerations(pod, old));
  errors.push(...validateGates(pod, old), ...validateNarrowing(pod, old));
  if (!semanticEqual(withMutablePartsOf(pod.spec, old.spec), old.spec))
    errors.push(forbidden("spec", mutableDetail));
  return errors;
}

/** The errors of a write through pods/ephemeralcontainers. */
export function validateEphemeralUpdate(pod: ReadPod, old: ReadPod): FieldError[] {
  if (old.metadata.annotations?.[mirrorAnnotation] !== undefined)
    return [forbidden("", "static pods do not support ephemeral containers")];
  const errors = validateEphemeral(pod.spec, "spec");
  const field = "spec.ephemeralContainers";
  for (const before of old.spec.ephemeralContainers ?? []) {
    const now = (pod.spec.ephemeralContainers ?? []).find((one) => one.name === before.name);
    const refuse = (what: string): void => {
      const which = `existing ephemeral containers "${before.name}"`;
      errors.push(forbidden(field, `${which} may not be ${what}\n`));
    };
    if (now === undefined) refuse("removed");
    else if (!semanticEqual(now, before)) refuse("changed");
  }
  return errors;
}
