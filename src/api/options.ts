/** The options of a write, from the query: dryRun, fieldManager, fieldValidation. */
import { ApiError } from "../lib/api-error.ts";
import { invalid } from "./errors.ts";
import type { ApiRequest } from "./request.ts";
import type { FieldError } from "./resource-definition.ts";

const limits = { fieldManagerCharactersMax: 128 } as const;

const optionsKinds: Readonly<Record<string, string>> = {
  create: "CreateOptions",
  update: "UpdateOptions",
  patch: "PatchOptions",
  delete: "DeleteOptions",
  deletecollection: "DeleteOptions",
};

export interface WriteQuery {
  readonly dryRun: boolean;
  readonly fieldValidation: "Ignore" | "Warn" | "Strict";
}

/** Throws Invalid for values that no server knows. */
export function readWriteQuery(request: ApiRequest): WriteQuery {
  const kind = optionsKinds[request.verb];
  if (kind === undefined) return { dryRun: false, fieldValidation: "Ignore" };
  const { query } = request;
  const dryRuns = query.getAll("dryRun");
  const fieldManager = query.get("fieldManager") ?? "";
  const fieldValidation = query.get("fieldValidation") || "Warn";
  const errors = [
    ...dryRunErrors(dryRuns),
    ...fieldManagerErrors(fieldManager),
    ...(request.verb === "patch" ? applyErrors(request, fieldManager) : []),
    ...fieldValidationErrors(fieldValidation),
  ];
  if (errors.length > 0) throw invalid({ group: "meta.k8s.io", plural: "", kind }, "", errors);
  return {
    dryRun: dryRuns.length > 0,
    fieldValidation: fieldValidation as WriteQuery["fieldValidation"],
  };
}

export function dryRunErrors(values: readonly string[]): readonly FieldError[] {
  if (values.every((value) => value === "All")) return [];
  const detail = 'supported values: "All"';
  return [{ type: "FieldValueNotSupported", field: "dryRun", value: values, detail }];
}

/** Only an apply may use force, and it must say who applies. */
function applyErrors(request: ApiRequest, fieldManager: string): readonly FieldError[] {
  const isApply = request.contentType.startsWith("application/apply-patch+");
  if (!isApply && request.query.has("force")) {
    const detail = "may not be specified for non-apply patch";
    return [{ type: "FieldValueForbidden", field: "force", detail }];
  }
  if (!isApply || fieldManager !== "") return [];
  const detail = "is required for apply patch";
  return [{ type: "FieldValueRequired", field: "fieldManager", detail }];
}

function fieldManagerErrors(name: string): readonly FieldError[] {
  const field = "fieldManager";
  if (name.length > limits.fieldManagerCharactersMax) {
    const detail = `may not be more than ${limits.fieldManagerCharactersMax} bytes`;
    return [{ type: "FieldValueTooLong", field, detail }];
  }
  const position = [...name].findIndex((one) => !/^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u.test(one));
  if (position < 0) return [];
  const code = ([...name][position]?.codePointAt(0) ?? 0).toString(16).toUpperCase();
  const detail = `invalid character U+${code.padStart(4, "0")} (at position ${position})`;
  return [{ type: "FieldValueInvalid", field, value: name, detail }];
}

function fieldValidationErrors(value: string): readonly FieldError[] {
  if (value === "Ignore" || value === "Warn" || value === "Strict") return [];
  const detail = 'supported values: "", "Ignore", "Strict", "Warn"';
  return [{ type: "FieldValueNotSupported", field: "fieldValidation", value, detail }];
}

/** A whole number in the query; BadRequest for anything else. */
export function wholeNumber(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null || text === "") return undefined;
  if (/^[-+]?\d{1,15}$/.test(text)) return Number(text);
  throw new ApiError("BadRequest", `strconv.ParseInt: parsing "${text}": invalid syntax`);
}

/** Go's idea of a true query value. */
export function isTrue(value: string | null): boolean {
  return value !== null && value !== "false" && value !== "0" && value.toLowerCase() !== "f";
}
