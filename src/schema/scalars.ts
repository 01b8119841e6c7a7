/** Checks and normalises scalar JSON values as Go's decoders do. */
import { formatDurationNanos, tryParseDurationNanos } from "../lib/duration.ts";
import { formatQuantity, quantityRule, tryParseQuantity } from "../lib/quantity.ts";
import type { Scalar } from "./type-table.ts";

/** A value of a wrong JSON type: the decoder adds where it stands. */
export class WrongType extends Error {
  /** `wanted` is the type's name where that is not the field's own. */
  constructor(
    readonly value: string,
    readonly wanted?: string,
  ) {
    super(value);
  }
}

/** A value that its type's own reader refuses; the message is Go's own. */
export class BadValue extends Error {}

/** The error of a reader that asks JSON for a simpler type first. */
function notOfType(value: unknown, type: string): BadValue {
  const isNumber = typeof value === "number" || typeof value === "bigint";
  const what = isNumber && type !== "string" ? `number ${value}` : jsonTypeName(value);
  return new BadValue(`json: cannot unmarshal ${what} into Go value of type ${type}`);
}

const int32Max = 2 ** 31 - 1;

/** The Go name of a scalar's type. */
export const goScalarTypes: Readonly<Record<Scalar, string>> = {
  string: "string",
  bool: "bool",
  int32: "int32",
  int64: "int64",
  double: "float64",
  bytes: "[]uint8",
  Time: "v1.Time",
  MicroTime: "v1.MicroTime",
  Quantity: "resource.Quantity",
  IntOrString: "intstr.IntOrString",
  Duration: "v1.Duration",
  raw: "runtime.RawExtension",
};

/** How Go's JSON errors call the type of a value. */
export function jsonTypeName(value: unknown): string {
  if (Array.isArray(value)) return "array";
  if (typeof value === "boolean") return "bool";
  return typeof value === "bigint" ? "number" : typeof value;
}

function readInteger(value: unknown, scalar: "int32" | "int64"): number | bigint {
  if (typeof value === "bigint") {
    if (scalar === "int64") return value;
    throw new WrongType(`number ${value}`);
  }
  if (typeof value !== "number") throw new WrongType(jsonTypeName(value));
  const most = scalar === "int32" ? int32Max : Number.MAX_SAFE_INTEGER;
  if (!Number.isInteger(value) || value > most || value < -most - 1) {
    throw new WrongType(`number ${value}`);
  }
  return value === 0 ? 0 : value;
}

const timePattern =
  /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(Z|[+-](\d\d):(\d\d))$/;
const canonicalTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;

const microPattern = /:\d\d[.,]\d{6}(Z|[+-]\d\d:\d\d)$/;

function readTime(value: unknown, fractionDigits: 0 | 6): string {
  if (typeof value !== "string") throw notOfType(value, "string");
  const isWhole = fractionDigits === 0 || microPattern.test(value);
  const match = isWhole ? timePattern.exec(value) : null;
  const date = match ? new Date(value.replace(",", ".")) : undefined;
  const day = Number(match?.[3]);
  if (!match || date === undefined || Number.isNaN(date.getTime()) || !dayExists(match, day)) {
    const layout =
      fractionDigits === 0 ? "2006-01-02T15:04:05Z07:00" : "2006-01-02T15:04:05.000000Z07:00";
    throw new BadValue(`parsing time ${goQuote(value)}${timeProblem(value, layout)}`);
  }
  if (fractionDigits === 0 && canonicalTime.test(value)) return value;
  const seconds = date.toISOString().slice(0, 19);
  if (fractionDigits === 0) return `${seconds}Z`;
  return `${seconds}.${(match[7] ?? "").slice(0, 6).padEnd(6, "0")}Z`;
}

/** What Go writes in a layout, and what it takes there. */
const layoutParts = [
  ["2006", /^\d{4}/],
  ["-", /^-/],
  ["01", /^\d\d/],
  ["-", /^-/],
  ["02", /^\d\d/],
  ["T", /^T/],
  ["15", /^\d\d?/],
  [":", /^:/],
  ["04", /^\d\d/],
  [":", /^:/],
] as const;
const secondParts = [
  ["05", /^\d\d(?:[.,]\d+)?/],
  ["Z07:00", /^(?:Z|[+-]\d\d:\d\d)/],
] as const;
const microParts = [
  ["05", /^\d\d/],
  [".000000", /^[.,]\d{6}/],
  ["Z07:00", /^(?:Z|[+-]\d\d:\d\d)/],
] as const;

/** A text as Go's package of time quotes it: byte by byte where it is no plain ASCII. */
function goQuote(text: string): string {
  const bytes = [...Buffer.from(text)].map((byte) => {
    if (byte === 0x22 || byte === 0x5c) return `\\${String.fromCharCode(byte)}`;
    if (byte >= 0x20 && byte < 0x80) return String.fromCharCode(byte);
    return `\\x${byte.toString(16).padStart(2, "0")}`;
  });
  return `"${bytes.join("")}"`;
}

/** The end of Go's message about a text that is no time, as its parser goes over the layout. */
function timeProblem(text: string, layout: string): string {
  let rest = text;
  const ends = layout.includes(".000000") ? microParts : secondParts;
  for (const [part, pattern] of [...layoutParts, ...ends]) {
    const found = pattern.exec(rest)?.[0];
    if (found === undefined) return ` as "${layout}": cannot parse ${goQuote(rest)} as "${part}"`;
    rest = rest.slice(found.length);
  }
  if (rest !== "") return `: extra text: ${goQuote(rest)}`;
  const [, , month = "", , hour = "", minute = ""] = timePattern.exec(text) ?? [];
  const range = (value: string, end: number): boolean => Number(value) >= end;
  if (Number(month) < 1 || range(month, 13)) return ": month out of range";
  if (range(hour, 24)) return ": hour out of range";
  return range(minute, 60) ? ": minute out of range" : ": day out of range";
}

/** Date accepts 30 February and 24:00; Go does not. */
function dayExists(match: RegExpExecArray, day: number): boolean {
  const days = new Date(Date.UTC(Number(match[1]), Number(match[2]), 0)).getUTCDate();
  return day >= 1 && day <= days && Number(match[4]) < 24;
}

function readQuantity(value: unknown): string {
  if (typeof value !== "string" && typeof value !== "number" && typeof value !== "bigint") {
    throw new BadValue(quantityRule);
  }
  const quantity = tryParseQuantity(String(value).trim());
  if (quantity === undefined) throw new BadValue(quantityRule);
  return formatQuantity(quantity);
}

function readIntOrString(value: unknown): string | number {
  if (typeof value === "string") return value;
  if (typeof value === "number" && Number.isInteger(value) && Math.abs(value) <= int32Max + 1) {
    return value;
  }
  throw notOfType(value, "int32");
}

function readDuration(value: unknown): string {
  if (typeof value !== "string") throw notOfType(value, "string");
  const nanos = tryParseDurationNanos(value);
  if (nanos === undefined) throw new BadValue(`time: invalid duration ${JSON.stringify(value)}`);
  return formatDurationNanos(nanos);
}

/** Where Go's decoder stops; -1 when it takes the whole text. */
function badBase64At(text: string): number {
  const strange = text.search(/[^A-Za-z0-9+/=]/);
  const padding = text.indexOf("=");
  if (strange >= 0 && (padding < 0 || strange < padding)) return strange;
  if (padding < 0) return text.length % 4 === 0 ? -1 : text.length - (text.length % 4);
  const within = padding % 4;
  if (within < 2) return padding;
  if (within === 2 && padding + 1 === text.length) return text.length;
  if (within === 2 && text[padding + 1] !== "=") return padding;
  const end = padding + (within === 2 ? 2 : 1);
  return end < text.length ? end : -1;
}

/** The bytes of a list, which Go takes as well. */
function readByteList(values: readonly unknown[]): string {
  const bytes = values.map((value) => {
    if (value === null) return 0;
    if (typeof value !== "number") throw new WrongType(jsonTypeName(value), "uint8");
    if (!Number.isInteger(value) || value < 0 || value > 255)
      throw new WrongType(`number ${value}`, "uint8");
    return value;
  });
  return Buffer.from(bytes).toString("base64");
}

function readBytes(value: unknown): string {
  if (Array.isArray(value)) return readByteList(value);
  if (typeof value !== "string") throw new WrongType(jsonTypeName(value));
  const text = value.includes("\n") || value.includes("\r") ? value.replace(/[\r\n]/g, "") : value;
  const place = badBase64At(text);
  if (place >= 0) throw new BadValue(`illegal base64 data at input byte ${place}`);
  return text;
}

/** The value as it is kept; throws WrongType or BadValue. `value` is not null. */
export function readScalar(scalar: Scalar, value: unknown): unknown {
  switch (scalar) {
    case "string":
      if (typeof value !== "string") throw new WrongType(jsonTypeName(value));
      return value;
    case "bool":
      if (typeof value !== "boolean") throw new WrongType(jsonTypeName(value));
      return value;
    case "int32":
    case "int64":
      return readInteger(value, scalar);
    case "double":
      if (typeof value === "bigint") return Number(value);
      if (typeof value !== "number") throw new WrongType(jsonTypeName(value));
      return value;
    case "bytes":
      return readBytes(value);
    case "Time":
      return readTime(value, 0);
    case "MicroTime":
      return readTime(value, 6);
    case "Quantity":
      return readQuantity(value);
    case "IntOrString":
      return readIntOrString(value);
    case "Duration":
      return readDuration(value);
    case "raw":
      return value;
  }
}

/** What Go has where nothing was given; undefined where JSON has null. */
export function zeroScalar(scalar: Scalar): unknown {
  switch (scalar) {
    case "string":
    case "bytes":
      return "";
    case "bool":
      return false;
    case "int32":
    case "int64":
    case "double":
    case "IntOrString":
      return 0;
    case "Quantity":
      return "0";
    case "Duration":
      return "0s";
    default:
      return undefined;
  }
}
