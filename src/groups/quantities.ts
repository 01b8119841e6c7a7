/** Quantities as the rows' rules need them. */
import type { FieldError } from "../api/resource-definition.ts";
import { compareQuantity, quantityRule, tryParseQuantity } from "../lib/quantity.ts";
import { invalid } from "./field-errors.ts";

export function quantityErrors(field: string, text: string): FieldError[] {
  return tryParseQuantity(text) === undefined ? [invalid(field, text, quantityRule)] : [];
}

/** Below, equal or above 0 as `a` is to `b`; 0 when either is no quantity. */
export function compareQuantities(a: string, b: string): number {
  const isKnown = tryParseQuantity(a) !== undefined && tryParseQuantity(b) !== undefined;
  return isKnown ? compareQuantity(a, b) : 0;
}
