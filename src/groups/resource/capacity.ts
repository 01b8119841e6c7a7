/** How much of a device's capacity may be asked for at once: the policies of shared devices. */
import type { FieldError } from "../../api/resource-definition.ts";
import type { CapacityRequestPolicyRange, DeviceCapacity } from "../../gen/resource-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { addQuantity, canonicalQuantity, quantityValue } from "../../lib/quantity.ts";
import { forbidden, invalid, required } from "../field-errors.ts";
import { compareQuantities } from "../quantities.ts";
import { validateSet } from "./lists.ts";

const limits = { validValuesMax: 10 } as const;

function validateValues(
  chosen: string,
  capacity: string,
  values: readonly string[],
  at: string,
): FieldError[] {
  const errors: FieldError[] = [];
  values.slice(1).forEach((value, index) => {
    if (compareQuantities(values[index] as string, value) > 0) {
      const rule = "values must be sorted in ascending order";
      errors.push(invalid(`${at}[${index + 1}]`, canonicalQuantity(value), rule));
    }
  });
  const judged = validateSet(values, limits.validValuesMax, at, {
    key: (value) => String(quantityValue(value)),
    validate: (value, field) => {
      if (compareQuantities(value, capacity) <= 0) return [];
      const rule = `option is larger than capacity value: ${canonicalQuantity(capacity)}`;
      return [invalid(field, canonicalQuantity(value), rule)];
    },
  });
  errors.push(...judged);
  const isSeen = values.length <= limits.validValuesMax;
  if (!isSeen || !values.some((value) => compareQuantities(value, chosen) === 0)) {
    const rule = "default value is not valid according to the requestPolicy";
    errors.push(invalid(at, canonicalQuantity(chosen), rule));
  }
  return errors;
}

function validateStep(value: string, min: string, step: string, at: string): FieldError[] {
  const size = quantityValue(step);
  if (size === 0 || (quantityValue(value) - quantityValue(min)) % size === 0) return [];
  const from = `(${canonicalQuantity(step)}) from (${canonicalQuantity(min)})`;
  const rule = `value is not a multiple of a given step ${from}`;
  return [invalid(at, canonicalQuantity(value), rule)];
}

function validateRange(
  chosen: string,
  capacity: string,
  { min, max, step }: DeepReadonly<CapacityRequestPolicyRange>,
  at: string,
): FieldError[] {
  if (min === undefined) return [required(`${at}.min`, "required when validRange is defined")];
  const errors: FieldError[] = [];
  const atMost = (field: string, value: string, most: string, what: string, shown = value) => {
    if (compareQuantities(value, most) <= 0) return;
    const detail = `${what}: ${canonicalQuantity(most)}`;
    errors.push(invalid(`${at}.${field}`, canonicalQuantity(shown), detail));
  };
  atMost("min", min, capacity, "min is larger than capacity value");
  if (compareQuantities(chosen, min) < 0) {
    const rule = `default is less than min: ${canonicalQuantity(min)}`;
    errors.push(invalid(`${at}.min`, canonicalQuantity(chosen), rule));
  }
  if (max !== undefined) {
    atMost("max", min, max, "min is larger than max");
    atMost("max", max, capacity, "max is larger than capacity value");
    atMost("max", chosen, max, "default is more than max");
  }
  if (step === undefined) return errors;
  const first = addQuantity(min, step);
  atMost("step", first, capacity, `one step ${first} is larger than capacity value`, step);
  errors.push(...validateStep(chosen, min, step, `${at}.step`));
  if (max !== undefined) errors.push(...validateStep(max, min, step, `${at}.step`));
  return errors;
}

/** The errors of one capacity of a device. */
export function validateCapacity(
  { value: capacity, requestPolicy: policy }: DeepReadonly<DeviceCapacity>,
  field: string,
  isShared: boolean,
): FieldError[] {
  if (policy === undefined) return [];
  const at = `${field}.requestPolicy`;
  if (!isShared) return [forbidden(at, "allowMultipleAllocations must be true")];
  const { validRange, validValues = [] } = policy;
  // What nobody gave is null here.
  const chosen = policy.default ?? undefined;
  if (validValues.length > 0 && validRange !== undefined) {
    const rule =
      'exactly one policy can be specified, cannot specify "validValues" and "validRange" at ' +
      "the same time";
    return [forbidden(at, rule)];
  }
  const missing = (what: string) => [required(`${at}.default`, `required when ${what} is defined`)];
  if (validValues.length > 0)
    return chosen === undefined
      ? missing("validValues")
      : validateValues(chosen, capacity, validValues, `${at}.validValues`);
  if (validRange === undefined) return [];
  return chosen === undefined
    ? missing("validRange")
    : validateRange(chosen, capacity, validRange, `${at}.validRange`);
}
