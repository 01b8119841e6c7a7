/** Makers of field errors, worded as Kubernetes words them. */
import type { FieldError } from "../api/resource-definition.ts";

export type Errors = FieldError[];

export function required(field: string, detail = ""): FieldError {
  return { type: "FieldValueRequired", field, detail };
}
export function invalid(field: string, value: unknown, detail: string): FieldError {
  // Go has no value that is not there.
  return { type: "FieldValueInvalid", field, value: value ?? null, detail };
}
export function duplicate(field: string, value: unknown): FieldError {
  return { type: "FieldValueDuplicate", field, value, detail: "" };
}
export function forbidden(field: string, detail: string): FieldError {
  return { type: "FieldValueForbidden", field, detail };
}
export function notFound(field: string, value: unknown): FieldError {
  return { type: "FieldValueNotFound", field, value, detail: "" };
}
export function notSupported(
  field: string,
  value: unknown,
  supported: readonly string[],
): FieldError {
  const quoted = supported.map((one) => JSON.stringify(one));
  return {
    type: "FieldValueNotSupported",
    field,
    value,
    detail: `supported values: ${quoted.join(", ")}`,
  };
}
export function tooLong(field: string, max: number): FieldError {
  return { type: "FieldValueTooLong", field, detail: `may not be more than ${max} bytes` };
}

export function tooMany(field: string, count: number, max: number): FieldError {
  const detail = `must have at most ${max} ${max === 1 ? "item" : "items"}`;
  return { type: "FieldValueTooMany", field, value: count, detail };
}

/** One Invalid per message. */
export function invalids(field: string, value: unknown, details: readonly string[]): FieldError[] {
  return details.map((detail) => invalid(field, value, detail));
}

/** An error unless `value` is one of `supported`; absent is required. */
export function oneOf(
  field: string,
  value: string | undefined,
  supported: readonly string[],
): FieldError[] {
  if (!value) return [required(field)];
  return supported.includes(value) ? [] : [notSupported(field, value, supported)];
}

/** As `oneOf`, where what is absent is as wrong as anything else. */
export function supported(
  field: string,
  value: string | undefined,
  known: readonly string[],
): FieldError[] {
  return known.includes(value ?? "") ? [] : [notSupported(field, value ?? "", known)];
}

export const nonNegativeDetail = "must be greater than or equal to 0";

export function nonNegative(field: string, value: number | undefined): FieldError[] {
  return value !== undefined && value < 0 ? [invalid(field, value, nonNegativeDetail)] : [];
}

export function portNumber(field: string, value: number | undefined): FieldError[] {
  if (value === undefined || !Number.isInteger(value) || value < 1 || value > 65535)
    return [invalid(field, value ?? 0, "must be between 1 and 65535, inclusive")];
  return [];
}
