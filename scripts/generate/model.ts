/** Joins the `.proto` view and the Go view of a package into one model of its types. */
import type { FieldType, MessageType, Scalar } from "../../src/schema/type-table.ts";
import type { EnumValue, GoField, GoPackage } from "./go-tags.ts";
import type { ProtoField, ProtoFile, ProtoMessage } from "./proto-parser.ts";

const plainScalars = new Set<string>(["string", "bool", "int32", "int64", "double", "bytes"]);

/** Messages whose JSON form is not an object with the message's fields. */
const messageScalars: Readonly<Record<string, Scalar>> = {
  "io.k8s.apimachinery.pkg.apis.meta.v1.Time": "Time",
  "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": "MicroTime",
  "io.k8s.apimachinery.pkg.apis.meta.v1.Duration": "Duration",
  "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": "raw",
  "io.k8s.apimachinery.pkg.api.resource.Quantity": "Quantity",
  "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "IntOrString",
  "io.k8s.apimachinery.pkg.runtime.RawExtension": "raw",
  "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON": "raw",
};

const hidden = new Set([...Object.keys(messageScalars)].map((name) => name));
for (const name of ["Timestamp", "TypeMeta"]) {
  hidden.add(`io.k8s.apimachinery.pkg.apis.meta.v1.${name}`);
}

interface Comment {
  readonly doc: string;
  readonly markers: ReadonlyMap<string, string>;
  readonly flags: ReadonlySet<string>;
}

/** Splits a comment into documentation and `+marker` lines, as upstream's OpenAPI does. */
export function readComment(lines: readonly string[]): Comment {
  const markers = new Map<string, string>();
  const flags = new Set<string>();
  let doc = "";
  let ended = false;
  for (const line of lines) {
    const marker = /^\s*\+([\w:]+)(?:=(.*))?$/.exec(line);
    if (marker) {
      const name = marker[1] as string;
      if (marker[2] === undefined) flags.add(name);
      else if (!markers.has(name)) markers.set(name, marker[2].trim());
      else if (name === "listMapKey") markers.set(name, `${markers.get(name)},${marker[2].trim()}`);
      continue;
    }
    if (line.startsWith("---")) ended = true;
    if (ended || /^(TODO|\+)/.test(line.trim())) continue;
    // One character goes, be it the blank after a line or the end of a paragraph.
    if (line.trim() === "") doc = `${doc.slice(0, -1)}\n\n`;
    else if (/^[ \t]/.test(line)) doc = `${doc.slice(0, -1)}\n${line.trimEnd()}\n`;
    else doc += `${line.trim()} `;
  }
  return { doc: doc.trim(), markers, flags };
}

export interface Model {
  /** `io.k8s.api.core.v1` */
  readonly prefix: string;
  /** `core-v1`, the name of the generated file. */
  readonly file: string;
  readonly messages: readonly MessageType[];
  /** Texts of the messages that are scalars here. */
  readonly scalarDocs: ReadonlyMap<string, string>;
  readonly withTypeMeta: ReadonlySet<string>;
}

/** The OpenAPI name prefix of a proto package: `k8s.io.api.core.v1` to `io.k8s.api.core.v1`. */
export function modelPrefix(protoPackage: string): string {
  return protoPackage.replace(/^k8s\.io\./, "io.k8s.").replaceAll("_", "-");
}

function parseDefault(text: string | undefined, go: GoPackage): unknown {
  if (text === undefined) return undefined;
  const reference = /^ref\((\w+)\)$/.exec(text);
  if (!reference) return JSON.parse(text);
  const value = go.constants.get(reference[1] as string);
  if (value === undefined) throw new Error(`no constant for +default=${text}`);
  return value;
}

function fieldOf(field: ProtoField, prefix: string): FieldType["of"] {
  if (plainScalars.has(field.type)) return { scalar: field.type as Scalar };
  const name = field.type.startsWith(".")
    ? modelPrefix(field.type.slice(1))
    : `${prefix}.${field.type}`;
  const scalar = messageScalars[name];
  if (scalar === undefined) return { message: name };
  return scalar === "raw" ? { scalar, type: name } : { scalar };
}

function patchOf(comment: Comment, tags: GoField | undefined) {
  const patchStrategy = tags?.patchStrategy ?? comment.markers.get("patchStrategy");
  const patchMergeKey = tags?.patchMergeKey ?? comment.markers.get("patchMergeKey");
  return {
    ...(patchStrategy === undefined ? {} : { patchStrategy }),
    ...(patchMergeKey === undefined ? {} : { patchMergeKey }),
  };
}

/**
 * In our own files markers are all there is to tell a pointer by: `+optional` is one, unless
 * `+value` says that an empty value means the same as none.
 */
function isPart(field: ProtoField): boolean {
  return field.name === "metadata" || field.name === "spec";
}

/** Go's name of a type that is none of its own, where the schema has a plain value or a map. */
function namedType(
  field: ProtoField,
  of: FieldType["of"],
  tags: GoField | undefined,
): string | undefined {
  const isPlain = "scalar" in of && plainScalars.has(of.scalar);
  if (tags === undefined || (!isPlain && field.label !== "map")) return undefined;
  return /\.[A-Z]/.test(tags.goType) ? tags.goType : undefined;
}

function isSingle(field: ProtoField): boolean {
  return field.label !== "repeated" && field.label !== "map";
}

/** A type of another package is one of the core's, by the names that files import that under. */
function enumOf(tags: GoField | undefined, go: GoPackage): readonly EnumValue[] {
  if (tags === undefined) return [];
  const { baseType, typePackage } = tags;
  const from = typePackage === "" ? go.enums : /^(core|api)?v1$/.test(typePackage) && go.coreEnums;
  return (from || undefined)?.get(baseType) ?? [];
}

/** What upstream adds to the text of a field that takes one of some values. */
function enumLines(values: readonly EnumValue[]): readonly string[] {
  if (values.length === 0) return [];
  const lines = values.map(({ value, text }) => ` - \`${JSON.stringify(value)}\` ${text}`);
  return ["", "Possible enum values:", ...lines.sort()];
}

function buildField(field: ProtoField, message: string, prefix: string, go: GoPackage): FieldType {
  const tags = go.structs.get(message)?.get(field.number);
  const values = enumOf(tags, go);
  const comment = readComment([...field.comment, ...(isSingle(field) ? enumLines(values) : [])]);
  const inline = tags?.inline === true || comment.flags.has("inline");
  const listType = comment.markers.get("listType") as FieldType["listType"];
  const mapType = comment.markers.get("mapType") ?? comment.markers.get("structType");
  const keys = comment.markers.get("listMapKey");
  const value = parseDefault(comment.markers.get("default"), go);
  const optional = comment.flags.has("optional");
  const isPointer = optional && isSingle(field) && !isPart(field) && !comment.flags.has("value");
  const pointer = tags?.pointer ?? isPointer;
  const of = fieldOf(field, prefix);
  const goType = namedType(field, of, tags);
  const named = tags?.jsonName || field.jsonName || field.name;
  return {
    name: named === "-" ? field.name : named,
    number: field.number,
    of,
    shape: field.label === "repeated" ? "list" : field.label === "map" ? "map" : "single",
    required: !optional && tags?.omitEmpty !== true,
    ...(tags?.omitEmpty === true && comment.flags.has("required") ? { needed: true } : {}),
    doc: comment.doc,
    ...((tags?.omitEmpty ?? optional) ? { omitEmpty: true } : {}),
    ...(tags?.omitZero === true ? { omitZero: true } : {}),
    ...(pointer ? { pointer } : {}),
    ...(inline ? { inline } : {}),
    ...(listType === undefined ? {} : { listType }),
    ...(keys === undefined ? {} : { listMapKeys: keys.split(",") }),
    ...(mapType === undefined ? {} : { mapType: mapType as "atomic" | "granular" }),
    ...patchOf(comment, tags),
    ...(goType === undefined ? {} : { goType }),
    ...(value === undefined ? {} : { default: value }),
    ...(values.length === 0 ? {} : { enum: values.map(({ value }) => value) }),
  };
}

function jsonForm(message: ProtoMessage, comment: Comment, go: GoPackage): MessageType["json"] {
  const form = comment.markers.get("json");
  if (form !== undefined) return form as MessageType["json"];
  const items = message.fields.length === 1 && message.fields[0]?.name === "items";
  return items && !go.structs.has(message.name) ? "list" : undefined;
}

/** Which fields exclude each other, and the field that tells which of them counts. */
function unionOf(message: ProtoMessage, comment: Comment): MessageType["union"] {
  if (!comment.flags.has("union")) return undefined;
  const tells = (field: ProtoField): boolean =>
    readComment(field.comment).flags.has("unionDiscriminator");
  const discriminator = message.fields.find(tells)?.name;
  const members = message.fields.filter((field) => !tells(field)).map(({ name }) => name);
  return { ...(discriminator === undefined ? {} : { discriminator }), members };
}

/** The model of one package. */
export function buildModel(proto: ProtoFile, go: GoPackage): Model {
  const prefix = modelPrefix(proto.package);
  const withTypeMeta = new Set(go.withTypeMeta);
  const messages: MessageType[] = [];
  const scalarDocs = new Map<string, string>();
  for (const message of proto.messages) {
    const name = `${prefix}.${message.name}`;
    const comment = readComment(message.comment);
    if (hidden.has(name)) {
      scalarDocs.set(name, comment.doc);
      continue;
    }
    if (comment.flags.has("kind")) withTypeMeta.add(message.name);
    const json = jsonForm(message, comment, go);
    const mapType = comment.markers.get("structType") as MessageType["mapType"];
    const union = unionOf(message, comment);
    messages.push({
      name,
      doc: comment.doc,
      fields: message.fields.map((field) => buildField(field, message.name, prefix, go)),
      ...(json === undefined ? {} : { json }),
      ...(mapType === undefined ? {} : { mapType }),
      ...(union === undefined ? {} : { union }),
      ...(withTypeMeta.has(message.name) ? { kind: message.name } : {}),
    });
  }
  const file = prefix.split(".").slice(-2).join("-");
  return { prefix, file, messages, scalarDocs, withTypeMeta };
}
