/** The conditions that a pod waits for before it is bound to where its devices are. */
import type { FieldError } from "../../api/resource-definition.ts";
import { duplicate, invalid } from "../field-errors.ts";
import { validateList } from "./lists.ts";
import { validateLabelKey } from "./names.ts";

const limits = { conditionsMax: 4 } as const;

interface Conditions {
  readonly bindingConditions?: readonly string[];
  readonly bindingFailureConditions?: readonly string[];
}

function duplicates(list: readonly string[], index: number): boolean {
  return list.indexOf(list[index] as string) < index;
}

/** The errors of the conditions of a device, or of its allocation. */
export function validateBindingConditions(
  { bindingConditions: wanted = [], bindingFailureConditions: failing = [] }: Conditions,
  at: string,
): FieldError[] {
  const [good, bad] = [`${at}.bindingConditions`, `${at}.bindingFailureConditions`];
  const errors = [
    ...validateList(wanted, limits.conditionsMax, good, validateLabelKey),
    ...validateList(failing, limits.conditionsMax, bad, validateLabelKey),
  ];
  wanted.forEach((condition, index) => {
    if (duplicates(wanted, index)) errors.push(duplicate(`${good}[${index}]`, condition));
  });
  failing.forEach((condition, index) => {
    const field = `${bad}[${index}]`;
    if (duplicates(failing, index)) errors.push(duplicate(field, condition));
    if (wanted.includes(condition)) {
      const rule = "bindingFailureConditions must not overlap with bindingConditions";
      errors.push(invalid(field, condition, rule));
    }
  });
  const missing = (here: string, there: string): string => `${here} are required to use ${there}`;
  if (wanted.length === 0 && failing.length > 0)
    errors.push(invalid(good, null, missing("bindingConditions", "bindingFailureConditions")));
  if (failing.length === 0 && wanted.length > 0)
    errors.push(invalid(bad, null, missing("bindingFailureConditions", "bindingConditions")));
  return errors;
}
