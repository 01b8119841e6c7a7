/**
 * The OpenAPI document of version 2 in gnostic's protobuf form (`openapi.v2.Document`), the only
 * form that Go's discovery client reads: kubectl asks for it before it calls a kind unknown.
 */
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type { Json } from "./openapi-schemas.ts";

/** Writes `value` as field `number` of the message that is being written. */
type Put = (writer: BinaryWriter, number: number, value: unknown) => void;
type Members = Readonly<Record<string, readonly [number: number, put: Put]>>;

function inside(writer: BinaryWriter, number: number, write: () => void): void {
  writer.tag(number, WireType.LengthDelimited).fork();
  write();
  writer.join();
}

const text: Put = (writer, number, value) =>
  writer.tag(number, WireType.LengthDelimited).string(String(value));
const flag: Put = (writer, number, value) =>
  writer.tag(number, WireType.Varint).bool(value === true);
const whole: Put = (writer, number, value) =>
  writer.tag(number, WireType.Varint).int64(Number(value));
const real: Put = (writer, number, value) =>
  writer.tag(number, WireType.Bit64).double(Number(value));
/** What has no fixed form is sent as YAML, of which JSON is a part. */
const any: Put = (writer, number, value) =>
  inside(writer, number, () => text(writer, 2, JSON.stringify(value)));
const each =
  (put: Put): Put =>
  (writer, number, value) => {
    for (const item of value as readonly unknown[]) put(writer, number, item);
  };
/** A message whose field `field` holds what `put` writes. */
const wrapped =
  (field: number, put: Put): Put =>
  (writer, number, value) =>
    inside(writer, number, () => put(writer, field, value));
/** A message whose field `field` lists the members of an object as pairs of name and value. */
const named =
  (field: number, put: Put): Put =>
  (writer, number, value) =>
    inside(writer, number, () => {
      for (const [name, item] of Object.entries(value as Json))
        inside(writer, field, () => {
          text(writer, 1, name);
          put(writer, 2, item);
        });
    });
/** Members by name; what begins with `x-` goes to the field `extensions`. */
const message =
  (members: () => Members, extensions: number): Put =>
  (writer, number, value) =>
    inside(writer, number, () => putMembers(writer, value as Json, members(), extensions));

function putMembers(writer: BinaryWriter, from: Json, members: Members, extensions: number): void {
  for (const [name, value] of Object.entries(from)) {
    const member = members[name];
    if (member !== undefined) member[1](writer, member[0], value);
    else if (name.startsWith("x-"))
      inside(writer, extensions, () => {
        text(writer, 1, name);
        any(writer, 2, value);
      });
  }
}

const schema: Put = message(() => schemaMembers, 31);
const schemaOrFlag: Put = (writer, number, value) =>
  inside(writer, number, () =>
    typeof value === "boolean" ? flag(writer, 2, value) : schema(writer, 1, value),
  );
const schemaMembers: Members = {
  $ref: [1, text],
  format: [2, text],
  title: [3, text],
  description: [4, text],
  default: [5, any],
  multipleOf: [6, real],
  maximum: [7, real],
  exclusiveMaximum: [8, flag],
  minimum: [9, real],
  exclusiveMinimum: [10, flag],
  maxLength: [11, whole],
  minLength: [12, whole],
  pattern: [13, text],
  maxItems: [14, whole],
  minItems: [15, whole],
  uniqueItems: [16, flag],
  maxProperties: [17, whole],
  minProperties: [18, whole],
  required: [19, each(text)],
  enum: [20, each(any)],
  additionalProperties: [21, schemaOrFlag],
  type: [22, wrapped(1, text)],
  items: [23, wrapped(1, schema)],
  properties: [25, named(1, schema)],
};

const bodyMembers: Members = {
  description: [1, text],
  name: [2, text],
  in: [3, text],
  required: [4, flag],
  schema: [5, schema],
};
const pathMembers: Members = {
  required: [1, flag],
  in: [2, text],
  description: [3, text],
  name: [4, text],
  type: [5, text],
  format: [6, text],
  uniqueItems: [19, flag],
};
const queryMembers: Members = {
  ...pathMembers,
  type: [6, text],
  format: [7, text],
  uniqueItems: [20, flag],
};

/** A parameter stands in a choice, by the place it is sent in. */
const parameter: Put = (writer, number, value) => {
  const from = value as Json;
  const place = from.in;
  const put = (members: Members, extensions: number) => () =>
    putMembers(writer, from, members, extensions);
  inside(writer, number, () => {
    if (place === "body") inside(writer, 1, put(bodyMembers, 6));
    else
      inside(writer, 2, () => {
        if (place === "path") inside(writer, 4, put(pathMembers, 22));
        else inside(writer, 3, put(queryMembers, 23));
      });
  });
};
/** A parameter itself, or where it is found. */
const parameterItem: Put = (writer, number, value) => {
  const { $ref } = value as Json;
  if ($ref === undefined) return wrapped(1, parameter)(writer, number, value);
  inside(writer, number, () => wrapped(1, text)(writer, 2, $ref));
};

const responseMembers: Members = { description: [1, text], schema: [2, wrapped(1, schema)] };
const operationMembers: Members = {
  tags: [1, each(text)],
  summary: [2, text],
  description: [3, text],
  operationId: [5, text],
  produces: [6, each(text)],
  consumes: [7, each(text)],
  parameters: [8, each(parameterItem)],
  responses: [
    9,
    named(
      1,
      wrapped(
        1,
        message(() => responseMembers, 5),
      ),
    ),
  ],
  schemes: [10, each(text)],
};
const operation: Put = message(() => operationMembers, 13);
const itemMembers: Members = {
  get: [2, operation],
  put: [3, operation],
  post: [4, operation],
  delete: [5, operation],
  options: [6, operation],
  head: [7, operation],
  patch: [8, operation],
  parameters: [9, each(parameterItem)],
};
const infoMembers: Members = { title: [1, text], version: [2, text] };
const apiKeyMembers: Members = {
  type: [1, text],
  name: [2, text],
  in: [3, text],
  description: [4, text],
};
const documentMembers: Members = {
  swagger: [1, text],
  info: [2, message(() => infoMembers, 7)],
  paths: [
    8,
    named(
      2,
      message(() => itemMembers, 10),
    ),
  ],
  definitions: [9, named(1, schema)],
  parameters: [10, named(1, parameter)],
  security: [12, each(named(1, wrapped(1, each(text))))],
  securityDefinitions: [
    13,
    named(
      1,
      wrapped(
        2,
        message(() => apiKeyMembers, 5),
      ),
    ),
  ],
};

/** The bytes of a document of version 2. */
export function encodeOpenApiV2(document: Json): Uint8Array<ArrayBuffer> {
  const writer = new BinaryWriter();
  putMembers(writer, document, documentMembers, 16);
  return new Uint8Array(writer.finish());
}
