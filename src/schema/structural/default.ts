/** Fills the defaults of a schema into custom resources. */
import { copyJson } from "../copy.ts";
import { additionalSchema, isJson, memberSchema, type Structural } from "./schema.ts";

function takesDefault(value: unknown, schema: Structural): boolean {
  if (schema.default === undefined) return false;
  return value === undefined || (value === null && schema.nullable !== true);
}

/** Fills absent members, and nulls that are not allowed, from `default`. Changes `value`. */
export function fillSchemaDefaults(value: unknown, schema: Structural | undefined): void {
  if (schema === undefined) return;
  if (Array.isArray(value)) {
    const { items } = schema;
    if (items === undefined) return;
    value.forEach((item, index) => {
      if (item === null && takesDefault(item, items)) value[index] = copyJson(items.default);
      fillSchemaDefaults(value[index], items);
    });
    return;
  }
  if (!isJson(value)) return;
  for (const [name, member] of Object.entries(schema.properties ?? {})) {
    const current = Object.hasOwn(value, name) ? value[name] : undefined;
    if (takesDefault(current, member)) value[name] = copyJson(member.default);
  }
  const others = additionalSchema(schema);
  for (const [name, member] of Object.entries(value)) {
    const isNamed = schema.properties !== undefined && Object.hasOwn(schema.properties, name);
    if (!isNamed && others !== undefined && member === null && takesDefault(member, others)) {
      value[name] = copyJson(others.default);
    }
    fillSchemaDefaults(value[name], memberSchema(schema, name));
  }
}
