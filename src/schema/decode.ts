/** From a JSON value to an object of a type: checked, pruned and normalised as Go would. */
import { ApiError } from "../lib/api-error.ts";
import type { KubeObject } from "./object.ts";
import { parseBody } from "./parse.ts";
import {
  BadValue,
  goScalarTypes,
  jsonTypeName,
  readScalar,
  WrongType,
  zeroScalar,
} from "./scalars.ts";
import type { FieldType, MessageType, Scalar, TypeName } from "./type-table.ts";
import { fieldsOf, messageOf, shortName } from "./types.ts";

type Json = Record<string, unknown>;

const limits = { typedDepthMax: 1000 } as const;

export interface DecodedValue {
  readonly object: KubeObject;
  /** What strict decoding objects to, for example `unknown field "spec.foo"`. */
  readonly problems: readonly string[];
}

export interface DecodeOptions {
  /** Undefined: any object; nothing is checked beyond JSON. */
  readonly type: TypeName | undefined;
  readonly fieldValidation: "Ignore" | "Warn" | "Strict";
}

interface Shape {
  readonly fields: ReadonlyMap<string, FieldType>;
  /** Fields that are there even when nobody gave them. */
  readonly filled: readonly FieldType[];
}

/** Empty lists that are refused where none at all would get its default. */
const refusedEmpty: ReadonlySet<string> = new Set(["HPAScalingRules.policies"]);

const shapes = new Map<TypeName, Shape>();

function shapeOf(type: TypeName): Shape {
  let shape = shapes.get(type);
  if (shape === undefined) {
    const fields = fieldsOf(type);
    shape = { fields, filled: [...fields.values()].filter(isFilled) };
    shapes.set(type, shape);
  }
  return shape;
}

/** Scalars here, structs in Go. */
const structScalars: ReadonlySet<Scalar> = new Set([
  "Quantity",
  "IntOrString",
  "Time",
  "MicroTime",
]);

/** Go leaves out no struct, and nothing that is not marked to be left out. */
function isFilled(field: FieldType): boolean {
  if (field.pointer === true || field.omitZero === true) return false;
  const isStruct = "message" in field.of || structScalars.has(field.of.scalar);
  return field.required || field.omitEmpty !== true || (isStruct && field.shape === "single");
}

function goType(field: FieldType): string {
  if (field.goType !== undefined) return field.goType;
  const element =
    "scalar" in field.of ? goScalarTypes[field.of.scalar] : goMessageType(field.of.message);
  if (field.shape === "list") return `[]${element}`;
  return field.shape === "map" ? `map[string]${element}` : element;
}

/** Of one element of a list or a map. */
function goElementType(field: FieldType, scalar: Scalar): string {
  return field.goType?.replace(/^(\[\]|map\[[^\]]*\])/, "") ?? goScalarTypes[scalar];
}

function goMessageType(type: TypeName): string {
  return type.split(".").slice(-2).join(".");
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isEmpty(value: unknown, field: FieldType): boolean {
  if (field.shape === "list") return (value as unknown[]).length === 0;
  if (field.shape === "map") return isObject(value) && Object.keys(value).length === 0;
  if (!("scalar" in field.of)) return Array.isArray(value) && value.length === 0;
  const { scalar } = field.of;
  if (scalar === "Quantity" || scalar === "IntOrString" || scalar === "Duration") return false;
  return value === "" || value === 0 || value === false;
}

/** One walk over one value. */
class Walk {
  readonly problems: string[] = [];
  /** The first value of a wrong type: Go goes on, as a reader's own error counts more. */
  #misfit: ApiError | undefined;
  readonly #path: string[];
  readonly #structs: TypeName[] = [];
  /** Problems of the parser that the walk has not come to yet: duplicate fields. */
  readonly #parsed: Set<string>;

  /** `failure` makes the error for a value that cannot be read. */
  constructor(
    private readonly failure: (message: string, cause?: unknown) => ApiError,
    path: readonly string[] = [],
    parsed: readonly string[] = [],
  ) {
    this.#path = [...path];
    this.#parsed = new Set(parsed);
  }

  /** All problems in the order of the text; what the walk did not come to is last. */
  told(): readonly string[] {
    return [...this.problems, ...this.#parsed];
  }

  /** The object, in place; throws what cannot be read. */
  read(value: unknown, type: TypeName): Json {
    const object = this.#object(value, type);
    if (this.#misfit !== undefined) throw this.#misfit;
    return object ?? {};
  }

  #object(value: unknown, type: TypeName): Json | undefined {
    if (!isObject(value)) return this.#skip(jsonTypeName(value), goMessageType(type));
    if (this.#structs.length > limits.typedDepthMax) throw this.#bad("json: exceeded max depth");
    const shape = shapeOf(type);
    this.#structs.push(type);
    for (const name of Object.keys(value)) {
      const field = shape.fields.get(name);
      this.#path.push(name);
      if (this.#parsed.size > 0) this.#tellDuplicate();
      if (field === undefined) {
        this.problems.push(`unknown field "${this.#pathText()}"`);
        delete value[name];
      } else this.#member(value, field);
      this.#path.pop();
    }
    for (const field of shape.filled) {
      if (value[field.name] !== undefined) continue;
      const zero = zeroOf(field);
      if (zero !== undefined) value[field.name] = zero;
    }
    this.#structs.pop();
    return value;
  }

  #tellDuplicate(): void {
    const problem = `duplicate field "${this.#pathText()}"`;
    if (this.#parsed.delete(problem)) this.problems.push(problem);
  }

  #member(object: Json, field: FieldType): void {
    const { name } = field;
    const value = object[name];
    if (value === null || value === undefined) {
      delete object[name];
      return;
    }
    const read = this.#value(value, field);
    if (read === undefined || read === null) {
      delete object[name];
      return;
    }
    const isLeftOut = field.omitEmpty === true && field.pointer !== true && isEmpty(read, field);
    if (isLeftOut && !refusedEmpty.has(`${shortName(this.#structs.at(-1) ?? "")}.${name}`)) {
      delete object[name];
    } else if (read !== value) object[name] = read;
  }

  #value(value: unknown, field: FieldType): unknown {
    if (field.shape === "single") return this.#element(value, field);
    if (field.shape === "list") {
      if (!Array.isArray(value)) return this.#skip(jsonTypeName(value), goType(field));
      for (let index = 0; index < value.length; index++) {
        this.#path.push(`[${index}]`);
        const read = this.#elementOrZero(value[index], field);
        if (read !== value[index]) value[index] = read;
        this.#path.pop();
      }
      return value;
    }
    if (!isObject(value)) return this.#skip(jsonTypeName(value), goType(field));
    for (const key of Object.keys(value)) {
      this.#path.push(`.${key}`);
      const read = this.#elementOrZero(value[key], field);
      if (read !== value[key]) value[key] = read;
      this.#path.pop();
    }
    return value;
  }

  #elementOrZero(value: unknown, field: FieldType): unknown {
    if (value !== null) return this.#element(value, field);
    if ("message" in field.of) return this.#message({}, field.of.message);
    return zeroScalar(field.of.scalar) ?? null;
  }

  #element(value: unknown, field: FieldType): unknown {
    if ("message" in field.of) return this.#message(value, field.of.message);
    try {
      return readScalar(field.of.scalar, value);
    } catch (error) {
      if (error instanceof WrongType)
        return this.#skip(error.value, error.wanted ?? goElementType(field, field.of.scalar));
      if (!(error instanceof BadValue)) throw error;
      if (field.of.scalar === "bytes") return this.#keep(error.message, error);
      throw this.#readersError(error);
    }
  }

  #message(value: unknown, type: TypeName): unknown {
    const message = messageOf(type);
    if (message.json === undefined) return this.#object(value, type);
    return this.#jsonForm(value, message, message.json);
  }

  #jsonForm(value: unknown, message: MessageType, form: NonNullable<MessageType["json"]>): unknown {
    const [first] = message.fields;
    if (form === "list" && first !== undefined) return this.#value(value, first);
    if (form === "schemaOrBool" && typeof value === "boolean") return value;
    if (form === "schemaOrBool" && !isObject(value))
      throw this.#readersError(new BadValue("boolean or JSON schema expected"));
    const schema = message.fields.find((field) => field.name === "schema");
    if (schema === undefined) throw new Error(`${message.name} has no schema`);
    if (Array.isArray(value) && form === "schemaOrArray") {
      return this.#value(value, { ...schema, shape: "list" });
    }
    if (Array.isArray(value) && form === "schemaOrStrings") return value;
    // Upstream's readers pass over what is neither.
    if (!isObject(value)) return null;
    return this.#element(value, schema);
  }

  #pathText(): string {
    let text = "";
    for (const part of this.#path) {
      if (part.startsWith("[")) text += part;
      else if (part.startsWith(".") && text !== "") text += part;
      else text += text === "" ? part : `.${part}`;
    }
    return text;
  }

  /** The fields on the way, with the structs that embed them. */
  #goPath(): string {
    const names = this.#path.filter((part) => !/^[[.]/.test(part));
    // What stands before the first struct is where a part of an object is.
    const outside = names.length - this.#structs.length;
    return names
      .map((name, index) => {
        const struct = this.#structs[index - outside];
        const field = struct === undefined ? undefined : shapeOf(struct).fields.get(name);
        return field?.embedding === undefined ? name : `${field.embedding}.${name}`;
      })
      .join(".");
  }

  /** Passes over a value of a wrong type. */
  #skip(what: string, type: string): undefined {
    return this.#keep(`json: cannot unmarshal ${what} into Go ${this.#place(type)}`);
  }

  #keep(message: string, cause?: unknown): undefined {
    this.#misfit ??= this.#bad(message, cause);
    return undefined;
  }

  #place(type: string): string {
    const struct = this.#structs.at(-1);
    const fields = this.#goPath();
    return struct === undefined || fields === ""
      ? `value of type ${type}`
      : `struct field ${shortName(struct)}.${fields} of type ${type}`;
  }

  /** What a type's own reader says; JSON adds where it was when the reader asked it. */
  #readersError(error: BadValue): ApiError {
    const place = (_: string, type: string): string => this.#place(type);
    return this.#bad(error.message.replace(/value of type (\S+)$/, place), error);
  }

  #bad(message: string, cause?: unknown): ApiError {
    return this.failure(message, cause);
  }
}

function emptyShape(field: FieldType): [] | Json {
  return field.shape === "list" ? [] : {};
}

/** The zero value that Go's encoder writes for an absent member. */
function zeroOf(field: FieldType): unknown {
  // Go writes null for lists and maps; required ones stay iterable for their validation.
  if (field.shape !== "single") return field.required ? emptyShape(field) : null;
  if ("scalar" in field.of) return zeroScalar(field.of.scalar) ?? null;
  const message = messageOf(field.of.message);
  if (message.json !== undefined) return message.json === "list" ? [] : undefined;
  const value: Json = {};
  for (const inner of shapeOf(field.of.message).filled) {
    const zero = zeroOf(inner);
    if (zero !== undefined) value[inner.name] = zero;
  }
  return value;
}

/** What Go writes for a member that nobody gave; undefined where it writes none. */
export function zeroMember(type: TypeName, name: string): unknown {
  const field = shapeOf(type).filled.find((filled) => filled.name === name);
  return field === undefined ? undefined : zeroOf(field);
}

/** Kubernetes' answer to a body that cannot be read as the type. */
function decodeError(type: TypeName, message: string, cause?: unknown): ApiError {
  const kind = shortName(type);
  const version = type.split(".").at(-2) ?? "";
  return new ApiError(
    "BadRequest",
    `${kind} in version "${version}" cannot be handled as a ${kind}: ${message}`,
    { cause },
  );
}

/**
 * Makes `value` an object of `type`, in place: unknown members go (and are told), nulls and empty
 * values that Go leaves out go, required ones that are absent get their zero value, times and
 * quantities become canonical. What the parser found, `parsed`, is told in its place. Throws
 * ApiError BadRequest worded as Go's JSON decoder.
 */
export function decodeValue(
  type: TypeName,
  value: unknown,
  parsed: readonly string[] = [],
): DecodedValue {
  const walk = new Walk((message, cause) => decodeError(type, message, cause), [], parsed);
  const object = walk.read(value, type) as unknown as KubeObject;
  return { object, problems: walk.told() };
}

/**
 * As `decodeValue`, for a part of a larger object that stands at `path`; answers the problems.
 * What cannot be read is thrown as `failure` makes it.
 */
export function decodeMember(
  type: TypeName,
  value: unknown,
  path: string,
  failure: (message: string) => ApiError,
): readonly string[] {
  const walk = new Walk(failure, [path]);
  walk.read(value, type);
  return walk.problems;
}

/** Reads a JSON or YAML body as an object of a type. Throws ApiError BadRequest. */
export function decodeBody(
  bytes: Uint8Array,
  contentType: string,
  options: DecodeOptions,
): { readonly object: KubeObject; readonly warnings: readonly string[] } {
  const parsed = parseBody(bytes, contentType);
  const { type, fieldValidation } = options;
  if (type === undefined && !isObject(parsed.value)) {
    throw new ApiError("BadRequest", "couldn't get version/kind; the body is not a JSON object");
  }
  const { object, problems } =
    type === undefined
      ? { object: parsed.value as KubeObject, problems: parsed.problems }
      : decodeValue(type, parsed.value, parsed.problems);
  if (problems.length === 0 || fieldValidation === "Ignore") {
    return { object, warnings: [] };
  }
  if (fieldValidation === "Warn") return { object, warnings: problems };
  const message = `strict decoding error: ${problems.join(", ")}`;
  throw type === undefined ? new ApiError("BadRequest", message) : decodeError(type, message);
}
