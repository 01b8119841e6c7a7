/** Rules of ephemeral containers, which look into a pod and are nothing it depends on. */
import type { FieldError } from "../../api/resource-definition.ts";
import type { Container, PodSpec } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { semanticEqual } from "../../lib/semantic-equal.ts";
import { duplicate, forbidden, notFound } from "../field-errors.ts";
import { validateCommon } from "./container-validation.ts";

/** What is for containers that a pod depends on. */
const notEphemeral = [
  "ports",
  "livenessProbe",
  "readinessProbe",
  "startupProbe",
  "lifecycle",
  "restartPolicy",
  "resizePolicy",
] as const;

/** The errors of the ephemeral containers of a spec, which stands at `field`. */
export function validateEphemeral(spec: DeepReadonly<PodSpec>, field: string): FieldError[] {
  const errors: FieldError[] = [];
  const others = [...(spec.containers ?? []), ...(spec.initContainers ?? [])];
  const otherNames = others.map(({ name }) => name);
  const names = new Set(otherNames);
  const detail = "cannot be set for an Ephemeral Container";
  (spec.ephemeralContainers ?? []).forEach((container, index) => {
    const at = `${field}.ephemeralContainers[${index}]`;
    const { name, targetContainerName: target, resources } = container;
    errors.push(...validateCommon(container as DeepReadonly<Container>, spec, at));
    if (names.has(name)) errors.push(duplicate(`${at}.name`, name));
    names.add(name);
    if (target && !otherNames.includes(target))
      errors.push(notFound(`${at}.targetContainerName`, target));
    for (const key of notEphemeral)
      if (!semanticEqual(container[key], undefined)) errors.push(forbidden(`${at}.${key}`, detail));
    if (!semanticEqual(resources, {})) errors.push(forbidden(`${at}.resources`, detail));
    (container.volumeMounts ?? []).forEach((mount, place) => {
      for (const key of ["subPath", "subPathExpr"] as const)
        if (mount[key]) errors.push(forbidden(`${at}.volumeMounts[${place}].${key}`, detail));
    });
  });
  return errors;
}
