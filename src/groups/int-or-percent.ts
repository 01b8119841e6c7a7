/** Rules of fields that hold a number or a percentage. */
import type { FieldError } from "../api/resource-definition.ts";
import { invalid, nonNegative } from "./field-errors.ts";

/** The errors of `value`; percentages above `percentMax` are too much. */
export function validateIntOrPercent(
  value: number | string | undefined,
  field: string,
  percentMax = Number.POSITIVE_INFINITY,
): FieldError[] {
  if (value === undefined) return [];
  if (typeof value === "number") return nonNegative(field, value);
  if (!/^[0-9]+%$/.test(value))
    return [
      invalid(
        field,
        value,
        "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  " +
          "or '93%', regex used for validation is '[0-9]+%')",
      ),
    ];
  if (Number(value.slice(0, -1)) > percentMax)
    return [invalid(field, value, `must not be greater than ${percentMax}%`)];
  return [];
}
