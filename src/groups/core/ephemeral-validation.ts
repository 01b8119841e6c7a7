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
  "resources",
  "resizePolicy",
  "restartPolicy",
  "restartPolicyRules",
  "livenessProbe",
  "readinessProbe",
  "startupProbe",
  "lifecycle",
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
    const { name, targetContainerName: target } = container;
    errors.push(...validateCommon(container as DeepReadonly<Container>, spec, at));
    if (names.has(name)) errors.push(duplicate(`${at}.name`, name));
    names.add(name);
    if (target && !otherNames.includes(target))
      errors.push(notFound(`${at}.targetContainerName`, target));
    for (const key of notEphemeral) {
      const given = container[key];
      // Resources are no pointer in Go, so that empty ones are none.
      const isNone = key === "resources" ? semanticEqual(given, {}) : given === undefined;
      if (!isNone && !(Array.isArray(given) && given.length === 0))
        errors.push(forbidden(`${at}.${key}`, detail));
    }
    (container.volumeMounts ?? []).forEach((mount, place) => {
      for (const key of ["subPath", "subPathExpr"] as const)
        if (mount[key]) errors.push(forbidden(`${at}.volumeMounts[${place}].${key}`, detail));
    });
  });
  return errors;
}
