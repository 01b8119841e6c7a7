/** What calls may cost, by what is known about the sizes of their arguments. */
import type { Overload } from "../check/functions.ts";
import type { CelType } from "../check/types.ts";
import { isExact } from "../check/types.ts";
import { unitCosts } from "../run/call-cost.ts";
import type { Expr } from "../syntax/ast.ts";
import {
  add,
  type Estimate,
  exactly,
  multiply,
  none,
  scaled,
  union,
  unknownSize,
  unlimited,
} from "./range.ts";

/** An argument: what is known of it. */
export interface Known {
  readonly expr: Expr | undefined;
  readonly type: CelType;
  readonly size: Estimate;
}

export interface CallArgs {
  readonly target: Known | undefined;
  readonly args: readonly Known[];
  /** Of the elements of the target. */
  readonly items: Known | undefined;
}

export interface CallEstimate {
  readonly cost: Estimate;
  /** Of the result, where the call tells it. */
  readonly size?: Estimate | undefined;
}

type Rule = (call: CallArgs, id: string) => CallEstimate;

const { character, pattern, list, struct } = unitCosts;
const one: CallEstimate = { cost: exactly(1) };
const addressBytes: Estimate = { min: 4, max: 16 };

function sizeOf(known: Known | undefined): Estimate {
  return known?.size ?? unknownSize;
}
function reading(size: Estimate, factor = 1): Estimate {
  return scaled(size, character * factor);
}
const readFirst: Rule = ({ args }) => ({ cost: reading(sizeOf(args[0])) });
const passFirst: Rule = ({ args }) => ({ cost: reading(sizeOf(args[0])), size: sizeOf(args[0]) });
const passTarget: Rule = ({ target }) => ({ cost: reading(sizeOf(target)), size: sizeOf(target) });
const always: Rule = () => one;

const traversal: Rule = ({ target, items }) => {
  if (items === undefined) return { cost: reading(sizeOf(target)) };
  const isText = items.type.kind === "string" || items.type.kind === "bytes";
  const each = isText ? add(exactly(1), reading(items.size)) : exactly(1);
  return { cost: multiply(sizeOf(target), each) };
};

const search: Rule = ({ target, args }) => {
  const text = reading(add(sizeOf(target), exactly(1)));
  const size = { min: 0, max: sizeOf(target).max };
  return { cost: multiply(text, scaled(sizeOf(args[0]), pattern)), size };
};

const selector: Rule = ({ args }) => {
  const size = sizeOf(args[0]);
  const requirements = scaled(scaled(size, 0.5), list + struct);
  return { cost: add(exactly(list), reading(size), requirements) };
};

/** How long a text may become where parts of it are replaced. */
const replace: Rule = ({ target, args }) => {
  const [size, from, to] = [sizeOf(target), sizeOf(args[0]), sizeOf(args[1])];
  let [most, keptMost] = [Math.ceil(size.max / from.min), 0];
  if (from.min === 0) [most, keptMost] = [size.max + 1, size.max];
  else if (to.max <= from.min) [most, keptMost] = [0, size.max];
  let [least, keptLeast] = [Math.ceil(size.min / from.max), 0];
  if (from.max === 0) [least, keptLeast] = [size.min + 1, size.min];
  else if (from.max <= to.min) [least, keptLeast] = [0, size.min];
  const grown = multiply({ min: least, max: most }, to);
  return { cost: reading(size, 2), size: add(grown, { min: keptLeast, max: keptMost }) };
};

const split: Rule = ({ target, args }) => {
  const size = sizeOf(target);
  const limit = args[1]?.expr;
  const count = limit?.kind === "literal" ? limit.value : undefined;
  // A negative limit is none: upstream counts it as the largest number.
  const most = typeof count === "bigint" ? (count < 0n ? unlimited : Number(count)) : size.max;
  return { cost: reading(size, 2), size: { min: 0, max: most } };
};

const join: Rule = ({ target, args, items }) => {
  const count = sizeOf(target);
  const between = { min: Math.max(0, count.min - 1), max: Math.max(0, count.max - 1) };
  const separators = args.length > 0 ? multiply(sizeOf(args[0]), between) : none;
  const size = add(items === undefined ? none : multiply(count, items.size), separators);
  return { cost: reading(size), size };
};

const containsIp: Rule = ({ args }, id) => {
  const base = reading(add(addressBytes, addressBytes));
  const isText = id === "cidr_contains_ip_string";
  return { cost: isText ? add(base, reading(sizeOf(args[0]))) : base };
};
const containsCidr: Rule = ({ args }, id) => {
  const both = add(addressBytes, addressBytes);
  const base = add(reading(both), reading(addressBytes), exactly(1));
  const isText = id === "cidr_contains_cidr_string";
  return { cost: isText ? add(base, reading(sizeOf(args[0]))) : base };
};
const validate: Rule = ({ args }) => ({ cost: scaled(reading(sizeOf(args[0])), 128 * pattern) });

/** Makes a new list. */
function allocating(factor: number, size: Estimate): CallEstimate {
  return { cost: add(scaled(size, factor), exactly(1 + list)), size };
}
function literal(known: Known | undefined, otherwise: number): number {
  const expr = known?.expr;
  if (expr?.kind !== "literal" || typeof expr.value !== "bigint") return otherwise;
  return Math.max(0, Number(expr.value));
}
const slice: Rule = ({ target, args }) => {
  const size = literal(args[1], sizeOf(target).max) - literal(args[0], 0);
  return allocating(1, exactly(size < 0 ? unlimited : size));
};
function sorting(keys: Known | undefined): CallEstimate {
  const kind = keys?.type.params[0]?.kind;
  const isText = kind === "string" || kind === "bytes";
  return allocating(isText ? 2 + character : 2, multiply(sizeOf(keys), sizeOf(keys)));
}

/** Every element of one is compared with every element of the other. */
function crossing(factor: number): Rule {
  return ({ args }) => {
    const pairs = multiply(sizeOf(args[0]), sizeOf(args[1]));
    return { cost: add(exactly(1), scaled(pairs, factor)) };
  };
}

/** Texts are compared up to the end of the shorter one. */
const comparing: Rule = ({ args }) => {
  const [a, b] = [sizeOf(args[0]), sizeOf(args[1])];
  const max = Math.min(a.max, b.max);
  return { cost: reading({ min: max > 0 ? 1 : 0, max }) };
};
const equality: Rule = (call, id) => {
  const [a, b] = call.args;
  if (a === undefined || b === undefined || !isExact(a.type, b.type)) return comparing(call, id);
  const { kind, name } = a.type;
  if (name === "kubernetes.NamedFormat") return { cost: reading({ min: 1, max: 64 }) };
  if (name === "kubernetes.URL") return { cost: reading({ min: 1, max: b.size.max }) };
  const isOwn = name.startsWith("kubernetes.") || name.startsWith("net.");
  return isOwn && (kind === "struct" || kind === "opaque") ? one : comparing(call, id);
};
const adding: Rule = ({ args }, id) => {
  if (!id.startsWith("add_")) return one;
  const size = add(sizeOf(args[0]), sizeOf(args[1]));
  return { cost: id === "add_list" ? exactly(1) : reading(size), size };
};
const ordering: Rule = (call, id) =>
  id === "order_string" || id === "order_bytes" ? comparing(call, id) : one;

function of(rule: Rule, names: string): readonly (readonly [string, Rule])[] {
  return names.split(" ").map((name) => [name, rule] as const);
}

const rules: ReadonlyMap<string, Rule> = new Map([
  ...of(() => ({ cost: exactly(350_000) }), "check"),
  ...of(selector, "fieldSelector labelSelector"),
  ...of(traversal, "isSorted sum max min indexOf lastIndexOf"),
  ...of(passFirst, "url jsonpatch.escapeKey"),
  ...of(passTarget, "lowerAscii upperAscii substring trim"),
  ...of(replace, "replace"),
  ...of(split, "split"),
  ...of(join, "join"),
  ...of(search, "find findAll"),
  ...of((call, id) => {
    const { cost } = search(call, id);
    return call.target === undefined ? one : { cost };
  }, "matches"),
  ...of(readFirst, "cidr isIP isCIDR quantity isQuantity semver isSemver startsWith endsWith"),
  ...of((call, id) => (id === "cidr_ip" ? one : readFirst(call, id)), "ip"),
  ...of(({ args }) => ({ cost: reading(sizeOf(args[0]), 2) }), "ip.isCanonical"),
  ...of(containsIp, "containsIP"),
  ...of(containsCidr, "containsCIDR"),
  ...of(validate, "validate"),
  ...of(equality, "_==_"),
  ...of(comparing, "_!=_"),
  ...of(ordering, "_<_ _<=_ _>_ _>=_"),
  ...of(adding, "_+_"),
  ...of(({ target, args }) => {
    return { cost: multiply(reading(sizeOf(target)), reading(sizeOf(args[0]))) };
  }, "contains"),
  ...of(({ args }, id) => (id === "in_list" ? { cost: scaled(sizeOf(args[1]), 1) } : one), "@in"),
  ...of(({ target }) => ({ cost: reading(sizeOf(target)) }), "format"),
  ...of(({ args }, id) => {
    const { min, max } = sizeOf(args[0]);
    const size = { min, max: Math.min(max * 4, unlimited) };
    return id === "string_to_bytes" ? { cost: reading({ min, max }), size } : one;
  }, "bytes"),
  ...of(({ args }, id) => {
    const { min, max } = sizeOf(args[0]);
    const size = { min: Math.floor(min / 4), max };
    return id === "bytes_to_string" ? { cost: reading({ min, max }), size } : one;
  }, "string"),
  ...of(({ args }) => {
    const { min, max } = sizeOf(args[0]);
    return { cost: reading({ min, max }), size: { min: min + 2, max: max * 2 + 2 } };
  }, "strings.quote"),
  ...of(slice, "slice"),
  ...of(({ args }) => allocating(1, exactly(literal(args[0], unlimited))), "lists.range"),
  ...of(({ target }, id) => {
    return id === "list_reverse" ? allocating(1, sizeOf(target)) : one;
  }, "reverse"),
  ...of(({ target, args }) => {
    const depth = args.length === 0 ? 1 : literal(args[0], unlimited);
    return allocating(depth, sizeOf(target));
  }, "flatten"),
  ...of(({ target }) => allocating(2, multiply(sizeOf(target), sizeOf(target))), "distinct"),
  ...of(({ target }) => sorting(target), "sort"),
  ...of(({ args }) => sorting(args[0]), "@sortByAssociatedKeys"),
  ...of(crossing(1), "sets.contains sets.intersects"),
  ...of(crossing(2), "sets.equivalent"),
]);

/** What the overload costs without the cost of its arguments. */
export function callEstimate({ name, id }: Overload, call: CallArgs): CallEstimate {
  return (rules.get(name) ?? always)(call, id);
}

/** Either of two estimates. */
export function either(a: CallEstimate | undefined, b: CallEstimate): CallEstimate {
  if (a === undefined) return b;
  const size = a.size && b.size ? union(a.size, b.size) : (a.size ?? b.size);
  return { cost: union(a.cost, b.cost), size };
}
