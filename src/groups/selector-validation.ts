/** Rules of label selectors as objects. */
import type { FieldError } from "../api/resource-definition.ts";
import type { LabelSelector } from "../gen/meta-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { labelKeyErrors, labelValueErrors } from "../lib/names.ts";
import { forbidden, invalid, invalids, required } from "./field-errors.ts";

const selectorOperators = ["In", "NotIn", "Exists", "DoesNotExist"];

/** The errors of a meta/v1 LabelSelector. */
export function validateSelector(
  selector: DeepReadonly<LabelSelector> | undefined,
  field: string,
): FieldError[] {
  const errors: FieldError[] = [];
  for (const [key, value] of Object.entries(selector?.matchLabels ?? {})) {
    errors.push(...invalids(`${field}.matchLabels`, key, labelKeyErrors(key)));
    errors.push(...invalids(`${field}.matchLabels`, value, labelValueErrors(value)));
  }
  (selector?.matchExpressions ?? []).forEach((expression, index) => {
    const at = `${field}.matchExpressions[${index}]`;
    const values = expression.values ?? [];
    if (!selectorOperators.includes(expression.operator))
      errors.push(invalid(`${at}.operator`, expression.operator, "not a valid selector operator"));
    else if (expression.operator.endsWith("In") && values.length === 0)
      errors.push(required(`${at}.values`, "must be specified when `operator` is 'In' or 'NotIn'"));
    else if (!expression.operator.endsWith("In") && values.length > 0)
      errors.push(
        forbidden(
          `${at}.values`,
          "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
        ),
      );
    errors.push(...invalids(`${at}.key`, expression.key, labelKeyErrors(expression.key)));
    values.forEach((value, at2) => {
      errors.push(...invalids(`${at}.values[${at2}]`, value, labelValueErrors(value)));
    });
  });
  return errors;
}
