/** Checks custom resources against their schema; wording and order follow Kubernetes'. */
import { isInt64 } from "../../lib/exact-json.ts";
import { linearRegexp, TooManySteps } from "../../lib/regexp/regexp.ts";
import { semanticEqual } from "../../lib/semantic-equal.ts";
import { formatProblem } from "./formats.ts";
import { correlated, type Old } from "./ratchet.ts";
import { isJson, type Json, memberSchema, type Structural } from "./schema.ts";

/** One wrong field; the same shape as the API's field errors. */
export interface SchemaProblem {
  readonly type:
    | "FieldValueRequired"
    | "FieldValueInvalid"
    | "FieldValueNotSupported"
    | "FieldValueTooLong"
    | "FieldValueTooMany"
    | "FieldValueTypeInvalid"
    | "FieldValueForbidden"
    | "FieldValueDuplicate";
  readonly field: string;
  readonly value?: unknown;
  readonly detail: string;
}

interface Result {
  readonly problems: readonly SchemaProblem[];
  /** How many checks were made: which of several failed alternatives came closest. */
  readonly checks: number;
}

const none: Result = { problems: [], checks: 1 };

export interface ValidateOptions {
  /** Before every field name, for example `status.`. */
  readonly prefix?: string;
  /** What is stored: parts that did not change are not held against the writer. */
  readonly old?: Old;
}

/** All that is wrong with `value`; empty when it fits. */
export function validateStructural(
  value: unknown,
  schema: Structural,
  options: ValidateOptions = {},
): readonly SchemaProblem[] {
  const { prefix = "", old } = options;
  return check(value, schema, "", old).problems.map((problem) => ({
    ...problem,
    field: problem.field === "" ? prefix.replace(/\.$/, "") : fieldOf(prefix, problem.field),
  }));
}

/** What stands for no field at all: alternatives that concern a whole. */
const noField = "<nil>";

function fieldOf(prefix: string, field: string): string {
  if (field === noField) return prefix === "" ? noField : prefix.replace(/\.$/, "");
  return `${prefix}${field}`;
}

function check(value: unknown, schema: Structural, path: string, old: Old): Result {
  const results = [...checksOf(value, schema, path, old)];
  const problems = results.flatMap((result) => result.problems);
  const checks = results.reduce((sum, result) => sum + result.checks, 1);
  const isUnchanged = problems.length > 0 && old !== undefined && semanticEqual(old.value, value);
  return { problems: isUnchanged ? [] : problems, checks };
}

function* checksOf(value: unknown, schema: Structural, path: string, old: Old): Generator<Result> {
  yield checkType(value, schema, path);
  if (value === null) {
    yield checkEnum(value, schema, path);
    return;
  }
  yield* alternatives(value, schema, path);
  if (typeof value === "string") yield checkString(value, schema, path);
  if (typeof value === "number" || typeof value === "bigint")
    yield checkNumber(value, schema, path);
  if (Array.isArray(value)) yield* checkList(value, schema, path, old);
  yield checkEnum(value, schema, path);
  if (isJson(value)) yield* checkObject(value, schema, path, old);
}

function wrong(path: string, value: unknown, text: string): Result {
  const problem = { field: path, value, detail: `${path} in body ${text}` };
  return { problems: [{ type: "FieldValueInvalid", ...problem }], checks: 0 };
}

function typeName(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  if (isInt64(value)) return "integer";
  return typeof value;
}

function checkType(value: unknown, schema: Structural, path: string): Result {
  const isEither = schema["x-kubernetes-int-or-string"] === true;
  const wanted = isEither ? ["integer", "string"] : schema.type ? [schema.type] : [];
  if (wanted.length === 0) return none;
  const actual = typeName(value);
  if (value === null && schema.nullable === true) return none;
  if (wanted.includes(actual) || (actual === "integer" && wanted.includes("number"))) return none;
  const detail = `${path} in body must be of type ${wanted.join(",")}: ${JSON.stringify(actual)}`;
  const problem = { type: "FieldValueTypeInvalid", field: path, value: actual, detail } as const;
  const isFraction = actual === "number" && schema.type === "integer" && !isEither;
  if (!isFraction || schema.format !== undefined) return { problems: [problem], checks: 0 };
  const again = `Checked value must be of type integer (default format) in ${path}`;
  const second = { type: "FieldValueInvalid", field: "<nil>", value: "", detail: again } as const;
  return { problems: [problem, second], checks: 0 };
}

function checkEnum(value: unknown, schema: Structural, path: string): Result {
  const { enum: allowed } = schema;
  if (allowed === undefined || allowed.some((one) => deepEqual(one, value))) return none;
  const texts = allowed.map((one) => (typeof one === "string" ? one : JSON.stringify(one)));
  const quoted = texts.map((text) => JSON.stringify(text));
  const detail = `supported values: ${quoted.join(", ")}`;
  return { problems: [{ type: "FieldValueNotSupported", field: path, value, detail }], checks: 0 };
}

function deepEqual(a: unknown, b: unknown): boolean {
  return a === b || Bun.deepEquals(a, b, true);
}

function checkString(value: string, schema: Structural, path: string): Result {
  const { minLength, maxLength, pattern, format } = schema;
  const length = [...value].length;
  if (maxLength !== undefined && length > maxLength) {
    const detail = `may not be more than ${maxLength} bytes`;
    return { problems: [{ type: "FieldValueTooLong", field: path, detail }], checks: 0 };
  }
  if (minLength !== undefined && length < minLength) {
    return wrong(path, value, `should be at least ${minLength} chars long`);
  }
  if (pattern !== undefined && pattern !== "" && !matches(pattern, value)) {
    return wrong(path, value, `should match '${pattern}'`);
  }
  const isText = schema.type === undefined || schema.type === "string";
  const text = format === undefined || !isText ? undefined : formatProblem(format, value);
  if (text === undefined) return none;
  const detail = `${path} in body ${text}`;
  const problem = { type: "FieldValueTypeInvalid", field: path, value, detail } as const;
  return { problems: [problem], checks: 0 };
}

/** Go's expressions, in time that grows with the text only, whatever the expression. */
function matches(pattern: string, value: string): boolean {
  try {
    return linearRegexp(pattern).test(value);
  } catch (error) {
    if (error instanceof TooManySteps) return false;
    throw error;
  }
}

function checkNumber(value: number | bigint, schema: Structural, path: string): Result {
  const { multipleOf, maximum, minimum, format, type } = schema;
  if (multipleOf !== undefined && !isMultiple(value, multipleOf)) {
    return wrong(path, value, `should be a multiple of ${multipleOf}`);
  }
  if (maximum !== undefined) {
    const isExclusive = schema.exclusiveMaximum === true;
    if (value > maximum || (isExclusive && value >= maximum)) {
      return wrong(
        path,
        value,
        `should be less than ${isExclusive ? "" : "or equal to "}${maximum}`,
      );
    }
  }
  if (minimum !== undefined) {
    const isExclusive = schema.exclusiveMinimum === true;
    if (value < minimum || (isExclusive && value <= minimum)) {
      const than = `greater than ${isExclusive ? "" : "or equal to "}`;
      return wrong(path, value, `should be ${than}${minimum}`);
    }
  }
  if (type === "integer" && format === "int32" && !isInt32(value)) {
    return wrong(path, value, `should be of type int32: ${value}`);
  }
  return none;
}

function isInt32(value: number | bigint): boolean {
  return value >= -(2 ** 31) && value < 2 ** 31;
}

function isMultiple(value: number | bigint, factor: number): boolean {
  if (typeof value === "bigint")
    return Number.isInteger(factor) ? value % BigInt(factor) === 0n : true;
  const quotient = factor < 1 ? (1 / factor) * value : value / factor;
  return Math.abs(quotient - Math.round(quotient)) < 1e-9 * Math.max(1, Math.abs(quotient));
}

function* checkList(
  list: readonly unknown[],
  schema: Structural,
  path: string,
  old: Old,
): Generator<Result> {
  const { items, minItems, maxItems } = schema;
  if (items !== undefined) {
    for (const [index, item] of list.entries()) {
      yield check(item, items, `${path}[${index}]`, correlated(old, schema, item));
    }
  }
  const size = list.length;
  if (minItems !== undefined && size < minItems) {
    yield wrong(path, size, `should have at least ${minItems} items`);
  }
  if (maxItems !== undefined && size > maxItems) yield tooMany(path, size, maxItems);
  if (schema.uniqueItems === true && hasDuplicate(list)) {
    yield wrong(path, "", "shouldn't contain duplicates");
  }
}

function tooMany(path: string, count: number, max: number): Result {
  const things = max === 1 ? "item" : "items";
  const detail = `${count}: must have at most ${max} ${things}`;
  return { problems: [{ type: "FieldValueTooMany", field: path, detail }], checks: 0 };
}

function hasDuplicate(list: readonly unknown[]): boolean {
  return list.some((item, index) => list.slice(0, index).some((other) => deepEqual(item, other)));
}

function* checkObject(object: Json, schema: Structural, path: string, old: Old): Generator<Result> {
  const { minProperties, maxProperties, required, properties } = schema;
  const names = Object.keys(object);
  if (minProperties !== undefined && names.length < minProperties) {
    yield wrong(path, names.length, `should have at least ${minProperties} properties`);
  }
  if (maxProperties !== undefined && names.length > maxProperties) {
    yield tooMany(path, names.length, maxProperties);
  }
  const isClosed = schema.additionalProperties === false;
  for (const name of names) {
    const inner = path === "" ? name : `${path}.${name}`;
    const member = memberSchema(schema, name);
    const isNamed = properties !== undefined && Object.hasOwn(properties, name);
    if (isClosed && !isNamed) {
      const detail = `${inner} in body is a forbidden property`;
      const problem = { field: path === "" ? noField : path, value: name, detail };
      yield { problems: [{ type: "FieldValueInvalid", ...problem }], checks: 0 };
    } else if (member !== undefined) {
      yield check(object[name], member, inner, memberOf(old, name));
    }
  }
  for (const name of required ?? []) {
    if (Object.hasOwn(object, name)) continue;
    const field = path === "" ? name : `${path}.${name}`;
    yield { problems: [{ type: "FieldValueRequired", field, detail: "" }], checks: 0 };
  }
}

function memberOf(old: Old, name: string): Old {
  if (old === undefined || !isJson(old.value) || !Object.hasOwn(old.value, name)) return undefined;
  return { value: old.value[name] };
}

function* alternatives(value: unknown, schema: Structural, path: string): Generator<Result> {
  const { anyOf = [], oneOf = [], allOf = [], not } = schema;
  const results = (schemas: readonly Structural[]) =>
    schemas.map((one) => check(value, one, path, undefined));
  const whole = (detail: string): Result => {
    const problem = { field: noField, value: "", detail: `"${path}" ${detail}` };
    return { problems: [{ type: "FieldValueInvalid", ...problem }], checks: 0 };
  };
  if (anyOf.length > 0) {
    const all = results(anyOf);
    if (all.every(isFailed)) {
      yield whole("must validate at least one schema (anyOf)");
      yield closest(all);
    }
  }
  if (oneOf.length > 0) {
    const all = results(oneOf);
    const valid = all.filter((result) => !isFailed(result)).length;
    if (valid !== 1) {
      const found = valid === 0 ? "Found none valid" : `Found ${valid} valid alternatives`;
      yield whole(`must validate one and only one schema (oneOf). ${found}`);
      if (valid === 0) yield closest(all);
    }
  }
  if (allOf.length > 0) {
    const all = results(allOf);
    yield* all;
    if (all.some(isFailed)) {
      const nothing = all.every(isFailed) ? ". None validated" : "";
      yield whole(`must validate all the schemas (allOf)${nothing}`);
    }
  }
  if (not !== undefined && !isFailed(check(value, not, path, undefined))) {
    yield whole("must not validate the schema (not)");
  }
}

function isFailed(result: Result): boolean {
  return result.problems.length > 0;
}

/** The failed alternative that went furthest: its complaints help most. */
function closest(results: readonly Result[]): Result {
  return results.reduce((best, next) => (next.checks > best.checks ? next : best));
}
