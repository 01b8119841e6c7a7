/** pods/resize: cpu and memory of running containers, and nothing else. */
import type { FieldError, Subresource } from "../../api/resource-definition.ts";
import type { Container, Pod, ResourceRequirements } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { semanticEqual } from "../../lib/semantic-equal.ts";
import { copyJson } from "../../schema/copy.ts";
import { forbidden, invalid } from "../field-errors.ts";
import { validatePodAlone, validatePodSpec } from "./pod-spec-validation.ts";
import { qosClassOf } from "./resource-requirements.ts";

type ReadPod = DeepReadonly<Pod>;
type ReadContainer = DeepReadonly<Container>;

const kinds = ["containers", "initContainers"] as const;

function hasSameContainers(one: ReadPod, other: ReadPod): boolean {
  return kinds.every((kind) => {
    const [a, b] = [one.spec[kind] ?? [], other.spec[kind] ?? []];
    return a.length === b.length && a.every(({ name }, index) => name === b[index]?.name);
  });
}

/** Takes resources and resize policies; another set of containers is left to the rules. */
export const podResize: Subresource<Pod> = {
  type: "part",
  verbs: ["get", "patch", "update"],
  merge(old, sent): Pod {
    if (!hasSameContainers(old, sent)) return sent;
    const next = copyJson<Pod>(old);
    for (const kind of kinds)
      (next.spec[kind] ?? []).forEach((container, index) => {
        const wanted = sent.spec[kind]?.[index];
        if (wanted?.resources) container.resources = wanted.resources;
        if (wanted?.resizePolicy) container.resizePolicy = wanted.resizePolicy;
      });
    if (sent.spec.resources) next.spec.resources = sent.spec.resources;
    else delete next.spec.resources;
    if (sent.metadata.resourceVersion)
      next.metadata.resourceVersion = sent.metadata.resourceVersion;
    return next;
  },
};

function validateOrder(pod: ReadPod, old: ReadPod): FieldError[] {
  return kinds.flatMap((kind) => {
    const [now, before] = [pod.spec[kind] ?? [], old.spec[kind] ?? []];
    const field = `spec.${kind}`;
    if (now.length !== before.length)
      return [forbidden(field, `${kind} may not be added or removed on resize`)];
    return before.flatMap(({ name }, index) =>
      now[index]?.name === name
        ? []
        : [
            forbidden(
              `${field}[${index}].name`,
              `${kind} may not be renamed or reordered on resize`,
            ),
          ],
    );
  });
}

function validateRemoval(
  now: DeepReadonly<ResourceRequirements> | undefined,
  before: DeepReadonly<ResourceRequirements> | undefined,
  field: string,
): FieldError[] {
  return (["requests", "limits"] as const).flatMap((kind) =>
    Object.keys(before?.[kind] ?? {}).every((name) => now?.[kind]?.[name] !== undefined)
      ? []
      : [forbidden(`${field}.${kind}`, `resource ${kind} cannot be removed`)],
  );
}

/** The container as it may not change: without cpu and memory. */
function fixedParts(container: ReadContainer | undefined): unknown {
  const { resources, resizePolicy: _policy, ...rest } = container ?? {};
  const without = (amounts: Readonly<Record<string, string>> | undefined): unknown => {
    const { cpu: _cpu, memory: _memory, ...others } = amounts ?? {};
    return others;
  };
  const { requests, limits, ...more } = resources ?? {};
  return { ...rest, resources: { ...more, requests: without(requests), limits: without(limits) } };
}

/** The errors of a write through pods/resize. */
export function validateResize(pod: ReadPod, old: ReadPod): FieldError[] {
  if (old.metadata.annotations?.["kubernetes.io/config.mirror"] !== undefined)
    return [forbidden("", "static pods cannot be resized")];
  if (old.spec.os?.name === "windows") return [forbidden("", "windows pods cannot be resized")];
  const errors = [...validatePodSpec(pod.spec, "spec"), ...validatePodAlone(pod.spec)];
  const before = old.status?.qosClass ?? qosClassOf(old);
  if (qosClassOf(pod) !== before)
    errors.push(invalid("spec", before, "Pod QOS Class may not change as a result of resizing"));
  const running = (old.status?.containerStatuses ?? []).find(({ state }) => state?.running);
  if (running !== undefined && running.resources === undefined)
    errors.push(forbidden("spec", "Pod running on node without support for resize"));
  const order = validateOrder(pod, old);
  if (order.length > 0) return [...errors, ...order];
  for (const kind of kinds)
    (old.spec[kind] ?? []).forEach((container, index) => {
      const now = pod.spec[kind]?.[index];
      const field = `spec.${kind}[${index}]`;
      errors.push(...validateRemoval(now?.resources, container.resources, `${field}.resources`));
      if (semanticEqual(fixedParts(now), fixedParts(container))) return;
      errors.push(
        kind === "containers"
          ? forbidden("spec", "only cpu and memory resources are mutable")
          : forbidden(
              field,
              "only cpu and memory resources for init or sidecar containers are mutable",
            ),
      );
    });
  if (old.spec.resources !== undefined && pod.spec.resources === undefined)
    errors.push(forbidden("spec.resources", "pod-level resources cannot be removed"));
  return errors;
}
