/** Calls that are macros: loops over lists and maps, `has`, and optional values. */
import { accumulator, type Comprehension, type Expr } from "./ast.ts";
import { SyntaxFault } from "./problem.ts";

const unused = "#unused";
const sortInput = "@__sortBy_input__";

type Args = readonly Expr[];
type Expand = (target: Expr, args: Args, at: number) => Expr;

/** What the call stands for; undefined when it is an ordinary call. */
export function expandMacro(
  name: string,
  target: Expr | undefined,
  args: Args,
  at: number,
): Expr | undefined {
  if (target === undefined) return name === "has" && args.length === 1 ? has(args, at) : undefined;
  return macros.get(`${name}/${args.length}`)?.(target, args, at);
}

/** `cel.bind`, which not every environment has; undefined when it is another call. */
export function expandBinding(
  name: string,
  target: Expr,
  args: Args,
  at: number,
): Expr | undefined {
  const [variable, value, result] = args;
  const isBind = name === "bind" && target.kind === "ident" && target.name === "cel";
  if (!isBind || variable === undefined || value === undefined || result === undefined)
    return undefined;
  if (variable.kind !== "ident") {
    throw new SyntaxFault(variable.at, "cel.bind() variable names must be simple identifiers");
  }
  return args.length === 3 ? bound(variable.name, value, result, at) : undefined;
}

function literal(value: boolean | bigint, at: number): Expr {
  return { kind: "literal", at, value };
}
function call(name: string, at: number, ...args: Args): Expr {
  return { kind: "call", at, name, target: undefined, args };
}
function member(name: string, at: number, target: Expr, ...args: Args): Expr {
  return { kind: "call", at, name, target, args };
}
function accu(at: number): Expr {
  return { kind: "ident", at, name: accumulator };
}
function list(at: number, ...items: Args): Expr {
  return { kind: "list", at, items, optional: new Set() };
}

function has([select]: Args, at: number): Expr {
  if (select?.kind !== "select") {
    throw new SyntaxFault(select?.at ?? 0, "invalid argument to has() macro");
  }
  return { ...select, at, isTest: true };
}

function variable(expr: Expr | undefined, fault: string): string {
  if (expr?.kind !== "ident") throw new SyntaxFault(expr?.at ?? 0, fault);
  if (expr.name === accumulator || expr.name === "__result__") {
    throw new SyntaxFault(expr.at, "iteration variable overwrites accumulator variable");
  }
  return expr.name;
}

type Names = Pick<Comprehension, "iter" | "iter2">;

function oneName(args: Args, fault: string): Names {
  return { iter: variable(args[0], fault), iter2: undefined };
}

function twoNames(args: Args): Names {
  const fault = "argument must be a simple name";
  const [iter, iter2] = [variable(args[0], fault), variable(args[1], fault)];
  if (iter === iter2) {
    throw new SyntaxFault(args[1]?.at ?? 0, `duplicate variable name: ${iter}`);
  }
  return { iter, iter2 };
}

type Fold = Pick<Comprehension, "init" | "condition" | "step" | "result">;

function loop(range: Expr, names: Names, at: number, fold: Fold): Expr {
  return { kind: "comprehension", at, range, ...names, accu: accumulator, ...fold };
}

type Quantifier = (predicate: Expr, at: number) => Fold;

const all: Quantifier = (predicate, at) => ({
  init: literal(true, at),
  condition: call("@not_strictly_false", at, accu(at)),
  step: call("_&&_", at, accu(at), predicate),
  result: accu(at),
});
const exists: Quantifier = (predicate, at) => ({
  init: literal(false, at),
  condition: call("@not_strictly_false", at, call("!_", at, accu(at))),
  step: call("_||_", at, accu(at), predicate),
  result: accu(at),
});
const existsOne: Quantifier = (predicate, at) => ({
  init: literal(0n, at),
  condition: literal(true, at),
  step: call("_?_:_", at, predicate, call("_+_", at, accu(at), literal(1n, at)), accu(at)),
  result: call("_==_", at, accu(at), literal(1n, at)),
});

function quantifier(fold: Quantifier): Expand {
  return (target, args, at) => {
    const names = oneName(args, "argument must be a simple name");
    return loop(target, names, at, fold(args[1] as Expr, at));
  };
}
function twoQuantifier(fold: Quantifier): Expand {
  return (target, args, at) => loop(target, twoNames(args), at, fold(args[2] as Expr, at));
}

/** Folds by `step`, for the elements that `filter` lets through. */
function gather(init: Expr, step: Expr, filter: Expr | undefined, at: number): Fold {
  return {
    init,
    condition: literal(true, at),
    step: filter === undefined ? step : call("_?_:_", at, filter, step, accu(at)),
    result: accu(at),
  };
}

const notIdentifier = "argument is not an identifier";

const map: Expand = (target, args, at) => {
  const names = oneName(args, notIdentifier);
  const step = call("_+_", at, accu(at), list(at, args.at(-1) as Expr));
  return loop(target, names, at, gather(list(at), step, args.length > 2 ? args[1] : undefined, at));
};
const filter: Expand = (target, args, at) => {
  const names = oneName(args, notIdentifier);
  const step = call("_+_", at, accu(at), list(at, args[0] as Expr));
  return loop(target, names, at, gather(list(at), step, args[1], at));
};
const transformList: Expand = (target, args, at) => {
  const step = call("_+_", at, accu(at), list(at, args.at(-1) as Expr));
  const names = twoNames(args);
  return loop(target, names, at, gather(list(at), step, args.length > 3 ? args[2] : undefined, at));
};

function intoMap(insert: (names: Names, value: Expr, at: number) => Expr): Expand {
  return (target, args, at) => {
    const names = twoNames(args);
    const empty: Expr = { kind: "map", at, entries: [] };
    const step = insert(names, args.at(-1) as Expr, at);
    return loop(target, names, at, gather(empty, step, args.length > 3 ? args[2] : undefined, at));
  };
}
const transformMap = intoMap(({ iter }, value, at) =>
  call("cel.@mapInsert", at, accu(at), { kind: "ident", at, name: iter }, value),
);
const transformMapEntry = intoMap((_names, value, at) =>
  call("cel.@mapInsert", at, accu(at), value),
);

/** `result` with the variable `name` bound to `value`. */
function bound(name: string, value: Expr, result: Expr, at: number): Expr {
  return {
    kind: "comprehension",
    at,
    range: list(at),
    iter: unused,
    iter2: undefined,
    accu: name,
    init: value,
    condition: literal(false, at),
    step: { kind: "ident", at, name },
    result,
  };
}

const sortBy: Expand = (target, args, at) => {
  const input: Expr = { kind: "ident", at, name: sortInput };
  const keys = map(input, args, at);
  return bound(sortInput, target, member("@sortByAssociatedKeys", at, input, keys), at);
};

function optional(name: string, wrap: (result: Expr, at: number) => Expr): Expand {
  return (target, args, at) => {
    const [first, result] = args as [Expr, Expr];
    const fault = `${name}() variable name must be a simple identifier`;
    if (first.kind !== "ident") throw new SyntaxFault(first.at, fault);
    const inner = bound(first.name, member("value", at, target), result, at);
    const isThere = member("hasValue", at, target);
    return call("_?_:_", at, isThere, wrap(inner, at), call("optional.none", at));
  };
}

const macros: ReadonlyMap<string, Expand> = new Map([
  ["all/2", quantifier(all)],
  ["exists/2", quantifier(exists)],
  ["exists_one/2", quantifier(existsOne)],
  ["existsOne/2", quantifier(existsOne)],
  ["map/2", map],
  ["map/3", map],
  ["filter/2", filter],
  ["all/3", twoQuantifier(all)],
  ["exists/3", twoQuantifier(exists)],
  ["existsOne/3", twoQuantifier(existsOne)],
  ["exists_one/3", twoQuantifier(existsOne)],
  ["transformList/3", transformList],
  ["transformList/4", transformList],
  ["transformMap/3", transformMap],
  ["transformMap/4", transformMap],
  ["transformMapEntry/3", transformMapEntry],
  ["transformMapEntry/4", transformMapEntry],
  ["sortBy/2", sortBy],
  ["optMap/2", optional("optMap", (inner, at) => call("optional.of", at, inner))],
  ["optFlatMap/2", optional("optFlatMap", (inner) => inner)],
]);
