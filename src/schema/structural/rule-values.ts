/** A custom resource as the rules of its schema see it. */
import { parseDuration, parseTimestamp } from "../cel/library/go-time.ts";
import { uniqueList } from "../cel/unique-list.ts";
import { celFieldName, celOfJson } from "../cel/values.ts";
import { formatProblem } from "./formats.ts";
import { isJson, type Json, type Structural } from "./schema.ts";

/** `value` with the types that its schema gives it; only fields of the schema are there. */
export function ruleValue(value: unknown, schema: Structural, isRoot: boolean): unknown {
  if (value === null || value === undefined) return null;
  if (schema["x-kubernetes-int-or-string"] === true) return celOfJson(value);
  switch (schema.type) {
    case "integer":
      return typeof value === "number" ? BigInt(Math.trunc(value)) : value;
    case "number":
      return typeof value === "bigint" ? Number(value) : value;
    case "string":
      return typeof value === "string" ? textValue(value, schema.format) : value;
    case "array": {
      const { items } = schema;
      if (!Array.isArray(value) || items === undefined) return celOfJson(value);
      return listValue(value, items, schema);
    }
    case "object":
      return isJson(value) ? objectValue(value, schema, isRoot) : celOfJson(value);
    default:
      return celOfJson(value);
  }
}

function listValue(list: readonly unknown[], items: Structural, schema: Structural): unknown {
  const isResource = items["x-kubernetes-embedded-resource"] === true;
  const values = list.map((item) => ruleValue(item, items, isResource));
  switch (schema["x-kubernetes-list-type"]) {
    case "set":
      return uniqueList(values, []);
    case "map": {
      const keys = schema["x-kubernetes-list-map-keys"] ?? [];
      return uniqueList(
        values,
        keys.map((key) => celFieldName(key) ?? key),
      );
    }
    default:
      return values;
  }
}

function textValue(text: string, format: string | undefined): unknown {
  if (format === undefined || formatProblem(format, text) !== undefined) return text;
  switch (format) {
    case "byte":
      return Uint8Array.fromBase64(text);
    case "date":
      return parseTimestamp(`${text}T00:00:00Z`) ?? text;
    case "date-time":
      return parseTimestamp(text) ?? text;
    case "duration":
      return parseDuration(text) ?? text;
    default:
      return text;
  }
}

function objectValue(object: Json, schema: Structural, isRoot: boolean): unknown {
  const { properties, additionalProperties } = schema;
  if (additionalProperties !== undefined && properties === undefined) {
    const inner = typeof additionalProperties === "object" ? additionalProperties : {};
    const entries = Object.entries(object).map(([key, member]) => {
      return [key, ruleValue(member, inner, false)] as const;
    });
    return Object.fromEntries(entries);
  }
  const isResource = isRoot || schema["x-kubernetes-embedded-resource"] === true;
  const result: Json = isResource ? resourceValue(object) : {};
  for (const [name, member] of Object.entries(properties ?? {})) {
    const word = celFieldName(name);
    if (word === undefined || object[name] === undefined) continue;
    if (isResource && ["apiVersion", "kind", "metadata"].includes(name)) continue;
    result[word] = ruleValue(object[name], member, false);
  }
  return result;
}

/** Of metadata, rules see only the names. */
function resourceValue({ apiVersion, kind, metadata }: Json): Json {
  const { name, generateName } = isJson(metadata) ? metadata : {};
  return {
    ...(apiVersion !== undefined && { apiVersion }),
    ...(kind !== undefined && { kind }),
    metadata: {
      ...(name !== undefined && { name }),
      ...(generateName !== undefined && { generateName }),
    },
  };
}
