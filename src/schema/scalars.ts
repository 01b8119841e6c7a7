/** Checks and normalises scalar JSON values as Go's decoders do. */
import { formatDurationNanos, tryParseDurationNanos } from "../lib/duration.ts";
import { formatQuantity, quantityRule, tryParseQuantity } from "../lib/quantity.ts";
import type { Scalar } from "./type-table.ts";

/** A value of a wrong JSON type: the decoder adds where it stands. */
export class WrongType extends Error {
  constructor(readonly value: string) {
    super(value);
  }
}

/** A value of the right JSON type that cannot be read; the message is Go's own. */
export class BadValue extends Error {}

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
  return typeof value === "boolean" ? "bool" : typeof value;
}

function readInteger(value: unknown, scalar: "int32" | "int64"): number {
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

function readTime(value: unknown, fractionDigits: 0 | 6): string {
  if (typeof value !== "string") throw new WrongType(jsonTypeName(value));
  const match = timePattern.exec(value);
  const date = match ? new Date(value.replace(",", ".")) : undefined;
  const day = Number(match?.[3]);
  if (!match || date === undefined || Number.isNaN(date.getTime()) || !dayExists(match, day)) {
    const layout =
      fractionDigits === 0 ? "2006-01-02T15:04:05Z07:00" : "2006-01-02T15:04:05.000000Z07:00";
    const text = JSON.stringify(value);
    throw new BadValue(`parsing time ${text} as "${layout}": cannot parse ${text}`);
  }
  if (fractionDigits === 0 && canonicalTime.test(value)) return value;
  const seconds = date.toISOString().slice(0, 19);
  if (fractionDigits === 0) return `${seconds}Z`;
  return `${seconds}.${(match[7] ?? "").slice(0, 6).padEnd(6, "0")}Z`;
}

/** Date accepts 30 February and 24:00; Go does not. */
function dayExists(match: RegExpExecArray, day: number): boolean {
  const days = new Date(Date.UTC(Number(match[1]), Number(match[2]), 0)).getUTCDate();
  return day >= 1 && day <= days && Number(match[4]) < 24;
}

function readQuantity(value: unknown): string {
  if (typeof value !== "string" && typeof value !== "number") {
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
  const what = typeof value === "number" ? `number ${value}` : jsonTypeName(value);
  throw new BadValue(`json: cannot unmarshal ${what} into Go value of type int32`);
}

function readDuration(value: unknown): string {
  if (typeof value !== "string") {
    const what = jsonTypeName(value);
    throw new BadValue(`json: cannot unmarshal ${what} into Go value of type string`);
  }
  const nanos = tryParseDurationNanos(value);
  if (nanos === undefined) throw new BadValue(`time: invalid duration ${JSON.stringify(value)}`);
  return formatDurationNanos(nanos);
}

function readBytes(value: unknown): string {
  if (typeof value !== "string") throw new WrongType(jsonTypeName(value));
  const text = value.includes("\n") || value.includes("\r") ? value.replace(/[\r\n]/g, "") : value;
  const bad = /[^A-Za-z0-9+/=]/.exec(text);
  if (bad) throw new BadValue(`illegal base64 data at input byte ${bad.index}`);
  if (text.length % 4 !== 0 || !/^[^=]*={0,2}$/.test(text)) {
    throw new BadValue(`illegal base64 data at input byte ${text.replace(/=+$/, "").length}`);
  }
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
