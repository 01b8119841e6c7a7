/** Makers of the problems of a schema, worded as Kubernetes words them. */
import type { SchemaProblem } from "./validate.ts";

export function required(field: string, detail = ""): SchemaProblem {
  return { type: "FieldValueRequired", field, detail };
}

export function forbidden(field: string, detail: string): SchemaProblem {
  return { type: "FieldValueForbidden", field, detail };
}

export function invalid(field: string, value: unknown, detail: string): SchemaProblem {
  return { type: "FieldValueInvalid", field, value, detail };
}

export function notSupported(
  field: string,
  value: unknown,
  supported: readonly string[],
): SchemaProblem {
  const quoted = supported.map((one) => JSON.stringify(one));
  const detail = `supported values: ${quoted.join(", ")}`;
  return { type: "FieldValueNotSupported", field, value, detail };
}

/** Required where `value` is empty, else invalid. */
export function mustBe(field: string, value: string | undefined, detail: string): SchemaProblem {
  return value ? invalid(field, value, detail) : required(field, detail);
}
