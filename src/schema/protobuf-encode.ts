/**
 * Writes objects as Kubernetes' protobuf: one walk over the type table, byte for byte what Go's
 * generated code writes. Go tells zero from absent only by pointers: members that are none are
 * always written.
 */
import { tryParseDurationNanos } from "../lib/duration.ts";
import { wholeNumber } from "../lib/exact-json.ts";
import { BackwardWriter } from "./backward-writer.ts";
import type { FieldType, MessageType, Scalar, TypeName } from "./type-table.ts";
import { messageOf, typeOf } from "./types.ts";

type Json = Readonly<Record<string, unknown>>;

const magic = Uint8Array.of(0x6b, 0x38, 0x73, 0x00);
const wire = { varint: 0, bit64: 1, bytes: 2 } as const;

type WriteValue = (writer: BackwardWriter, value: unknown) => void;

interface FieldPlan {
  readonly field: FieldType;
  readonly key: number;
  readonly write: WriteValue;
  /** Written as zero when absent. */
  readonly always: boolean;
}

const plans = new Map<TypeName, readonly FieldPlan[]>();

/** Fields from the highest number to the lowest. */
function planOf(type: TypeName): readonly FieldPlan[] {
  const known = plans.get(type);
  if (known !== undefined) return known;
  const plan: FieldPlan[] = [];
  plans.set(type, plan);
  const fields = messageOf(type).fields.toSorted((a, b) => b.number - a.number);
  for (const field of fields) {
    const isBytes = "scalar" in field.of && field.of.scalar === "bytes";
    plan.push({
      field,
      key: field.number * 8 + ("scalar" in field.of ? wireOf(field.of.scalar) : wire.bytes),
      write:
        "scalar" in field.of ? scalarWriters[field.of.scalar] : messageWriter(field.of.message),
      always: field.shape === "single" && field.pointer !== true && !isBytes,
    });
  }
  return plan;
}

function wireOf(scalar: Scalar): number {
  if (scalar === "bool" || scalar === "int32" || scalar === "int64") return wire.varint;
  return scalar === "double" ? wire.bit64 : wire.bytes;
}

/** A writer of the length and the bytes of a message in its JSON form. */
function messageWriter(type: TypeName): WriteValue {
  const form = messageOf(type).json;
  return (writer, value) => {
    const before = writer.length;
    fields(writer, form === undefined ? value : membersOf(value, form), type);
    writer.varint(writer.length - before);
  };
}

/** What the message behind a JSON form that is no object holds. */
function membersOf(value: unknown, form: NonNullable<MessageType["json"]>): Json {
  switch (form) {
    case "list":
      return { items: value };
    case "schemaOrBool":
      return typeof value === "boolean" ? { allows: value } : { allows: true, schema: value };
    case "schemaOrArray":
      return Array.isArray(value) ? { jSONSchemas: value } : { schema: value };
    case "schemaOrStrings":
      return Array.isArray(value) ? { property: value } : { schema: value };
  }
}

function delimited(writer: BackwardWriter, write: () => void): void {
  const before = writer.length;
  write();
  writer.varint(writer.length - before);
}

function fields(writer: BackwardWriter, value: unknown, type: TypeName): void {
  const object = (typeof value === "object" && value !== null ? value : {}) as Json;
  for (const plan of planOf(type)) {
    const { field, key, write } = plan;
    const member = field.inline === true ? object : object[field.name];
    if (field.shape === "list") {
      if (!Array.isArray(member)) continue;
      for (let at = member.length - 1; at >= 0; at--) {
        write(writer, member[at]);
        writer.varint(key);
      }
    } else if (field.shape === "map") mapEntries(writer, member, plan);
    else if (plan.always || (member !== undefined && member !== null)) {
      write(writer, member);
      writer.varint(key);
    }
  }
}

function mapEntries(writer: BackwardWriter, member: unknown, plan: FieldPlan): void {
  if (typeof member !== "object" || member === null) return;
  const names = Object.keys(member).sort(byBytes);
  const valueKey = 2 * 8 + (plan.key % 8);
  for (let at = names.length - 1; at >= 0; at--) {
    const name = names[at] as string;
    delimited(writer, () => {
      plan.write(writer, (member as Json)[name]);
      writer.varint(valueKey);
      text(writer, name);
      writer.byte(8 + wire.bytes);
    });
    writer.varint(plan.field.number * 8 + wire.bytes);
  }
}

/** Go sorts by bytes, which differs from UTF-16 order only beyond the surrogates. */
function byBytes(a: string, b: string): number {
  if (a === b) return 0;
  const isPlain = !/[\ud800-\uffff]/.test(a) && !/[\ud800-\uffff]/.test(b);
  if (isPlain) return a < b ? -1 : 1;
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function text(writer: BackwardWriter, value: unknown): void {
  const before = writer.length;
  writer.text(typeof value === "string" ? value : "");
  writer.varint(writer.length - before);
}

function integer(writer: BackwardWriter, value: unknown): void {
  writer.signed(typeof value === "number" || typeof value === "bigint" ? value : 0);
}

/** Field 1 of a small message, as bytes or text. */
function wrappedText(writer: BackwardWriter, value: string): void {
  delimited(writer, () => {
    text(writer, value);
    writer.byte(8 + wire.bytes);
  });
}

const scalarWriters: Readonly<Record<Scalar, WriteValue>> = {
  string: text,
  bool: (writer, value) => writer.byte(value === true ? 1 : 0),
  int32: integer,
  int64: integer,
  double: (writer, value) => writer.double(typeof value === "number" ? value : 0),
  bytes(writer, value) {
    const bytes = Buffer.from(typeof value === "string" ? value : "", "base64");
    writer.bytes(bytes);
    writer.varint(bytes.length);
  },
  Time: time,
  MicroTime: time,
  Quantity: (writer, value) => wrappedText(writer, String(value ?? "0")),
  Duration: (writer, value) =>
    delimited(writer, () => {
      writer.signed(wholeNumber(tryParseDurationNanos(String(value ?? "0")) ?? 0n));
      writer.byte(8 + wire.varint);
    }),
  IntOrString: (writer, value) =>
    delimited(writer, () => {
      const isText = typeof value === "string";
      text(writer, isText ? value : "");
      writer.byte(3 * 8 + wire.bytes);
      integer(writer, isText ? 0 : value);
      writer.byte(2 * 8 + wire.varint);
      writer.byte(isText ? 1 : 0);
      writer.byte(8 + wire.varint);
    }),
  raw(writer, value) {
    if (value === undefined || value === null) writer.byte(0);
    else wrappedText(writer, JSON.stringify(value));
  },
};

/** Go's zero time is an empty message. */
function time(writer: BackwardWriter, value: unknown): void {
  delimited(writer, () => {
    const at = typeof value === "string" ? Date.parse(value) : Number.NaN;
    if (Number.isNaN(at)) return;
    const micros = /\.(\d{1,6})/.exec(value as string)?.[1]?.padEnd(6, "0") ?? "0";
    writer.signed(Number(micros) * 1000);
    writer.byte(2 * 8 + wire.varint);
    writer.signed(Math.floor(at / 1000));
    writer.byte(8 + wire.varint);
  });
}

/** What an object says it is; only APIVersions has no version of its own. */
export interface Typed {
  readonly apiVersion?: string;
  readonly kind: string;
}

/** The name of the type that an object says it is of; undefined when none is built in. */
export function typeOfObject(object: Typed): TypeName | undefined {
  const { apiVersion = "", kind } = object;
  const slash = apiVersion.indexOf("/");
  return typeOf(slash < 0 ? "" : apiVersion.slice(0, slash), apiVersion.slice(slash + 1), kind);
}

/** The message of an object, without envelope. */
export function encodeMessage(object: Typed): Uint8Array {
  const writer = new BackwardWriter();
  fields(writer, object, requiredType(object));
  return writer.take();
}

/** `k8s\0` and the envelope that tells what the message within is. */
export function encodeProtobuf(object: Typed): Uint8Array {
  const type = requiredType(object);
  return enveloped(object, (writer) => fields(writer, object, type));
}

/** As `encodeProtobuf`, of a message that was encoded before. */
export function envelopeOf(object: Typed, message: Uint8Array): Uint8Array {
  return enveloped(object, (writer) => writer.bytes(message));
}

/** As `encodeProtobuf`, of a list whose items were encoded before; its bytes in parts. */
export function* listMessage(list: Typed, items: readonly Uint8Array[]): Generator<Uint8Array> {
  const writer = new BackwardWriter();
  fields(writer, list, requiredType(list));
  const head = writer.take();
  const lengths = items.map((item) => varintBytes(item.length));
  const length = items.reduce(
    (sum, item, at) => sum + 1 + (lengths[at] ?? 0) + item.length,
    head.length,
  );
  writer.varint(length);
  envelopeHead(writer, list);
  yield writer.take();
  yield head;
  for (const item of items) {
    writer.varint(item.length);
    writer.byte(2 * 8 + wire.bytes);
    yield writer.take();
    yield item;
  }
  envelopeTail(writer);
  yield writer.take();
}

/** How long a varint is. */
function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) bytes += 1;
  return bytes;
}

function requiredType(object: Typed): TypeName {
  const type = typeOfObject(object);
  if (type === undefined) throw new Error(`${object.kind} has no protobuf form`);
  return type;
}

function enveloped(object: Typed, write: (writer: BackwardWriter) => void): Uint8Array {
  const writer = new BackwardWriter();
  envelopeTail(writer);
  delimited(writer, () => write(writer));
  envelopeHead(writer, object);
  return writer.take();
}

/** What follows the message: contentEncoding and contentType, both empty. */
function envelopeTail(writer: BackwardWriter): void {
  text(writer, "");
  writer.byte(4 * 8 + wire.bytes);
  text(writer, "");
  writer.byte(3 * 8 + wire.bytes);
}

/** What stands before the message's length. */
function envelopeHead(writer: BackwardWriter, object: Typed): void {
  writer.byte(2 * 8 + wire.bytes);
  delimited(writer, () => {
    text(writer, object.kind);
    writer.byte(2 * 8 + wire.bytes);
    text(writer, object.apiVersion ?? "");
    writer.byte(8 + wire.bytes);
  });
  writer.byte(8 + wire.bytes);
  writer.bytes(magic);
}

/** A watch event as it travels: four bytes of length, then type and enveloped object. */
export function watchFrame(event: string, enveloped: Uint8Array): Uint8Array {
  const writer = new BackwardWriter();
  delimited(writer, () => {
    writer.bytes(enveloped);
    writer.varint(enveloped.length);
    writer.byte(8 + wire.bytes);
  });
  writer.byte(2 * 8 + wire.bytes);
  text(writer, event);
  writer.byte(8 + wire.bytes);
  const { length } = writer;
  writer.bytes(Uint8Array.of(length >>> 24, length >>> 16, length >>> 8, length));
  return writer.take();
}
