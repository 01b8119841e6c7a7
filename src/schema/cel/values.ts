/** JSON as CEL sees it, without a schema (dyn) or by one. */
import { setOwn } from "../copy.ts";

/** The type of a variable or a field, as far as Kubernetes declares types. */
export type CelShape =
  | "dyn"
  | "string"
  | "int"
  | "double"
  | "bool"
  | "bytes"
  | "timestamp"
  | "duration"
  | { readonly list: CelShape }
  | { readonly map: CelShape }
  | CelObject;

/** An object with known fields, by the names expressions use for them. */
export interface CelObject {
  readonly object: ReadonlyMap<string, { readonly jsonName: string; readonly shape: CelShape }>;
}

/** Words that CEL keeps for itself: fields of these names are written `__name__`. */
const reserved: ReadonlySet<string> = new Set(
  (
    "true false null in as break const continue else for function if import let loop package " +
    "namespace return var void while"
  ).split(" "),
);
const escapes: Readonly<Record<string, string>> = {
  __: "__underscores__",
  ".": "__dot__",
  "-": "__dash__",
  "/": "__slash__",
};

/** How an expression names a JSON field; undefined where it cannot (KEP-2876). */
export function celFieldName(jsonName: string): string | undefined {
  if (reserved.has(jsonName)) return `__${jsonName}__`;
  const escaped = jsonName.replace(/__|[./-]/g, (part) => escapes[part] ?? part);
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(escaped) ? escaped : undefined;
}

/** The name of a field whose name is a word of the language: `a.namespace` means it too. */
export function keywordField(name: string): string {
  return reserved.has(name) ? `__${name}__` : name;
}

/** Whole numbers become `int`, others `double`, as Kubernetes reads JSON without a schema. */
export function celOfJson(value: unknown): unknown {
  switch (typeof value) {
    case "number":
      return Number.isInteger(value) ? BigInt(value) : value;
    case "object": {
      if (value === null) return null;
      if (Array.isArray(value)) return value.map(celOfJson);
      const result: Record<string, unknown> = {};
      for (const [key, member] of Object.entries(value)) {
        if (member !== undefined) setOwn(result, key, celOfJson(member));
      }
      return result;
    }
    default:
      return value;
  }
}

/** The way back: what an expression made, as JSON. */
export function jsonOfCel(value: unknown): unknown {
  switch (typeof value) {
    case "bigint":
      return Number(value);
    case "object": {
      if (value === null) return null;
      if (Array.isArray(value)) return value.map(jsonOfCel);
      if (value instanceof Uint8Array) return value.toBase64();
      if (value instanceof Date) return value.toISOString();
      const entries = value instanceof Map ? [...value] : Object.entries(value);
      const result: Record<string, unknown> = {};
      for (const [key, member] of entries) setOwn(result, String(key), jsonOfCel(member));
      return result;
    }
    default:
      return value;
  }
}
