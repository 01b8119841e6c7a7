/**
 * Reads Kubernetes' protobuf bodies (`k8s\0` and an envelope) as the JSON value they stand for:
 * one walk over the type table. Clients may send protobuf and still accept JSON as the answer.
 */
import { ApiError } from "../lib/api-error.ts";
import { formatDurationNanos } from "../lib/duration.ts";
import { parseExact } from "../lib/exact-json.ts";
import { setOwn } from "./copy.ts";
import { ProtobufReader, wire } from "./protobuf-reader.ts";
import { zeroScalar } from "./scalars.ts";
import type { FieldType, MessageType, Scalar, TypeName } from "./type-table.ts";
import { messageOf, typeOf } from "./types.ts";

export const protobufType = "application/vnd.kubernetes.protobuf";

type Json = Record<string, unknown>;

const magic = [0x6b, 0x38, 0x73, 0x00];
const limits = {
  depthMax: 100,
  /** Small messages have no field of a higher number. */
  partNumberMax: 15,
} as const;
const textDecoder = new TextDecoder();

/** Throws ApiError BadRequest for bytes that are not such a body or name an unknown kind. */
export function decodeProtobuf(bytes: Uint8Array): Json {
  if (!isEnveloped(bytes)) {
    throw new ApiError(
      "BadRequest",
      "provided data does not appear to be a protobuf message, " +
        `expected prefix [${magic.join(" ")}]`,
    );
  }
  if (bytes.length === magic.length) throw new ApiError("BadRequest", "empty body");
  try {
    return envelope(bytes.subarray(magic.length));
  } catch (error) {
    if (error instanceof ApiError) throw error;
    throw new ApiError("BadRequest", `cannot decode protobuf: ${String(error)}`);
  }
}

function isEnveloped(bytes: Uint8Array): boolean {
  return magic.every((byte, index) => bytes[index] === byte);
}

function envelope(bytes: Uint8Array): Json {
  const reader = new ProtobufReader(bytes);
  let apiVersion = "";
  let kind = "";
  let raw: Uint8Array = new Uint8Array();
  while (reader.hasMore) {
    const key = reader.varint();
    if (key === 8 + wire.bytes) {
      const outer = reader.enter();
      while (reader.hasMore) {
        const part = reader.varint();
        if (part === 8 + wire.bytes) apiVersion = reader.text();
        else if (part === 2 * 8 + wire.bytes) kind = reader.text();
        else reader.skip(part & 7);
      }
      reader.leave(outer);
    } else if (key === 2 * 8 + wire.bytes) raw = reader.bytes();
    else reader.skip(key & 7);
  }
  const slash = apiVersion.indexOf("/");
  const group = slash < 0 ? "" : apiVersion.slice(0, slash);
  const type = typeOf(group, apiVersion.slice(slash + 1), kind);
  if (type === undefined) {
    throw new ApiError("BadRequest", `no kind "${kind}" is registered for version "${apiVersion}"`);
  }
  return { apiVersion, kind, ...(message(new ProtobufReader(raw), type, 0) as Json) };
}

const numbered = new WeakMap<MessageType, ReadonlyMap<number, FieldType>>();

function fieldsByNumber(type: TypeName): ReadonlyMap<number, FieldType> {
  const definition = messageOf(type);
  let fields = numbered.get(definition);
  if (fields === undefined) {
    fields = new Map(definition.fields.map((field) => [field.number, field]));
    numbered.set(definition, fields);
  }
  return fields;
}

/** What JSON has for a message whose JSON form is no object. */
function jsonForm(form: NonNullable<MessageType["json"]>, members: Json): unknown {
  switch (form) {
    case "list":
      return members.items ?? [];
    case "schemaOrBool":
      return members.schema ?? members.allows ?? false;
    case "schemaOrArray":
      return members.jSONSchemas ?? members.schema;
    case "schemaOrStrings":
      return members.property ?? members.schema;
  }
}

/** Reads up to the end of the reader's message. */
function message(reader: ProtobufReader, type: TypeName, depth: number): unknown {
  if (depth > limits.depthMax) throw new ApiError("BadRequest", "protobuf is nested too deeply");
  const fields = fieldsByNumber(type);
  const result: Json = {};
  while (reader.hasMore) {
    const key = reader.varint();
    const field = fields.get(key >>> 3);
    if (field === undefined) reader.skip(key & 7);
    else readField(reader, key & 7, field, result, depth);
  }
  const { json } = messageOf(type);
  return json === undefined ? result : jsonForm(json, result);
}

function readField(
  reader: ProtobufReader,
  wireType: number,
  field: FieldType,
  result: Json,
  depth: number,
): void {
  const { name, shape } = field;
  if (shape === "map") {
    const map = (result[name] ?? {}) as Json;
    const [key, value] = mapEntry(reader, field, depth);
    setOwn(map, key, value);
    result[name] = map;
    return;
  }
  const value = element(reader, wireType, field, depth);
  if (shape === "list") {
    const list = (result[name] ?? []) as unknown[];
    list.push(value ?? null);
    result[name] = list;
  } else if (field.inline === true) Object.assign(result, value);
  else if (value !== undefined) result[name] = value;
}

function mapEntry(reader: ProtobufReader, field: FieldType, depth: number): [string, unknown] {
  let name = "";
  let value: unknown;
  const outer = reader.enter();
  while (reader.hasMore) {
    const key = reader.varint();
    if (key >>> 3 === 1) name = reader.text();
    else if (key >>> 3 === 2) value = element(reader, key & 7, field, depth);
    else reader.skip(key & 7);
  }
  reader.leave(outer);
  return [name, value === undefined ? zeroOf(field) : value];
}

/** What a map holds where the value was left out. */
function zeroOf(field: FieldType): unknown {
  return "message" in field.of ? {} : (zeroScalar(field.of.scalar) ?? null);
}

function element(
  reader: ProtobufReader,
  wireType: number,
  field: FieldType,
  depth: number,
): unknown {
  if (!("message" in field.of)) return scalar(reader, wireType, field.of.scalar);
  const outer = reader.enter();
  const value = message(reader, field.of.message, depth + 1);
  reader.leave(outer);
  return value;
}

function scalar(reader: ProtobufReader, wireType: number, type: Scalar): unknown {
  switch (type) {
    case "string":
      return reader.text();
    case "bool":
      return reader.varint() !== 0;
    case "int32":
      return Number(reader.signed()) | 0;
    case "int64":
      return reader.signed();
    case "double":
      return wireType === wire.bit32 ? reader.float() : reader.double();
    case "bytes":
      return reader.base64();
    case "Time":
    case "MicroTime":
      return time(reader, type);
    case "Quantity":
      return parts(reader).texts[1] ?? "0";
    case "Duration":
      return formatDurationNanos(BigInt(parts(reader).numbers[1] ?? 0));
    case "IntOrString": {
      const { numbers, texts } = parts(reader);
      return numbers[1] === 1 ? (texts[3] ?? "") : Number(numbers[2] ?? 0);
    }
    case "raw":
      return raw(reader);
  }
}

/** An object within an object: JSON, or an enveloped message of its own. */
function raw(reader: ProtobufReader): unknown {
  const outer = reader.enter();
  let value: Uint8Array = new Uint8Array();
  while (reader.hasMore) {
    const key = reader.varint();
    if (key === 8 + wire.bytes) value = reader.bytes();
    else reader.skip(key & 7);
  }
  reader.leave(outer);
  if (value.length === 0) return undefined;
  if (isEnveloped(value)) return envelope(value.subarray(magic.length));
  return parseExact(textDecoder.decode(value));
}

/** Numbers and texts of a small message, by field number. */
function parts(reader: ProtobufReader) {
  const numbers: (number | bigint)[] = [];
  const texts: string[] = [];
  const outer = reader.enter();
  while (reader.hasMore) {
    const key = reader.varint();
    const number = key >>> 3;
    const isSmall = number <= limits.partNumberMax;
    if (isSmall && (key & 7) === wire.varint) numbers[number] = reader.signed();
    else if (isSmall && (key & 7) === wire.bytes) texts[number] = reader.text();
    else reader.skip(key & 7);
  }
  reader.leave(outer);
  return { numbers, texts };
}

/** Undefined for Go's zero time, which is sent as an empty message. */
function time(reader: ProtobufReader, type: "Time" | "MicroTime"): string | undefined {
  const { numbers } = parts(reader);
  if (numbers.length === 0) return undefined;
  const text = new Date(Number(numbers[1] ?? 0) * 1000).toISOString().slice(0, 19);
  if (type === "Time") return `${text}Z`;
  return `${text}.${String(Math.floor(Number(numbers[2] ?? 0) / 1000)).padStart(6, "0")}Z`;
}
