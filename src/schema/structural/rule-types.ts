/** The types of a schema as rules see them, with the sizes that costs are estimated by. */
import * as types from "../cel/check/types.ts";
import type { Path } from "../cel/cost/estimate.ts";
import { celFieldName } from "../cel/values.ts";
import type { Structural } from "./schema.ts";

/** A type, and how much of it may come in one request. */
export interface RuleType {
  readonly type: types.CelType;
  /** Characters, bytes, elements. */
  readonly maxElements: number;
  /** The fewest bytes that a value takes as JSON. */
  readonly minBytes: number;
  /** Of lists and maps. */
  readonly item?: RuleType;
  readonly key?: RuleType;
  /** Of objects, by the names that rules use. */
  readonly fields?: ReadonlyMap<string, RuleType>;
}

/** The largest request, and the shortest forms of values, by which upstream estimates. */
const bytes = {
  requestMax: 3 * 1024 * 1024,
  durationMax: 32,
  dateTimeMax: 32,
  date: 12,
  durationMin: 3,
  dateTimeMin: 21,
  stringMin: 2,
  boolMin: 4,
  numberMin: 1,
  codePoint: 4,
} as const;

const string = simple(types.string, 0, bytes.stringMin);
const metadata: Structural = {
  type: "object",
  properties: { name: { type: "string" }, generateName: { type: "string" } },
};

function simple(type: types.CelType, maxElements: number, minBytes: number): RuleType {
  return { type, maxElements, minBytes };
}

/** Undefined for what rules cannot see: fields without a type, lists of such. */
export function ruleType(
  schema: Structural,
  isResource: boolean,
  name = "selfType",
): RuleType | undefined {
  if (schema["x-kubernetes-int-or-string"] === true) {
    const { maxLength } = schema;
    const most = maxLength === undefined ? bytes.requestMax - 2 : codePointBytes(maxLength);
    return simple(types.dyn, most, bytes.numberMin);
  }
  switch (schema.type) {
    case "array":
      return listType(schema, name);
    case "object":
      return objectType(isResource ? withMetadata(schema) : schema, name);
    case "string":
      return stringType(schema);
    case "boolean":
      return simple(types.bool, 0, bytes.boolMin);
    case "number":
      return simple(types.double, 0, bytes.numberMin);
    case "integer":
      return simple(types.int, 0, bytes.numberMin);
    default:
      return undefined;
  }
}

/** Every object has these, whatever its schema says. */
export function withMetadata(schema: Structural): Structural {
  const { kind, apiVersion, metadata: own } = schema.properties ?? {};
  const isWhole = kind?.type === "string" && apiVersion?.type === "string";
  const names = own?.properties ?? {};
  if (isWhole && names.name?.type === "string" && names.generateName?.type === "string") {
    return schema;
  }
  const common = { kind: { type: "string" }, apiVersion: { type: "string" }, metadata };
  return { ...schema, properties: { ...schema.properties, ...common } };
}

function embedded(schema: Structural): boolean {
  return schema["x-kubernetes-embedded-resource"] === true;
}

function listType(schema: Structural, name: string): RuleType | undefined {
  const { items, maxItems } = schema;
  const item = items === undefined ? undefined : ruleType(items, embedded(items), `${name}.@idx`);
  if (item === undefined) return undefined;
  const most = maxItems ?? Math.floor((bytes.requestMax - 2) / (item.minBytes + 1));
  return { ...simple(types.listOf(item.type), Math.max(0, most), 2), item };
}

function mapType(schema: Structural, of: Structural, name: string): RuleType | undefined {
  const item = ruleType(of, embedded(of), `${name}.@elem`);
  if (item === undefined) return undefined;
  const most = schema.maxProperties ?? Math.floor((bytes.requestMax - 2) / (item.minBytes + 6));
  return {
    ...simple(types.mapOf(types.string, item.type), Math.max(0, most), 2),
    item,
    key: string,
  };
}

function objectType(schema: Structural, name: string): RuleType | undefined {
  const { additionalProperties, properties = {}, required = [] } = schema;
  if (typeof additionalProperties === "object") return mapType(schema, additionalProperties, name);
  const fields = new Map<string, RuleType>();
  let minBytes = 2;
  for (const [jsonName, property] of Object.entries(properties)) {
    const word = celFieldName(jsonName);
    const field = ruleType(property, embedded(property), `${name}.${word ?? jsonName}`);
    if (field === undefined) continue;
    if (word !== undefined) fields.set(word, field);
    const isSure = required.includes(jsonName) && (property.default ?? null) === null;
    if (isSure) minBytes += jsonName.length + field.minBytes + 4;
  }
  return { ...simple(types.struct(name, fields), 0, minBytes), fields };
}

function codePointBytes(length: number): number {
  return Math.max(0, length) * bytes.codePoint;
}

function stringType({ format, maxLength, enum: values = [] }: Structural): RuleType {
  switch (format) {
    case "byte":
      return simple(types.bytes, maxLength ?? bytes.requestMax - 2, bytes.stringMin);
    case "duration":
      return simple(types.duration, bytes.durationMax, bytes.durationMin);
    case "date":
      return simple(types.timestamp, bytes.date, bytes.date);
    case "date-time":
      return simple(types.timestamp, bytes.dateTimeMax, bytes.dateTimeMin);
    default:
      break;
  }
  const lengths = values.map((one) => (typeof one === "string" ? Buffer.byteLength(one) : 0));
  const most = lengths.length > 0 ? Math.max(...lengths) : bytes.requestMax - 2;
  const max = maxLength === undefined ? most : codePointBytes(maxLength);
  return simple(types.string, max, bytes.stringMin);
}

/** How often a value of the type fits into one request. */
export function cardinality({ minBytes }: RuleType): number {
  return Math.floor(bytes.requestMax / (minBytes + 1));
}

/** The size of the part at `path`, whose first step is the variable that has the type. */
export function sizeAt(root: RuleType, [, ...steps]: Path): number | undefined {
  let type: RuleType | undefined = root;
  for (const step of steps) {
    if (step === "@items" || step === "@values") type = type?.item;
    else if (step === "@keys") type = type?.key;
    else type = type?.fields?.get(step);
  }
  return type?.maxElements;
}
