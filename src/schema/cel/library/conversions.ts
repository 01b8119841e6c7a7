/** Conversions between types: `int("1")`, `string(2.5)`, `timestamp("…")`. */
import type { Functions } from "../check/functions.ts";
import { CelFault } from "../fault.ts";
import { CelDuration, CelTimestamp, CelUint, checkInt, checkUint } from "../scalars.ts";
import { parseDuration, parseTimestamp } from "./go-time.ts";
import { doubleText } from "./numbers.ts";

function failure(from: string, to: string): CelFault {
  return new CelFault(`type conversion error from '${from}' to '${to}'`);
}
function same<T>(value: T): T {
  return value;
}

/** Drops the fraction. */
function truncated(value: number, kind: "integer" | "unsigned integer"): bigint {
  if (Number.isFinite(value)) return BigInt(Math.trunc(value));
  throw new CelFault(`${kind} overflow`);
}

const truths = new Map<string, boolean>([
  ...["1", "t", "T", "true", "TRUE", "True"].map((text) => [text, true] as const),
  ...["0", "f", "F", "false", "FALSE", "False"].map((text) => [text, false] as const),
]);

export function registerConversions(functions: Functions): void {
  registerNumbers(functions);
  registerTimes(functions);
  functions
    .add("bool(bool): bool", same)
    .add("bool(string): bool", (text: string) => {
      const truth = truths.get(text);
      if (truth === undefined) throw failure("string", "bool");
      return truth;
    })
    .add("bytes(bytes): bytes", same)
    .add(
      "bytes(string): bytes",
      (text: string) => new TextEncoder().encode(text),
      "string_to_bytes",
    );
  const text = (type: string, run: (value: never) => string, id = ""): void => {
    functions.add(`string(${type}): string`, run, id);
  };
  text("string", same);
  text("bool", String);
  text("int", String);
  text("uint", String);
  text("double", doubleText);
  text("timestamp", String);
  text("duration", String);
  text("bytes", utf8, "bytes_to_string");
}

function utf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new CelFault("invalid UTF-8 in bytes, cannot convert to string");
  }
}

function registerNumbers(functions: Functions): void {
  functions
    .add("int(int): int", same)
    .add("int(uint): int", ({ value }: CelUint) => checkInt(value))
    .add("int(double): int", (value: number) => checkInt(truncated(value, "integer")))
    .add("int(string): int", (text: string) => {
      const value = /^[+-]?\d+$/.test(text) ? BigInt(text.replace("+", "")) : 2n ** 64n;
      if (BigInt.asIntN(64, value) !== value) throw failure("string", "int");
      return value;
    })
    .add("int(timestamp): int", ({ seconds }: CelTimestamp) => seconds)
    .add("int(duration): int", ({ nanos }: CelDuration) => nanos)
    .add("uint(uint): uint", same)
    .add("uint(int): uint", checkUint)
    .add("uint(double): uint", (value: number) => checkUint(truncated(value, "unsigned integer")))
    .add("uint(string): uint", (text: string) => {
      const value = /^\d+$/.test(text) ? BigInt(text) : 2n ** 64n;
      if (value >= 2n ** 64n) throw failure("string", "uint");
      return new CelUint(value);
    })
    .add("double(double): double", same)
    .add("double(int): double", Number)
    .add("double(uint): double", ({ value }: CelUint) => Number(value))
    .add("double(string): double", (text: string) => {
      const special = /^([+-]?)(?:inf|infinity|(nan))$/i.exec(text);
      if (special !== null) {
        if (special[2] !== undefined) return Number.NaN;
        return special[1] === "-" ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
      }
      const isNumber = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text);
      if (!isNumber || !Number.isFinite(Number(text))) throw failure("string", "double");
      return Number(text);
    });
}

function registerTimes(functions: Functions): void {
  functions
    .add("timestamp(timestamp): timestamp", same)
    .add("timestamp(int): timestamp", (seconds: bigint) => new CelTimestamp(seconds, 0n))
    .add("timestamp(string): timestamp", (text: string) => {
      const time = parseTimestamp(text);
      if (time === undefined) throw failure("string", "google.protobuf.Timestamp");
      return time;
    })
    .add("duration(duration): duration", same)
    .add("duration(int): duration", (nanos: bigint) => new CelDuration(nanos))
    .add("duration(string): duration", (text: string) => {
      const duration = parseDuration(text);
      if (duration === undefined) throw failure("string", "google.protobuf.Duration");
      return duration;
    });
}
