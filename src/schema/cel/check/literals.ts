/** What can be told about literals once the types are right: they would only fail when used. */
import { CelFault } from "../fault.ts";
import { type FormatArgs, formatProblem } from "../library/format-check.ts";
import { parseDuration, parseTimestamp } from "../library/go-time.ts";
import { celRegexp } from "../library/standard.ts";
import { CelTimestamp } from "../scalars.ts";
import { type Call, children, type Expr, type LiteralValue } from "../syntax/ast.ts";
import type { Problem } from "../syntax/problem.ts";
import type { Checked } from "./checker.ts";
import { type CelType, dyn, formatType, isExact, isOptional } from "./types.ts";

type Check = (value: LiteralValue) => boolean;

const checks: Readonly<Record<string, Check>> = {
  duration: (value) => typeof value !== "string" || parseDuration(value) !== undefined,
  timestamp: (value) => {
    if (typeof value === "string") return parseTimestamp(value) !== undefined;
    return typeof value !== "bigint" || new CelTimestamp(value, 0n).seconds === value;
  },
  matches: (value) => typeof value !== "string" || celRegexp(value) !== undefined,
};

function isValid(check: Check, value: LiteralValue): boolean {
  try {
    return check(value);
  } catch (fault) {
    if (fault instanceof CelFault) return false;
    throw fault;
  }
}

/**
 * Durations, times and regular expressions that are none; texts for `format` that do not fit
 * what they are given; lists and maps of mixed types.
 */
export function literalProblems({ expr, types }: Checked): readonly Problem[] {
  const found: Problem[] = [];
  const seen = new Set<Expr>();
  const typeOf = (one: Expr): CelType => types.get(one) ?? dyn;
  const visit = (one: Expr, isFormatted: boolean): void => {
    // Macros may use a part twice.
    if (seen.has(one)) return;
    seen.add(one);
    if (one.kind === "call") found.push(...callProblems(one, typeOf));
    if (!isFormatted) found.push(...mixed(one, typeOf));
    const isFormat = isFormatted || (one.kind === "call" && one.name === "format");
    for (const child of children(one)) visit(child, isFormat);
  };
  visit(expr, false);
  return found;
}

type TypeOf = (expr: Expr) => CelType;

function callProblems({ name, target, args, at }: Call, typeOf: TypeOf): readonly Problem[] {
  const [arg] = args;
  if (arg?.kind === "literal") {
    const check = Object.hasOwn(checks, name) ? checks[name] : undefined;
    if (check === undefined || isValid(check, arg.value)) return [];
    return [{ at: arg.at, message: `invalid ${name} argument` }];
  }
  if (name !== "format" || arg?.kind !== "list" || target?.kind !== "literal") return [];
  if (typeof target.value !== "string") return [];
  const given: FormatArgs = arg.items.map((item) => ({ at: item.at, type: typeOf(item) }));
  const problem = formatProblem(target.value, given, at);
  return problem === undefined ? [] : [problem];
}

/** Items of one list, keys and values of one map are of one type. */
function mixed(expr: Expr, typeOf: TypeOf): readonly Problem[] {
  if (expr.kind === "list") {
    const parts = expr.items.map((item, index) => {
      return { at: item.at, type: unwrapped(typeOf(item), expr.optional.has(index)) };
    });
    return different(parts).slice(0, 1);
  }
  if (expr.kind !== "map") return [];
  const { entries } = expr;
  return [
    ...different(entries.map(({ key }) => ({ at: key.at, type: typeOf(key) }))),
    ...different(
      entries.map(({ value, isOptional: isMarked }) => {
        return { at: value.at, type: unwrapped(typeOf(value), isMarked) };
      }),
    ),
  ];
}

function unwrapped(type: CelType, isMarked: boolean): CelType {
  return isMarked && isOptional(type) ? (type.params[0] as CelType) : type;
}

function different([first, ...rest]: FormatArgs): readonly Problem[] {
  if (first === undefined) return [];
  return rest
    .filter(({ type }) => !isExact(first.type, type))
    .map(({ at, type }) => {
      const [wanted, given] = [formatType(first.type), formatType(type)];
      return { at, message: `expected type '${wanted}' but found '${given}'` };
    });
}
