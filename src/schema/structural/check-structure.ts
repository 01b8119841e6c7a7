/**
 * Whether a schema is structural: every field has its type outside of allOf, anyOf, oneOf and not,
 * which may only restrict values further.
 */
import { linearRegexp } from "../../lib/regexp/regexp.ts";
import { forbidden, invalid, mustBe, required } from "./problems.ts";
import type { Structural } from "./schema.ts";
import type { SchemaProblem } from "./validate.ts";

type Level = "root" | "item" | "field";

const intOrString = [{ type: "integer" }, { type: "string" }];

/** The problems of `schema`, which stands at `path`, sorted by their text. */
export function checkStructure(schema: Structural, path: string): readonly SchemaProblem[] {
  const found = [...checkNode(schema, "root", path), ...checkCompleteness(schema, path)];
  const text = ({ field, detail }: SchemaProblem): string => `${field}: ${detail}`;
  return found.sort((a, b) => (text(a) < text(b) ? -1 : 1));
}

function* checkNode(schema: Structural, level: Level, path: string): Generator<SchemaProblem> {
  const { type, items, properties = {}, additionalProperties } = schema;
  if (type === "array" && items === undefined) yield required(`${path}.items`, "must be specified");
  if (items !== undefined) yield* checkNode(items, "item", `${path}.items`);
  for (const [name, inner] of Object.entries(properties)) {
    yield* checkNode(inner, "field", `${path}.properties[${name}]`);
  }
  if (additionalProperties !== undefined) {
    const at = `${path}.additionalProperties`;
    if (level === "root") yield forbidden(at, "must not be used at the root");
    if (typeof additionalProperties === "object") {
      yield* checkNode(additionalProperties, "field", at);
    }
  }
  yield* checkExtensions(schema, path);
  yield* checkValues(schema, path);
  yield* checkType(schema, level, path);
  yield* checkMembers(schema, level, path);
}

function* checkExtensions(schema: Structural, path: string): Generator<SchemaProblem> {
  if (schema["x-kubernetes-int-or-string"] !== true) return;
  const detail = "must be false if x-kubernetes-int-or-string is true";
  for (const name of [
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-embedded-resource",
  ] as const) {
    if (schema[name] === true) yield invalid(`${path}.${name}`, true, detail);
  }
}

function* checkType(schema: Structural, level: Level, path: string): Generator<SchemaProblem> {
  const { type = "" } = schema;
  const at = `${path}.type`;
  if (schema["x-kubernetes-embedded-resource"] === true && type !== "object") {
    yield mustBe(at, type, "must be object if x-kubernetes-embedded-resource is true");
  } else if (type === "" && !mayLackType(schema)) {
    const where = { root: "at the root", item: "for specified array items" };
    const text = level === "field" ? "for specified object fields" : where[level];
    yield required(at, `must not be empty ${text}`);
  }
  if (schema["x-kubernetes-embedded-resource"] === true) {
    if (schema.additionalProperties !== undefined) {
      const detail = "must not be used if x-kubernetes-embedded-resource is set";
      yield forbidden(`${path}.additionalProperties`, detail);
    }
  }
  if (level === "root" && type !== "" && type !== "object") {
    yield invalid(at, type, "must be object at the root");
  }
}

function mayLackType(schema: Structural): boolean {
  return (
    schema["x-kubernetes-int-or-string"] === true ||
    schema["x-kubernetes-preserve-unknown-fields"] === true
  );
}

/** apiVersion, kind and metadata of the object itself and of embedded ones. */
function* checkMembers(schema: Structural, level: Level, path: string): Generator<SchemaProblem> {
  const isResource = schema["x-kubernetes-embedded-resource"] === true;
  const { properties = {} } = schema;
  if (level === "root" || isResource) {
    for (const name of ["kind", "apiVersion"]) {
      const member = properties[name];
      if (member !== undefined && member.type !== "string") {
        const value = member.type ?? "";
        yield invalid(`${path}.properties[${name}].type`, value, "must be string");
      }
    }
    const { metadata } = properties;
    const at = `${path}.properties[metadata]`;
    if (metadata !== undefined && metadata.type !== "object") {
      yield invalid(`${at}.type`, metadata.type ?? "", "must be object");
    }
    if (level === "root" && metadata !== undefined && !isPlainMetadata(metadata)) {
      const detail =
        "must not specify anything other than name and generateName, but metadata is implicitly " +
        "specified";
      yield forbidden(at, detail);
    }
  }
  const preserves = schema["x-kubernetes-preserve-unknown-fields"] === true;
  if (isResource && !preserves && Object.keys(properties).length === 0) {
    const detail =
      "must not be empty if x-kubernetes-embedded-resource is true without " +
      "x-kubernetes-preserve-unknown-fields";
    yield required(`${path}.properties`, detail);
  }
}

function isPlainMetadata(metadata: Structural): boolean {
  const { type: _t, default: _d, properties = {}, ...rest } = metadata;
  const known = Object.keys(properties).every((name) => ["name", "generateName"].includes(name));
  const isEmpty = Object.values(rest).every((value) => value === undefined || value === false);
  return known && isEmpty;
}

function* checkValues(schema: Structural, path: string): Generator<SchemaProblem> {
  const { allOf = [], anyOf = [], oneOf = [], not, pattern } = schema;
  const isEither = (some: readonly Structural[] | undefined): boolean =>
    some !== undefined && Bun.deepEquals(some, intOrString, true);
  if (!isEither(anyOf)) yield* checkAll(anyOf, `${path}.anyOf`);
  for (const [index, inner] of allOf.entries()) {
    const isMarked = index === 0 && isEither(inner.anyOf);
    const { anyOf: _, ...others } = inner;
    yield* checkNested(isMarked ? others : inner, `${path}.allOf[${index}]`);
  }
  yield* checkAll(oneOf, `${path}.oneOf`);
  if (not !== undefined) yield* checkNested(not, `${path}.not`);
  if (pattern) {
    try {
      linearRegexp(pattern);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      const detail = `must be a valid regular expression, but isn't: ${why}`;
      yield invalid(`${path}.pattern`, pattern, detail);
    }
  }
}

function* checkAll(schemas: readonly Structural[], path: string): Generator<SchemaProblem> {
  for (const [index, schema] of schemas.entries()) yield* checkNested(schema, `${path}[${index}]`);
}

/** What a schema below allOf, anyOf, oneOf and not must leave to the one around it. */
const nestedForbidden: readonly (readonly [name: string, detail: string])[] = [
  ["type", "must be empty to be structural"],
  ["additionalProperties", "must be undefined to be structural"],
  ["default", "must be undefined to be structural"],
  ["title", "must be empty to be structural"],
  ["description", "must be empty to be structural"],
  ["nullable", "must be false to be structural"],
  ["x-kubernetes-preserve-unknown-fields", "must be false to be structural"],
  ["x-kubernetes-embedded-resource", "must be false to be structural"],
  ["x-kubernetes-int-or-string", "must be false to be structural"],
  ["x-kubernetes-list-map-keys", "must be empty to be structural"],
  ["x-kubernetes-list-type", "must be undefined to be structural"],
  ["x-kubernetes-map-type", "must be undefined to be structural"],
  ["x-kubernetes-validations", "must be empty to be structural"],
];

function* checkNested(schema: Structural, path: string): Generator<SchemaProblem> {
  yield* checkValues(schema, path);
  if (schema.items !== undefined) yield* checkNested(schema.items, `${path}.items`);
  for (const [name, inner] of Object.entries(schema.properties ?? {})) {
    yield* checkNested(inner, `${path}.properties[${name}]`);
  }
  for (const [name, detail] of nestedForbidden) {
    const value = schema[name as keyof Structural];
    if (value !== undefined && value !== false && value !== "") {
      yield forbidden(`${path}.${name}`, detail);
    }
  }
  if (schema.properties?.metadata !== undefined) {
    yield forbidden(`${path}.properties[metadata]`, "must not be specified in a nested context");
  }
}

/** Fields that value restrictions name must be there outside of them. */
function* checkCompleteness(schema: Structural, path: string): Generator<SchemaProblem> {
  const { allOf = [], anyOf = [], oneOf = [], not } = schema;
  for (const [word, some] of Object.entries({ allOf, anyOf, oneOf })) {
    for (const [index, inner] of some.entries()) {
      yield* checkNamed(inner, schema, `${path}.${word}[${index}]`, path);
    }
  }
  if (not !== undefined) yield* checkNamed(not, schema, `${path}.not`, path);
}

function* checkNamed(
  nested: Structural,
  structure: Structural | undefined,
  path: string,
  structurePath: string,
): Generator<SchemaProblem> {
  const { items, properties = {} } = nested;
  const because = `because it is defined in ${path}`;
  if (items !== undefined) {
    if (structure?.items === undefined) {
      yield required(`${structurePath}.items`, `${because}.items`);
    } else yield* checkNamed(items, structure.items, `${path}.items`, `${structurePath}.items`);
  }
  for (const [name, inner] of Object.entries(properties)) {
    const member = structure?.properties?.[name];
    const at = `properties[${name}]`;
    if (member === undefined) yield required(`${structurePath}.${at}`, `${because}.${at}`);
    else yield* checkNamed(inner, member, `${path}.${at}`, `${structurePath}.${at}`);
  }
  for (const word of ["allOf", "anyOf", "oneOf"] as const) {
    for (const [index, inner] of (nested[word] ?? []).entries()) {
      yield* checkNamed(inner, structure, `${path}.${word}[${index}]`, structurePath);
    }
  }
  if (nested.not !== undefined) {
    yield* checkNamed(nested.not, structure, `${path}.not`, structurePath);
  }
}
