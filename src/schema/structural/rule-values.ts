/** A custom resource as the rules of its schema see it. */
import { CelEnvironment, CelError } from "../cel/environment.ts";
import { celFieldName, celOfJson } from "../cel/values.ts";
import { formatProblem } from "./formats.ts";
import { isJson, type Json, type Structural } from "./schema.ts";

const conversions = new CelEnvironment({ text: "string" });

/** `value` with the types that its schema gives it; only fields of the schema are there. */
export function ruleValue(value: unknown, schema: Structural, isRoot: boolean): unknown {
  if (value === null || value === undefined) return null;
  if (schema["x-kubernetes-int-or-string"] === true) return celOfJson(value);
  switch (schema.type) {
    case "integer":
      return typeof value === "number" ? BigInt(Math.trunc(value)) : value;
    case "number":
      return value;
    case "string":
      return typeof value === "string" ? textValue(value, schema.format) : value;
    case "array": {
      const { items } = schema;
      if (!Array.isArray(value) || items === undefined) return celOfJson(value);
      return value.map((item) => ruleValue(item, items, false));
    }
    case "object":
      return isJson(value) ? objectValue(value, schema, isRoot) : celOfJson(value);
    default:
      return celOfJson(value);
  }
}

function textValue(text: string, format: string | undefined): unknown {
  if (format === undefined || formatProblem(format, text) !== undefined) return text;
  switch (format) {
    case "byte":
      return Uint8Array.fromBase64(text);
    case "date":
      return converted("timestamp(text)", `${text}T00:00:00Z`);
    case "date-time":
      return converted("timestamp(text)", text);
    case "duration":
      return converted("duration(text)", text);
    default:
      return text;
  }
}

function converted(expression: string, text: string): unknown {
  try {
    return conversions.compile(expression).evaluate({ text });
  } catch (error) {
    if (error instanceof CelError) return text;
    throw error;
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
