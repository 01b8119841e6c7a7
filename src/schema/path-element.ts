/**
 * Elements of the paths in `managedFields`: `f:name` is a field, `k:{"name":"web"}` the list item
 * of that key, `v:"a"` the set item of that value, `i:0` the item at that place.
 */
import { parseExact } from "../lib/exact-json.ts";

export function fieldElement(name: string): string {
  return `f:${name}`;
}

/** The name of a field's element; undefined for other elements. */
export function fieldName(element: string): string | undefined {
  return element.startsWith("f:") ? element.slice(2) : undefined;
}

export function valueElement(value: unknown): string {
  return `v:${JSON.stringify(value)}`;
}

/** The keys' names must be sorted. */
export function keyElement(names: readonly string[], values: readonly unknown[]): string {
  if (names.length === 1) return `k:{${JSON.stringify(names[0])}:${JSON.stringify(values[0])}}`;
  const members = names.map((name, at) => `${JSON.stringify(name)}:${JSON.stringify(values[at])}`);
  return `k:{${members.join(",")}}`;
}

/** The element as this server writes it; undefined when it is none. */
export function canonicalElement(element: string): string | undefined {
  switch (element.slice(0, 2)) {
    case "f:":
      return element;
    case "i:":
      return /^i:-?\d+$/.test(element) ? element : undefined;
    case "v:": {
      const value = jsonOf(element);
      return value === undefined ? undefined : valueElement(value);
    }
    case "k:": {
      const keys = jsonOf(element);
      if (typeof keys !== "object" || keys === null || Array.isArray(keys)) return undefined;
      const names = Object.keys(keys).sort();
      return keyElement(
        names,
        names.map((name) => (keys as Readonly<Record<string, unknown>>)[name]),
      );
    }
  }
  return undefined;
}

function jsonOf(element: string): unknown {
  try {
    return parseExact(element.slice(2));
  } catch {
    // Not JSON: not an element.
    return undefined;
  }
}

const ranks = "fkvi";

/** Fields come first, then keys, values and places; each kind by what it says. */
export function compareElements(a: string, b: string): number {
  if (a === b) return 0;
  const kind = a[0] ?? "";
  if (kind !== b[0]) return ranks.indexOf(kind) - ranks.indexOf(b[0] ?? "");
  if (kind === "f") return a < b ? -1 : 1;
  const left = jsonOf(a);
  const right = jsonOf(b);
  return kind === "k" ? compareKeys(left as object, right as object) : compareValues(left, right);
}

function compareKeys(a: object, b: object): number {
  const left = Object.entries(a);
  const right = Object.entries(b);
  for (const [at, [name, value]] of left.entries()) {
    const other = right[at];
    if (other === undefined) return 1;
    if (name !== other[0]) return name < other[0] ? -1 : 1;
    const order = compareValues(value, other[1]);
    if (order !== 0) return order;
  }
  return left.length - right.length;
}

/** Numbers before texts before booleans, as the types are ranked upstream. */
function compareValues(a: unknown, b: unknown): number {
  const ranks = typeRank(a) - typeRank(b);
  if (ranks !== 0 || a === b) return ranks;
  return (a as string) < (b as string) ? -1 : 1;
}

function typeRank(value: unknown): number {
  const type = typeof value === "bigint" ? "number" : typeof value;
  return ["number", "string", "boolean"].indexOf(type);
}

/** `.spec.containers[name="web"].args` */
export function pathText(path: readonly string[]): string {
  return path.map(elementText).join("");
}

function elementText(element: string): string {
  switch (element[0]) {
    case "f":
      return `.${element.slice(2)}`;
    case "k": {
      const keys = Object.entries(jsonOf(element) as object);
      return `[${keys.map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(",")}]`;
    }
    case "v":
      return `[=${element.slice(2)}]`;
    default:
      return `[${element.slice(2)}]`;
  }
}
