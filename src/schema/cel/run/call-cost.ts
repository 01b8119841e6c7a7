/** What calls cost when they run, by the sizes of their arguments. */
import type { Overload } from "../check/functions.ts";
import { isMap, mapEntries } from "./map.ts";
import { CelOpaque, sizeOf } from "./values.ts";

/** Of one character of a string that is read, and of one of a regular expression. */
export const unitCosts = { character: 0.1, pattern: 0.25, list: 10, map: 30, struct: 40 } as const;

type Args = readonly unknown[];
type Cost = (args: Args, result: unknown, id: string) => number;

function characters(size: number, factor = 1): number {
  return Math.ceil(size * factor * unitCosts.character);
}
const reading: Cost = ([text]) => characters(sizeOf(text));
const readingTwice: Cost = ([text]) => characters(sizeOf(text), 2);
const matching: Cost = ([text, pattern]) =>
  characters(1 + sizeOf(text)) * Math.ceil(sizeOf(pattern) * unitCosts.pattern);
const comparing: Cost = ([a, b]) => characters(Math.min(sizeOf(a), sizeOf(b)));
const one: Cost = () => 1;
const check: Cost = () => 350_000;
const traversal: Cost = ([value]) => traversalCost(value);

function traversalCost(value: unknown): number {
  if (typeof value === "string") return Math.floor(Buffer.byteLength(value) * unitCosts.character);
  if (value instanceof Uint8Array) return Math.floor(value.length * unitCosts.character);
  if (Array.isArray(value))
    return value.reduce<number>((sum, item) => sum + traversalCost(item), 0);
  if (!isMap(value)) return 1;
  return mapEntries(value).reduce((sum, pair) => sum + traversalCost([...pair]), 0);
}

/** Of a new list: what it takes to make `size` elements. */
function allocating(factor: number, size: number): number {
  return Math.floor(size * factor) + 1 + unitCosts.list;
}
const producing: Cost = (_args, result) => allocating(1, sizeOf(result));
function selfComparing(list: unknown): number {
  const items = list as Args;
  const isText = typeof items[0] === "string" || items[0] instanceof Uint8Array;
  return allocating(isText ? 2 + unitCosts.character : 2, items.length ** 2);
}
const selector: Cost = ([, text]) => {
  const size = sizeOf(text);
  const each = unitCosts.list + unitCosts.struct;
  return unitCosts.list + characters(size) + Math.ceil(size * 0.5) * each;
};

const cidrBits: Cost = ([cidr]) => characters(2 * addressBytes(cidr));
function addressBytes(cidr: unknown): number {
  return (cidr as { readonly bytes?: number }).bytes ?? 1;
}

const equality: Cost = (args) =>
  args[0] instanceof CelOpaque ? 1 : comparing(args, undefined, "");
const adding: Cost = ([a, b]) => {
  const isText = typeof a === "string" || a instanceof Uint8Array;
  return isText ? characters(sizeOf(a) + sizeOf(b)) : 1;
};
const ordering: Cost = (args) => {
  const isText = typeof args[0] === "string" || args[0] instanceof Uint8Array;
  return isText ? comparing(args, undefined, "") : 1;
};

function of(cost: Cost, names: string): readonly (readonly [string, Cost])[] {
  return names.split(" ").map((name) => [name, cost] as const);
}

const costs: ReadonlyMap<string, Cost> = new Map([
  ...of(check, "check"),
  ...of(selector, "fieldSelector labelSelector"),
  ...of(traversal, "isSorted sum max min indexOf lastIndexOf"),
  ...of(reading, "url lowerAscii upperAscii substring trim jsonpatch.escapeKey cidr isIP isCIDR"),
  ...of(reading, "quantity isQuantity semver isSemver"),
  ...of(reading, "bytes strings.quote"),
  ...of(([target]) => characters(sizeOf(target)), "startsWith endsWith format"),
  ...of(readingTwice, "replace split ip.isCanonical"),
  ...of((_args, result) => characters(sizeOf(result), 2), "join"),
  ...of(matching, "find findAll matches"),
  ...of((args, result, id) => (id === "cidr_ip" ? 1 : reading(args, result, id)), "ip"),
  ...of(([cidr, other], _result, id) => {
    const extra = id === "cidr_contains_ip_string" ? characters(sizeOf(other)) : 0;
    return cidrBits([cidr], undefined, "") + extra;
  }, "containsIP"),
  ...of(([cidr, other], _result, id) => {
    const extra = id === "cidr_contains_cidr_string" ? characters(sizeOf(other)) : 0;
    const base = cidrBits([cidr], undefined, "") + characters(addressBytes(cidr)) + 1;
    return base + extra;
  }, "containsCIDR"),
  ...of(([format, text]) => {
    const { regexSize = 0 } = format as { readonly regexSize?: number };
    return characters(1 + sizeOf(text)) * Math.ceil(regexSize * unitCosts.pattern);
  }, "validate"),
  ...of(equality, "_==_ _!=_"),
  ...of(ordering, "_<_ _<=_ _>_ _>=_"),
  ...of(adding, "_+_"),
  ...of(([text, part]) => characters(sizeOf(text)) * characters(sizeOf(part)), "contains"),
  ...of(([, all]) => (Array.isArray(all) ? all.length : 1), "@in"),
  ...of(([text]) => (text instanceof Uint8Array ? characters(text.length) : 1), "string"),
  ...of(producing, "slice lists.range"),
  ...of((args, result, id) => (id === "list_reverse" ? producing(args, result, id) : 1), "reverse"),
  ...of(([list, depth]) => allocating(Number(depth ?? 1), sizeOf(list)), "flatten"),
  ...of(([list]) => selfComparing(list), "distinct sort"),
  ...of(([, keys]) => selfComparing(keys), "@sortByAssociatedKeys"),
  ...of(([a, b]) => sizeOf(a) * sizeOf(b) + 1, "sets.contains sets.intersects"),
  ...of(([a, b]) => sizeOf(a) * sizeOf(b) * 2 + 1, "sets.equivalent"),
]);

/** The cost of a call that has been made. */
export function callCost({ name, id }: Overload, args: Args, result: unknown): number {
  return (costs.get(name) ?? one)(args, result, id);
}

/** Calls whose cost depends on what they yield. */
const paidAfter: ReadonlySet<string> = new Set("join slice lists.range reverse".split(" "));

export function isPaidBefore({ name }: Overload): boolean {
  return !paidAfter.has(name);
}
