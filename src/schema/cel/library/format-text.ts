/** `"%s is %d".format([…])` as version 2 of cel-go's string extensions has it. */
import { CelFault } from "../fault.ts";
import { isMap, mapEntries } from "../run/map.ts";
import { CelOpaque, typeName } from "../run/values.ts";
import { CelDuration, CelTimestamp, CelUint } from "../scalars.ts";
import { verbRules } from "./format-rules.ts";
import { doubleText } from "./numbers.ts";

const limits = { precisionMax: 1000 } as const;
const clause = /%(?:(%)|(?:\.(\d+))?(.)?)/gsu;

export function formatText(text: string, values: readonly unknown[]): string {
  let used = 0;
  return text.replace(clause, (_whole, percent?: string, precision?: string, verb?: string) => {
    if (percent !== undefined) return "%";
    if (verb === undefined) throw new CelFault("unexpected end of string");
    if (used >= values.length) throw new CelFault(`index ${used} out of range`);
    if (Number(precision ?? 0) > limits.precisionMax) {
      throw new CelFault(`precision too large: ${precision}`);
    }
    return formatted(values[used++], verb, precision === undefined ? 6 : Number(precision));
  });
}

function formatted(value: unknown, verb: string, precision: number): string {
  switch (verb) {
    case "s":
      return textOf(value);
    case "d":
      if (typeof value === "bigint" || value instanceof CelUint) return String(value);
      throw wrongType("d", value);
    case "f":
      return grouped(real(value, "f"), precision);
    case "e":
      return scientific(real(value, "e"), precision);
    case "b":
      if (typeof value === "boolean") return value ? "1" : "0";
      return whole(value, "b").toString(2);
    case "o":
      return whole(value, "o").toString(8);
    case "x":
      return hex(value);
    case "X":
      return hex(value).toUpperCase();
    default:
      throw new CelFault(
        `could not parse formatting clause: unrecognized formatting clause "${verb}"`,
      );
  }
}

function wrongType(verb: string, value: unknown): CelFault {
  const rule = verbRules[verb];
  return new CelFault(`error during formatting: ${rule}, was given ${typeName(value)}`);
}

function whole(value: unknown, verb: string): bigint {
  if (typeof value === "bigint") return value;
  if (value instanceof CelUint) return value.value;
  throw wrongType(verb, value);
}

function real(value: unknown, verb: string): number {
  if (typeof value === "number") return value;
  const special = { NaN: Number.NaN, Infinity: Number.POSITIVE_INFINITY };
  if (value === "-Infinity") return Number.NEGATIVE_INFINITY;
  if (value === "NaN" || value === "Infinity") return special[value];
  throw wrongType(verb, value);
}

function special(value: number): string | undefined {
  if (Number.isNaN(value)) return "NaN";
  return Number.isFinite(value) ? undefined : value > 0 ? "∞" : "-∞";
}

/** With a comma for every thousand, as English has it. */
function grouped(value: number, precision: number): string {
  const known = special(value);
  if (known !== undefined) return known;
  const [digits = "", fraction] = value.toFixed(Math.min(precision, 100)).split(".");
  const groups = digits.replace(/\B(?=(\d{3})+$)/g, ",");
  return fraction === undefined ? groups : `${groups}.${fraction}`;
}

const superscripts = "⁰¹²³⁴⁵⁶⁷⁸⁹";

function scientific(value: number, precision: number): string {
  const known = special(value);
  if (known !== undefined) return known;
  const [digits = "", exponent = ""] = value.toExponential(Math.min(precision, 100)).split("e");
  const power = exponent.replace(/^[+-]/, "").padStart(2, "0");
  const raised = power.replace(/\d/g, (digit) => superscripts[Number(digit)] ?? "");
  return `${digits}\u202f×\u202f10${exponent.startsWith("-") ? "⁻" : ""}${raised}`;
}

function hex(value: unknown): string {
  if (typeof value === "string") return Buffer.from(value).toString("hex");
  if (value instanceof Uint8Array) return value.toHex();
  return whole(value, "x").toString(16);
}

function textOf(value: unknown): string {
  if (value instanceof CelOpaque) throw wrongType("s", value);
  if (value === null) return "null";
  if (typeof value === "number") return doubleText(value);
  if (Array.isArray(value)) return `[${value.map(inner).join(", ")}]`;
  if (value instanceof Uint8Array) return new TextDecoder().decode(value);
  if (!isMap(value)) return String(value);
  const members = mapEntries(value).map(([key, member]) => `${inner(key)}:${inner(member)}`);
  return `{${members.sort().join(", ")}}`;
}

/** Inside of lists and maps, texts and times are told from what they look like. */
function inner(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "number") {
    const known = special(value);
    return known === undefined ? value.toFixed(6) : JSON.stringify(known);
  }
  if (value instanceof Uint8Array) return `b${JSON.stringify(new TextDecoder().decode(value))}`;
  if (value instanceof CelTimestamp) return `timestamp("${value}")`;
  if (value instanceof CelDuration) return `duration("${value}")`;
  return textOf(value);
}
