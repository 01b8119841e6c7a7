/** The rules of resource slices: pools, where devices are, shared counters. */
import type { FieldError } from "../../api/resource-definition.ts";
import type { CounterSet, ResourceSliceSpec } from "../../gen/resource-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { validateNodeSelector } from "../core/affinity-validation.ts";
import { validateDriverName } from "../core/volume-source.ts";
import { invalid, required } from "../field-errors.ts";
import { validateImmutable } from "../pod-template.ts";
import { validateCounters, validateDevice } from "./device.ts";
import { validateSet } from "./lists.ts";
import { validateLabel, validateNodeName, validatePoolName } from "./names.ts";

type ReadSpec = DeepReadonly<ResourceSliceSpec>;

const limits = { devicesMax: 128, specialDevicesMax: 64, counterSetsMax: 8 } as const;

const placements = ["nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection"] as const;
const exactlyOne = `exactly one of ${placements.map((one) => `\`${one}\``).join(", ")} is required`;

function validatePool({ pool }: ReadSpec): FieldError[] {
  const { name = "", resourceSliceCount: count = 0, generation = 0 } = pool ?? {};
  const errors = validatePoolName(name, "spec.pool.name");
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
  else if (nodeName !== undefined) errors.push(...validateNodeName(nodeName, "spec.nodeName"));
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

function validateCounterSet(set: DeepReadonly<CounterSet>, at: string): FieldError[] {
  const name = set.name ? validateLabel(set.name, `${at}.name`) : [required(`${at}.name`)];
  return [...name, ...validateCounters(set.counters, `${at}.counters`)];
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
  const isSpecial = (given.devices ?? []).some(
    ({ taints = [], consumesCounters = [] }) => taints.length + consumesCounters.length > 0,
  );
  const max = isSpecial ? limits.specialDevicesMax : limits.devicesMax;
  const before = new Map((old?.devices ?? []).map((device) => [device.name, device]));
  return [
    ...errors,
    ...validateSet(given.devices, max, "spec.devices", {
      key: (device) => device.name,
      validate: (device, at) =>
        validateDevice(device, at, {
          old: before.get(device.name),
          isPlacedAlone: given.perDeviceNodeSelection === true,
        }),
    }),
    ...validateSet(given.sharedCounters, limits.counterSetsMax, "spec.sharedCounters", {
      key: (set) => set.name,
      validate: validateCounterSet,
    }),
  ];
}
