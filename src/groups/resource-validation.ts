/** The rules of resource.k8s.io: slices that drivers publish. */
import type { FieldError } from "../api/resource-definition.ts";
import type { ResourceSliceSpec } from "../gen/resource-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { subdomainErrors } from "../lib/names.ts";
import { validateNodeSelector } from "./core/affinity-validation.ts";
import { invalid, invalids, required, tooLong } from "./field-errors.ts";
import { validateImmutable } from "./pod-template.ts";
import { validateDriverName } from "./storage-validation.ts";

type ReadSpec = DeepReadonly<ResourceSliceSpec>;

const limits = { poolNameCharactersMax: 253 } as const;

const placements = ["nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection"] as const;
const exactlyOne = `exactly one of ${placements.map((one) => `\`${one}\``).join(", ")} is required`;

function validatePool({ pool }: ReadSpec): FieldError[] {
  const errors: FieldError[] = [];
  const { name = "", resourceSliceCount: count = 0, generation = 0 } = pool ?? {};
  if (name === "") errors.push(required("spec.pool.name"));
  else {
    if (name.length > limits.poolNameCharactersMax)
      errors.push(tooLong("spec.pool.name", limits.poolNameCharactersMax));
    for (const part of name.split("/"))
      errors.push(...invalids("spec.pool.name", part, subdomainErrors(part)));
  }
  if (count <= 0)
    errors.push(invalid("spec.pool.resourceSliceCount", count, "must be greater than zero"));
  if (generation < 0)
    errors.push(
      invalid("spec.pool.generation", generation, "must be greater than or equal to zero"),
    );
  return errors;
}

/** Where the devices are: one of four ways to say it. */
function validatePlacement(spec: ReadSpec): FieldError[] {
  const errors: FieldError[] = [];
  const { nodeName, nodeSelector } = spec;
  if (nodeName === "")
    errors.push(
      invalid("spec.nodeName", nodeName, "must be either unset or set to a non-empty string"),
    );
  else if (nodeName !== undefined)
    errors.push(...invalids("spec.nodeName", nodeName, subdomainErrors(nodeName)));
  if (nodeSelector !== undefined) {
    errors.push(...validateNodeSelector(nodeSelector, "spec.nodeSelector"));
    const terms = nodeSelector.nodeSelectorTerms ?? [];
    if (terms.length !== 1)
      errors.push(
        invalid(
          "spec.nodeSelector.nodeSelectorTerms",
          terms,
          "must have exactly one node selector term",
        ),
      );
  }
  for (const key of ["allNodes", "perDeviceNodeSelection"] as const)
    if (spec[key] === false)
      errors.push(invalid(`spec.${key}`, false, "must be either unset or set to true"));
  const set = placements.filter((key) => spec[key]);
  if (set.length === 0) errors.push(required("spec", exactlyOne));
  if (set.length > 1) {
    const named = `{${set.map((key) => `\`${key}\``).join(", ")}}`;
    errors.push(invalid("spec", named, `${exactlyOne}, but multiple fields are set`));
  }
  return errors;
}

/** The errors of a slice. */
export function validateSlice(
  spec: ReadSpec | undefined,
  old: ReadSpec | undefined,
): readonly FieldError[] {
  const given = spec ?? ({} as ReadSpec);
  const errors = [...validateDriverName(given.driver, "spec.driver"), ...validatePool(given)];
  if (old !== undefined)
    errors.push(
      ...validateImmutable(given.pool?.name, old.pool?.name, "spec.pool.name"),
      ...validateImmutable(given.driver, old.driver, "spec.driver"),
      ...validateImmutable(given.nodeName, old.nodeName, "spec.nodeName"),
    );
  errors.push(...validatePlacement(given));
  if (given.sharedCounters !== undefined && given.devices !== undefined)
    errors.push(invalid("spec", "", "only one of `sharedCounters` or `devices` is allowed"));
  return errors;
}
