/** Fills what `+default` markers say, at every depth. */
import { copyJson } from "./copy.ts";
import type { FieldType, TypeName } from "./type-table.ts";
import { fieldsOf, messageOf } from "./types.ts";

type Json = Record<string, unknown>;

interface Defaulting {
  /** Fields with a default. */
  readonly own: readonly FieldType[];
  /** Fields below which some type has defaults. */
  readonly below: readonly FieldType[];
}

const plans = new Map<TypeName, Defaulting>();

/** Types from which no default can be reached are never walked. */
function reaches(type: TypeName, seen: Set<TypeName>): boolean {
  if (seen.has(type)) return false;
  seen.add(type);
  if (messageOf(type).json !== undefined) return false;
  for (const field of fieldsOf(type).values()) {
    if (field.default !== undefined) return true;
    if ("message" in field.of && reaches(field.of.message, seen)) return true;
  }
  return false;
}

/** A zero that Go leaves out again. */
function isInvisible(field: FieldType): boolean {
  return field.omitEmpty === true && field.pointer !== true && !field.default;
}

function planOf(type: TypeName): Defaulting {
  const known = plans.get(type);
  if (known !== undefined) return known;
  const fields = [...fieldsOf(type).values()];
  const plan = {
    own: fields.filter((field) => field.default !== undefined && !isInvisible(field)),
    below: fields.filter((field) => "message" in field.of && reaches(field.of.message, new Set())),
  };
  plans.set(type, plan);
  return plan;
}

/** Fills absent members that have a `+default`, in `object` and everything below. Mutates. */
export function applySchemaDefaults(type: TypeName, object: object): void {
  const members = object as Json;
  const { own, below } = planOf(type);
  for (const field of own) {
    const value = members[field.name];
    const absent =
      value === undefined || value === null || (value === "" && field.pointer !== true);
    if (absent) members[field.name] = copyJson(field.default);
  }
  for (const field of below) {
    const value = members[field.name];
    if (typeof value !== "object" || value === null || !("message" in field.of)) continue;
    const inner = field.shape === "single" ? [value] : Object.values(value);
    for (const part of inner) {
      if (typeof part === "object" && part !== null) applySchemaDefaults(field.of.message, part);
    }
  }
}
