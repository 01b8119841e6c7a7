/** Which keywords a schema may use, and how they go together. */
import { normalizedFieldPath } from "./field-path.ts";
import { forbidden, invalid, mustBe, notSupported, required } from "./problems.ts";
import { isJson, type Json, objectMembers, type Structural } from "./schema.ts";
import type { SchemaProblem } from "./validate.ts";

type Props = Structural & Readonly<Json>;

interface Place {
  readonly path: string;
  readonly isRoot: boolean;
  /** Below apiVersion, kind or metadata of the object or of an embedded one. */
  readonly inMetadata: boolean;
  /** Why no default may be set here. */
  readonly noDefaults?: string;
}

const types = ["array", "boolean", "integer", "number", "object", "string"];

/** The problems of `schema`, which stands at `path`. */
export function checkKeywords(schema: Structural, path: string): readonly SchemaProblem[] {
  return [...check(schema as Props, { path, isRoot: true, inMetadata: false })];
}

function* check(schema: Props, place: Place): Generator<SchemaProblem> {
  const { path } = place;
  yield* checkUnsupported(schema, place);
  if (schema.uniqueItems === true) {
    const why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
    yield forbidden(`${path}.uniqueItems`, why);
  }
  yield* checkBelow(schema, place);
  if (schema["x-kubernetes-preserve-unknown-fields"] === false) {
    const at = `${path}.x-kubernetes-preserve-unknown-fields`;
    yield invalid(at, false, "must be true or undefined");
  }
  yield* checkMapType(schema, path);
  yield* checkListType(schema, path);
  yield* checkListKeys(schema, path);
  yield* checkRules(schema, path);
}

function* checkUnsupported(schema: Props, place: Place): Generator<SchemaProblem> {
  const { path } = place;
  const { type = "" } = schema;
  if (type !== "" && !types.includes(type))
    yield notSupported(`${path}.type`, type, types.toSorted());
  if (schema.default !== undefined && place.noDefaults !== undefined) {
    yield forbidden(`${path}.default`, `must not be set ${place.noDefaults}`);
  }
  for (const name of ["id", "additionalItems", "patternProperties", "definitions"]) {
    if (isSet(schema[name])) yield forbidden(`${path}.${name}`, `${name} is not supported`);
  }
  for (const name of ["dependencies", "$ref"]) {
    if (schema[name] !== undefined) yield forbidden(`${path}.${name}`, `${name} is not supported`);
  }
  if (type === "null") {
    const detail = "type cannot be set to null, use nullable as an alternative";
    yield forbidden(`${path}.type`, detail);
  }
  if (Array.isArray(schema.items)) {
    yield forbidden(`${path}.items`, "items must be a schema object and not an array");
  }
  if (place.inMetadata && schema["x-kubernetes-embedded-resource"] === true) {
    const at = `${path}.x-kubernetes-embedded-resource`;
    yield forbidden(at, "must not be used inside of resource meta");
  }
}

function isSet(value: unknown): boolean {
  if (value === undefined || value === "") return false;
  return !isJson(value) || Object.keys(value).length > 0;
}

function* checkBelow(schema: Props, place: Place): Generator<SchemaProblem> {
  const { path, inMetadata } = place;
  const { additionalProperties, properties = {}, items } = schema;
  const inner = { ...place, isRoot: false };
  if (additionalProperties !== undefined) {
    const at = `${path}.additionalProperties`;
    if (Object.keys(properties).length > 0 && additionalProperties !== true) {
      yield forbidden(at, "additionalProperties and properties are mutual exclusive");
    }
    const noDefaults = "inside additionalProperties applying to object metadata";
    const below = { ...inner, path: at, ...(inMetadata && { noDefaults }) };
    if (typeof additionalProperties === "object")
      yield* check(additionalProperties as Props, below);
  }
  const isResource = place.isRoot || schema["x-kubernetes-embedded-resource"] === true;
  for (const [name, member] of Object.entries(properties)) {
    const below = { ...inner, path: `${path}.properties[${name}]` };
    if (isResource && objectMembers.has(name)) {
      below.inMetadata = true;
      if (place.isRoot) Object.assign(below, { noDefaults: `in top-level ${name}` });
    }
    yield* check(member as Props, below);
  }
  if (isJson(schema.not)) yield* check(schema.not as Props, { ...inner, path: `${path}.not` });
  for (const word of ["allOf", "oneOf", "anyOf"] as const) {
    for (const [index, part] of (schema[word] ?? []).entries()) {
      yield* check(part as Props, { ...inner, path: `${path}.${word}[${index}]` });
    }
  }
  if (isJson(items)) yield* check(items as Props, { ...inner, path: `${path}.items` });
}

function* checkMapType(schema: Props, path: string): Generator<SchemaProblem> {
  const mapType = schema["x-kubernetes-map-type"];
  if (mapType === undefined) return;
  if (schema.type !== "object") {
    const detail = "must be object if x-kubernetes-map-type is specified";
    yield mustBe(`${path}.type`, schema.type, detail);
  }
  const known = ["atomic", "granular"];
  if (!known.includes(mapType)) {
    yield notSupported(`${path}.x-kubernetes-map-type`, mapType, known);
  }
}

function* checkListType(schema: Props, path: string): Generator<SchemaProblem> {
  const listType = schema["x-kubernetes-list-type"];
  if (listType === undefined) return;
  const { items } = schema;
  const at = `${path}.items`;
  if (schema.type !== "array") {
    const detail = "must be array if x-kubernetes-list-type is specified";
    yield mustBe(`${path}.type`, schema.type, detail);
  } else if (listType === "set" && isJson(items)) {
    const detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
    const inner = items["x-kubernetes-list-type"];
    if (items.type === "array" && inner !== undefined && inner !== "atomic") {
      yield invalid(`${at}.x-kubernetes-list-type`, inner, detail);
    }
    if (items.type === "object" && items["x-kubernetes-map-type"] !== "atomic") {
      yield invalid(`${at}.x-kubernetes-map-type`, null, detail);
    }
  }
  const known = ["atomic", "set", "map"];
  if (!known.includes(listType)) {
    yield notSupported(`${path}.x-kubernetes-list-type`, listType, known);
  }
  if ((listType === "set" || listType === "map") && isJson(items) && items.nullable === true) {
    const detail = `cannot be nullable when x-kubernetes-list-type is ${listType}`;
    yield forbidden(`${at}.nullable`, detail);
  }
}

function* checkListKeys(schema: Props, path: string): Generator<SchemaProblem> {
  const keys = schema["x-kubernetes-list-map-keys"] ?? [];
  const listType = schema["x-kubernetes-list-type"];
  const at = `${path}.x-kubernetes-list-map-keys`;
  if (listType !== "map") {
    if (keys.length === 0) return;
    const detail = "must be map if x-kubernetes-list-map-keys is non-empty";
    yield mustBe(`${path}.x-kubernetes-list-type`, listType, detail);
    return;
  }
  if (keys.length === 0) yield required(at, "must not be empty if x-kubernetes-list-type is map");
  const { items } = schema;
  if (items === undefined) {
    yield required(`${path}.items`, "must have a schema if x-kubernetes-list-type is map");
    return;
  }
  if (items.type !== "object") {
    const detail = "must be object if parent array's x-kubernetes-list-type is map";
    yield invalid(`${path}.items.type`, items.type ?? "", detail);
    return;
  }
  for (const [index, key] of keys.entries()) {
    const member = items.properties?.[key];
    const place = `${path}.items.properties[${key}]`;
    if (member === undefined)
      yield invalid(at, keys, "entries must all be names of item properties");
    else yield* checkListKey(member, place, items.required?.includes(key) === true);
    if (keys.indexOf(key) < index) yield invalid(at, keys, "must not contain duplicate entries");
  }
}

function* checkListKey(
  member: Structural,
  path: string,
  isRequired: boolean,
): Generator<SchemaProblem> {
  if (member.type === "array" || member.type === "object") {
    const detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
    yield invalid(`${path}.type`, "object", detail);
  }
  const isKey = "this property is in x-kubernetes-list-map-keys, so it";
  if (!isRequired && member.default === undefined) {
    yield required(`${path}.default`, `${isKey} must have a default or be a required property`);
  }
  if (member.nullable === true) yield forbidden(`${path}.nullable`, `${isKey} cannot be nullable`);
}

const reasons = [
  "FieldValueDuplicate",
  "FieldValueForbidden",
  "FieldValueInvalid",
  "FieldValueRequired",
];

function* checkRules(schema: Props, path: string): Generator<SchemaProblem> {
  for (const [index, rule] of (schema["x-kubernetes-validations"] ?? []).entries()) {
    const at = `${path}.x-kubernetes-validations[${index}]`;
    const { message = "", messageExpression = "", reason, fieldPath = "" } = rule;
    const hasMessage = message.trim() !== "";
    if ((rule.rule ?? "").trim() === "") yield required(`${at}.rule`, "rule is not specified");
    else if (message !== "" && !hasMessage) {
      yield invalid(`${at}.message`, message, "must be non-empty if specified");
    } else if (hasLineBreak(message.trim())) {
      yield invalid(`${at}.message`, message, "must not contain line breaks");
    } else if (hasLineBreak(rule.rule.trim()) && !hasMessage) {
      const detail = "message must be specified if rule contains line breaks";
      yield required(`${at}.message`, detail);
    }
    if (messageExpression !== "" && messageExpression.trim() === "") {
      const detail = "messageExpression must be non-empty if specified";
      yield required(`${at}.messageExpression`, detail);
    }
    if (reason !== undefined && !reasons.includes(reason)) {
      yield notSupported(`${at}.reason`, reason, reasons);
    }
    if (fieldPath !== "" && fieldPath.trim() === "") {
      yield invalid(`${at}.fieldPath`, fieldPath, "must be non-empty if specified");
    }
    if (hasLineBreak(fieldPath)) {
      yield invalid(`${at}.fieldPath`, fieldPath, "must not contain line breaks");
    }
    if (fieldPath !== "" && normalizedFieldPath(fieldPath, schema) === undefined) {
      yield invalid(`${at}.fieldPath`, fieldPath, "must be a valid path");
    }
  }
}

function hasLineBreak(text: string): boolean {
  return /[\r\n]/.test(text);
}
