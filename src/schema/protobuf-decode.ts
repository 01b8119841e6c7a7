/**
 * Reads Kubernetes' protobuf bodies (`k8s\0` and an envelope) as the JSON value they stand for:
 * one walk over the type table. Clients may send protobuf and still accept JSON as the answer.
 */
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { ApiError } from "../lib/api-error.ts";
import { formatDurationNanos } from "../lib/duration.ts";
import { setOwn } from "./copy.ts";
import { zeroScalar } from "./scalars.ts";
import type { FieldType, MessageType, Scalar, TypeName } from "./type-table.ts";
import { messageOf, typeOf } from "./types.ts";

export const protobufType = "application/vnd.kubernetes.protobuf";

type Json = Record<string, unknown>;

const magic = [0x6b, 0x38, 0x73, 0x00];
const limits = { depthMax: 100 } as const;
const textDecoder = new TextDecoder();

/** Throws ApiError BadRequest for bytes that are not such a body or name an unknown kind. */
export function decodeProtobuf(bytes: Uint8Array): Json {
  if (!isEnveloped(bytes)) {
    throw new ApiError("BadRequest", "provided data does not appear to be a protobuf message");
  }
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
  const reader = new BinaryReader(bytes);
  let apiVersion = "";
  let kind = "";
  let raw = new Uint8Array();
  while (reader.pos < reader.len) {
    const [number, wire] = reader.tag();
    if (number === 1) {
      const meta = new BinaryReader(reader.bytes());
      while (meta.pos < meta.len) {
        const [part, partWire] = meta.tag();
        if (part === 1) apiVersion = meta.string();
        else if (part === 2) kind = meta.string();
        else meta.skip(partWire);
      }
    } else if (number === 2) raw = new Uint8Array(reader.bytes());
    else reader.skip(wire);
  }
  const slash = apiVersion.indexOf("/");
  const group = slash < 0 ? "" : apiVersion.slice(0, slash);
  const type = typeOf(group, apiVersion.slice(slash + 1), kind);
  if (type === undefined) {
    throw new ApiError("BadRequest", `no kind "${kind}" is registered for version "${apiVersion}"`);
  }
  return { apiVersion, kind, ...(message(raw, type, 0) as Json) };
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

function message(bytes: Uint8Array, type: TypeName, depth: number): unknown {
  if (depth > limits.depthMax) throw new ApiError("BadRequest", "protobuf is nested too deeply");
  const fields = fieldsByNumber(type);
  const reader = new BinaryReader(bytes);
  const result: Json = {};
  while (reader.pos < reader.len) {
    const [number, wire] = reader.tag();
    const field = fields.get(number);
    if (field === undefined) reader.skip(wire);
    else readField(reader, wire, field, result, depth);
  }
  const { json } = messageOf(type);
  return json === undefined ? result : jsonForm(json, result);
}

function readField(
  reader: BinaryReader,
  wire: WireType,
  field: FieldType,
  result: Json,
  depth: number,
): void {
  const { name, shape } = field;
  if (shape === "map") {
    const map = (result[name] ?? {}) as Json;
    const [key, value] = mapEntry(reader.bytes(), field, depth);
    setOwn(map, key, value);
    result[name] = map;
    return;
  }
  const value = element(reader, wire, field, depth);
  if (shape === "list") {
    const list = (result[name] ?? []) as unknown[];
    list.push(value ?? null);
    result[name] = list;
  } else if (field.inline === true) Object.assign(result, value);
  else if (value !== undefined) result[name] = value;
}

function mapEntry(bytes: Uint8Array, field: FieldType, depth: number): [string, unknown] {
  const reader = new BinaryReader(bytes);
  let key = "";
  let value: unknown;
  while (reader.pos < reader.len) {
    const [number, wire] = reader.tag();
    if (number === 1) key = reader.string();
    else if (number === 2) value = element(reader, wire, field, depth);
    else reader.skip(wire);
  }
  return [key, value === undefined ? zeroOf(field) : value];
}

/** What a map holds where the value was left out. */
function zeroOf(field: FieldType): unknown {
  return "message" in field.of ? {} : (zeroScalar(field.of.scalar) ?? null);
}

function element(reader: BinaryReader, wire: WireType, field: FieldType, depth: number): unknown {
  if ("message" in field.of) return message(reader.bytes(), field.of.message, depth + 1);
  return scalar(reader, wire, field.of.scalar);
}

function scalar(reader: BinaryReader, wire: WireType, type: Scalar): unknown {
  switch (type) {
    case "string":
      return reader.string();
    case "bool":
      return reader.bool();
    case "int32":
      return reader.int32();
    case "int64":
      return Number(reader.int64());
    case "double":
      return wire === WireType.Bit32 ? reader.float() : reader.double();
    case "bytes":
      return Buffer.from(reader.bytes()).toString("base64");
    case "Time":
    case "MicroTime":
      return time(reader.bytes(), type);
    case "Quantity":
      return String(parts(reader.bytes()).get(1) ?? "0");
    case "Duration":
      return formatDurationNanos(BigInt(parts(reader.bytes()).get(1) ?? 0));
    case "IntOrString": {
      const found = parts(reader.bytes());
      return Number(found.get(1) ?? 0) === 1
        ? String(found.get(3) ?? "")
        : Number(BigInt.asIntN(32, BigInt(found.get(2) ?? 0)));
    }
    case "raw":
      return raw(reader.bytes());
  }
}

/** An object within an object: JSON, or an enveloped message of its own. */
function raw(bytes: Uint8Array): unknown {
  const reader = new BinaryReader(bytes);
  let value = new Uint8Array();
  while (reader.pos < reader.len) {
    const [number, wire] = reader.tag();
    if (number === 1) value = new Uint8Array(reader.bytes());
    else reader.skip(wire);
  }
  if (value.length === 0) return undefined;
  if (isEnveloped(value)) return envelope(value.subarray(magic.length));
  return JSON.parse(textDecoder.decode(value)) as unknown;
}

/** Numbers and texts of a small message by field number. */
function parts(bytes: Uint8Array): ReadonlyMap<number, bigint | string> {
  const reader = new BinaryReader(bytes);
  const found = new Map<number, bigint | string>();
  while (reader.pos < reader.len) {
    const [number, wire] = reader.tag();
    if (wire === WireType.Varint) found.set(number, BigInt(reader.int64()));
    else if (wire === WireType.LengthDelimited) {
      found.set(number, textDecoder.decode(reader.bytes()));
    } else reader.skip(wire);
  }
  return found;
}

/** Undefined for Go's zero time, which is sent as an empty message. */
function time(bytes: Uint8Array, type: "Time" | "MicroTime"): string | undefined {
  if (bytes.length === 0) return undefined;
  const found = parts(bytes);
  const seconds = Number(found.get(1) ?? 0);
  const nanos = Number(found.get(2) ?? 0);
  const text = new Date(seconds * 1000).toISOString().slice(0, 19);
  if (type === "Time") return `${text}Z`;
  return `${text}.${String(Math.floor(nanos / 1000)).padStart(6, "0")}Z`;
}
