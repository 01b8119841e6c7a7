/** JSON as CEL sees it, without a schema (dyn) or by one. */
import { wholeNumber } from "../../lib/exact-json.ts";
import { setOwn } from "../copy.ts";
import { isMap, mapEntries } from "./run/map.ts";
import { CelOptional, CelUint } from "./scalars.ts";

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

const unescapes = new Map(Object.entries(escapes).map(([sign, word]) => [word, sign]));

/** How an expression names a JSON field; undefined where it cannot (KEP-2876). */
export function celFieldName(jsonName: string): string | undefined {
  if (reserved.has(jsonName)) return `__${jsonName}__`;
  const escaped = jsonName.replace(/__|[./-]/g, (part) => escapes[part] ?? part);
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(escaped) ? escaped : undefined;
}

/** The way back: which JSON field a word in a message means. */
export function fieldNameOf(word: string): string {
  const inner = /^__([a-z]+)__$/.exec(word)?.[1];
  if (inner !== undefined && reserved.has(inner)) return inner;
  return word.replace(/__(?:underscores|dot|dash|slash)__/g, (part) => unescapes.get(part) ?? part);
}

/** The name of a field whose name is a word of the language: `a.namespace` means it too. */
export function keywordField(name: string): string {
  return reserved.has(name) ? `__${name}__` : name;
}

/** Whole numbers become `int`, others `double`, as Kubernetes reads JSON without a schema. */
export function celOfJson(value: unknown): unknown {
  switch (typeof value) {
    case "number":
      return Number.isSafeInteger(value) ? BigInt(value) : value;
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
      return wholeNumber(value);
    case "object": {
      if (value === null) return null;
      if (Array.isArray(value)) return value.map(jsonOfCel);
      if (value instanceof Uint8Array) return value.toBase64();
      if (value instanceof CelOptional) return value.hasValue ? jsonOfCel(value.value) : null;
      if (value instanceof CelUint) return wholeNumber(value.value);
      if (!isMap(value)) return String(value);
      const result: Record<string, unknown> = {};
      for (const [key, member] of mapEntries(value)) {
        setOwn(result, String(key), jsonOfCel(member));
      }
      return result;
    }
    default:
      return value;
  }
}
