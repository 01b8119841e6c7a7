/** How much of a shared device a request takes, and whether so much is left. */
import type { CapacityRequestPolicy, CapacityRequirements } from "../../gen/resource-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import {
  compareQuantity,
  formatQuantity,
  parseQuantity,
  quantityValue,
} from "../../lib/quantity.ts";
import type { Consumed } from "./allocated.ts";
import type { LiveDevice } from "./view.ts";

type Requirements = DeepReadonly<CapacityRequirements> | undefined;
type Capacities = NonNullable<LiveDevice["capacity"]>;
type Policy = DeepReadonly<CapacityRequestPolicy>;

const nanosPerUnit = 1_000_000_000n;

/** The next multiple of the step from the least on. */
function roundedUp(asked: string, { validRange, validValues = [] }: Policy): string {
  const { min, step } = validRange ?? {};
  if (min === undefined)
    return validValues.find((value) => compareQuantity(asked, value) <= 0) ?? asked;
  if (compareQuantity(asked, min) < 0) return min;
  if (step === undefined) return asked;
  const [least, size] = [quantityValue(min), quantityValue(step)];
  const units = least + size * Math.ceil((quantityValue(asked) - least) / size);
  return formatQuantity({ nano: BigInt(units) * nanosPerUnit, format: "BinarySI" });
}

function consumedAmount(asked: string | undefined, capacity: Capacities[string]): string {
  const { value, requestPolicy: policy } = capacity;
  if (asked === undefined) return policy?.default ?? value;
  return policy === undefined ? asked : roundedUp(asked, policy);
}

function violates(amount: string, policy: Policy | undefined): boolean {
  if (policy === undefined) return false;
  const { validRange, validValues = [] } = policy;
  const standard = policy.default ?? undefined;
  if (standard !== undefined && compareQuantity(amount, standard) === 0) return false;
  if (validRange !== undefined) {
    const { min = "0", max, step } = validRange;
    if (max !== undefined && compareQuantity(amount, max) > 0) return true;
    return (
      step !== undefined && (quantityValue(amount) - quantityValue(min)) % quantityValue(step) !== 0
    );
  }
  if (validValues.length === 0) return false;
  return !validValues.some((value) => compareQuantity(value, amount) === 0);
}

/** What the request takes of each capacity of the device. */
export function consumption(
  required: Requirements,
  capacities: Capacities,
): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(capacities).map(([name, capacity]) => [
      name,
      consumedAmount(required?.requests?.[name], capacity),
    ]),
  );
}

/** Whether the device has what is asked for, besides what is `taken`. */
export function hasCapacity(
  { capacity: capacities = {} }: LiveDevice,
  required: Requirements,
  taken: readonly (Consumed | undefined)[],
): boolean {
  const asked = Object.keys(required?.requests ?? {});
  if (!asked.every((name) => Object.hasOwn(capacities, name))) return false;
  return Object.entries(consumption(required, capacities)).every(([name, amount]) => {
    const capacity = capacities[name] as Capacities[string];
    if (violates(amount, capacity.requestPolicy)) return false;
    const before = taken.reduce((sum, one) => sum + (one?.get(name) ?? 0n), 0n);
    return before + parseQuantity(amount).nano <= parseQuantity(capacity.value).nano;
  });
}
