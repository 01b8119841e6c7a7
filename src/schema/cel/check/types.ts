/** CEL's types, and how they are written: in declarations and in errors. */

export type TypeKind =
  | "dyn"
  | "error"
  | "null"
  | "bool"
  | "int"
  | "uint"
  | "double"
  | "string"
  | "bytes"
  | "timestamp"
  | "duration"
  | "list"
  | "map"
  | "struct"
  | "opaque"
  | "type"
  | "param";

export interface CelType {
  readonly kind: TypeKind;
  readonly name: string;
  readonly params: readonly CelType[];
  /** Of a struct whose fields are known. */
  readonly fields?: Fields;
}

export type Fields = ReadonlyMap<string, { readonly type: CelType }>;

function simple(kind: TypeKind, name: string = kind): CelType {
  return { kind, name, params: [] };
}

export const dyn = simple("dyn");
/** What may be anything, by the name that messages have for it. */
export const any = simple("dyn", "any");
export const error = simple("error", "!error!");
export const bool = simple("bool");
export const int = simple("int");
export const double = simple("double");
export const string = simple("string");
export const bytes = simple("bytes");
export const timestamp = simple("timestamp", "google.protobuf.Timestamp");
export const duration = simple("duration", "google.protobuf.Duration");
const scalars: ReadonlyMap<string, CelType> = new Map([
  ["dyn", dyn],
  ["bool", bool],
  ["int", int],
  ["uint", simple("uint")],
  ["double", double],
  ["string", string],
  ["bytes", bytes],
  ["timestamp", timestamp],
  ["duration", duration],
  ["null", simple("null", "null_type")],
]);
export const typeOfNull = scalars.get("null") as CelType;
export const uint = scalars.get("uint") as CelType;

export function listOf(item: CelType): CelType {
  return { kind: "list", name: "list", params: [item] };
}
export function mapOf(key: CelType, value: CelType): CelType {
  return { kind: "map", name: "map", params: [key, value] };
}
export function optionalOf(value: CelType): CelType {
  return { kind: "opaque", name: "optional_type", params: [value] };
}
export function typeOf(type: CelType): CelType {
  return { kind: "type", name: "type", params: [type] };
}
export function param(name: string): CelType {
  return simple("param", name);
}
export function struct(name: string, fields?: Fields): CelType {
  return { kind: "struct", name, params: [], ...(fields === undefined ? {} : { fields }) };
}
export function opaque(name: string): CelType {
  return simple("opaque", name);
}

/** True for `optional_type(x)`. */
export function isOptional(type: CelType): boolean {
  return type.kind === "opaque" && type.name === "optional_type";
}

export function isExact(a: CelType, b: CelType): boolean {
  if (a === b) return true;
  if (a.kind !== b.kind || a.name !== b.name || a.params.length !== b.params.length) return false;
  return a.params.every((one, index) => isExact(one, b.params[index] as CelType));
}

/** As errors name the type: `map(string, list(int))`. */
export function formatType(type: CelType): string {
  switch (type.kind) {
    case "null":
    case "timestamp":
    case "duration":
      return type.kind;
    default:
      if (type.params.length === 0) return type.name;
      return `${type.name}(${type.params.map(formatType).join(", ")})`;
  }
}

/** The types that declarations name besides the scalar ones. */
const named = new Map<string, CelType>();

/** Makes a type known by its name; @returns the type. */
export function nameType(type: CelType): CelType {
  named.set(type.name, type);
  return type;
}

function opaqueNamed(name: string): CelType | undefined {
  const type = named.get(name);
  return type?.kind === "opaque" ? type : undefined;
}

/** Types by the names that expressions have for them: `int`, `net.IP`. */
export function typeNamed(name: string): CelType | undefined {
  switch (name) {
    case "list":
      return listOf(dyn);
    case "map":
      return mapOf(dyn, dyn);
    case "type":
      return typeOf(dyn);
    case "null_type":
      return typeOfNull;
    case "optional_type":
      return optionalOf(dyn);
    case timestamp.name:
      return timestamp;
    case duration.name:
      return duration;
    default:
      return scalars.get(name)?.name === name ? scalars.get(name) : opaqueNamed(name);
  }
}

/** Reads a type as declarations write it: `map<string, list<T>>`, a capital for any type. */
export function parseType(text: string): CelType {
  const { type, rest } = readType(text.trim());
  if (rest.trim() !== "") throw new Error(`no type: ${text}`);
  return type;
}

function readType(text: string): { readonly type: CelType; readonly rest: string } {
  const [name = ""] = /^[A-Za-z_][\w.]*/.exec(text) ?? [];
  let rest = text.slice(name.length);
  const params: CelType[] = [];
  while (/^\s*[<,]/.test(rest) && (params.length > 0 || /^\s*</.test(rest))) {
    const inner = readType(rest.replace(/^\s*[<,]\s*/, ""));
    params.push(inner.type);
    rest = inner.rest.trimStart();
    if (rest.startsWith(">")) {
      rest = rest.slice(1);
      break;
    }
  }
  return { type: made(name, params), rest };
}

function made(name: string, params: readonly CelType[]): CelType {
  const [first = dyn, second = dyn] = params;
  if (name === "list") return listOf(first);
  if (name === "map") return mapOf(first, second);
  if (name === "optional") return optionalOf(first);
  if (name === "type") return typeOf(first);
  if (/^[A-Z]$/.test(name)) return param(name);
  const type = scalars.get(name) ?? named.get(name);
  if (type === undefined) throw new Error(`no type: ${name}`);
  return type;
}
