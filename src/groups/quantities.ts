/** Quantities as the rows' rules need them. */
import type { FieldError } from "../api/resource-definition.ts";
import { invalid } from "./field-errors.ts";

const pattern = /^([+-]?[0-9.]+)([eE][-+]?[0-9]+|[numkKMGTPE]i?|)$/;
const powers: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  "": 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

/** The amount as a number; NaN when it is no quantity. */
export function quantityValue(text: string): number {
  const found = pattern.exec(text);
  if (found === null) return Number.NaN;
  const [, digits = "", suffix = ""] = found;
  const power = powers[suffix];
  if (power !== undefined) {
    // 100m and 0.1 must come out equal: divide where a power below one would round.
    return power < 1 ? Number(digits) / Math.round(1 / power) : Number(digits) * power;
  }
  return Number(`${digits}${suffix}`);
}

export function quantityErrors(field: string, text: unknown): FieldError[] {
  if (typeof text === "number" || (typeof text === "string" && !Number.isNaN(quantityValue(text))))
    return [];
  return [
    invalid(
      field,
      text,
      "quantities must match the regular expression " +
        "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    ),
  ];
}

export function compareQuantities(a: string, b: string): number {
  return Math.sign(quantityValue(String(a)) - quantityValue(String(b)));
}
