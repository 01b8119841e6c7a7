/** Takes out of custom resources what their schema does not know. */
import { isJson, type Json, memberSchema, objectMembers, type Structural } from "./schema.ts";

/**
 * Removes unknown fields in place and answers their paths, sorted. The members of every object
 * (apiVersion, kind, metadata) stay at the root.
 */
export function prune(object: Json, schema: Structural): string[] {
  const unknown: string[] = [];
  pruneObject(object, { ...schema, "x-kubernetes-embedded-resource": true }, "", unknown);
  return unknown.sort();
}

function pruneValue(
  value: unknown,
  schema: Structural | undefined,
  path: string,
  unknown: string[],
): void {
  if (isJson(value)) pruneObject(value, schema, path, unknown);
  else if (Array.isArray(value)) pruneList(value, schema, path, unknown);
}

function pruneList(
  list: readonly unknown[],
  schema: Structural | undefined,
  path: string,
  unknown: string[],
): void {
  const preserves = schema?.["x-kubernetes-preserve-unknown-fields"] === true;
  // Below preserved lists, items without a schema are preserved as well.
  if (preserves && schema?.items === undefined) return;
  list.forEach((item, index) => {
    pruneValue(item, schema?.items, `${path}[${index}]`, unknown);
  });
}

function pruneObject(
  object: Json,
  schema: Structural | undefined,
  path: string,
  unknown: string[],
): void {
  const preserves = schema?.["x-kubernetes-preserve-unknown-fields"] === true;
  const isResource = schema?.["x-kubernetes-embedded-resource"] === true;
  for (const [name, value] of Object.entries(object)) {
    if (isResource && objectMembers.has(name)) continue;
    const inner = path === "" ? name : `${path}.${name}`;
    if (isKnown(schema, name)) pruneValue(value, memberSchema(schema, name), inner, unknown);
    else if (!preserves) {
      unknown.push(inner);
      delete object[name];
    }
  }
}

function isKnown(schema: Structural | undefined, name: string): boolean {
  if (schema === undefined) return false;
  const { properties, additionalProperties } = schema;
  if (properties !== undefined && Object.hasOwn(properties, name)) return true;
  return additionalProperties !== undefined && additionalProperties !== false;
}

/** Removes nulls in place where the schema allows none and has no default for them. */
export function pruneNulls(value: unknown, schema: Structural | undefined): void {
  if (Array.isArray(value)) {
    for (const item of value) pruneNulls(item, schema?.items);
    return;
  }
  if (!isJson(value)) return;
  for (const [name, member] of Object.entries(value)) {
    const inner = memberSchema(schema, name);
    if (member !== null) pruneNulls(member, inner);
    else if (inner !== undefined && inner.nullable !== true && inner.default === undefined) {
      delete value[name];
    }
  }
}
