/** Estimates what an expression costs at the most, before it ever runs. */
import type { Checked } from "../check/checker.ts";
import type { CelType } from "../check/types.ts";
import { dyn, isOptional } from "../check/types.ts";
import { unitCosts } from "../run/call-cost.ts";
import { codePoints } from "../run/values.ts";
import {
  type Call,
  type Comprehension,
  type Expr,
  isBinding,
  type ListLiteral,
  type LiteralValue,
  type MapLiteral,
} from "../syntax/ast.ts";
import { type CallEstimate, callEstimate, either, type Known } from "./call-estimate.ts";
import { add, type Estimate, exactly, multiply, none, union, unknownSize } from "./range.ts";

/** The steps from a variable to a part of it: names, `@items`, `@keys`, `@values`. */
export type Path = readonly string[];

/** How large the part of a variable at `path` may be; undefined where the types do not tell. */
export type SizeAt = (path: Path) => number | undefined;

/** The most that one evaluation may cost. */
export function estimatedCost(checked: Checked, sizeAt: SizeAt): number {
  return new Estimator(checked, sizeAt).cost(checked.expr).max;
}

interface Local {
  readonly path: Path;
  readonly size: Estimate | undefined;
  readonly entries: Entries | undefined;
}

/** What is known of the elements of a list or a map that an expression makes. */
interface Entries {
  readonly isList: boolean;
  readonly key: Estimate;
  readonly value: Estimate;
}

class Estimator {
  readonly #costs = new Map<Expr, Estimate>();
  readonly #paths = new Map<Expr, Path>();
  readonly #sizes = new Map<Expr, Estimate>();
  readonly #entries = new Map<Expr, Entries>();
  readonly #locals: (readonly [name: string, local: Local])[] = [];

  constructor(
    private readonly checked: Checked,
    private readonly sizeAt: SizeAt,
  ) {}

  /** The cost of a part that a macro uses twice is found once. */
  cost(expr: Expr): Estimate {
    const known = this.#costs.get(expr);
    if (known !== undefined) return known;
    const cost = this.#cost(expr);
    this.#costs.set(expr, cost);
    return cost;
  }

  #cost(expr: Expr): Estimate {
    const type = this.checked.typeNames.get(expr);
    if (type !== undefined) {
      this.#paths.set(expr, [type]);
      return exactly(1);
    }
    switch (expr.kind) {
      case "literal":
        return none;
      case "ident":
        this.#paths.set(expr, this.#local(expr.name)?.path ?? [expr.name]);
        return exactly(1);
      case "select": {
        const operand = this.cost(expr.operand);
        if (expr.isTest) return operand;
        const kind = this.#type(expr.operand).kind;
        this.#paths.set(expr, [...this.#path(expr.operand), expr.field]);
        return ["map", "struct", "param"].includes(kind) ? add(operand, exactly(1)) : operand;
      }
      case "call":
        return this.#call(expr);
      case "list":
        return this.#list(expr);
      case "map":
        return this.#map(expr);
      case "struct":
        return add(exactly(unitCosts.struct), ...expr.fields.map(({ value }) => this.cost(value)));
      case "comprehension":
        return isBinding(expr) ? this.#binding(expr) : this.#loop(expr);
    }
  }

  #type(expr: Expr): CelType {
    return this.checked.types.get(expr) ?? dyn;
  }

  #local(name: string): Local | undefined {
    return this.#locals.findLast(([one]) => one === name)?.[1];
  }

  #path(expr: Expr): Path {
    const local = expr.kind === "ident" ? this.#local(expr.name) : undefined;
    return local?.path ?? this.#paths.get(expr) ?? [];
  }

  #sizeOf(expr: Expr): Estimate | undefined {
    const known = this.#sizes.get(expr) ?? literalSize(expr);
    if (known !== undefined) return known;
    const type = this.#type(expr);
    const own = this.#sizeAt(this.#path(expr), type);
    if (own !== undefined) return own;
    return expr.kind === "ident" ? this.#local(expr.name)?.size : undefined;
  }

  #sizeAt(path: Path, type: CelType): Estimate | undefined {
    const max = path.length === 0 ? undefined : this.sizeAt(path);
    if (max !== undefined) return { min: 0, max };
    return isScalar(type) ? exactly(1) : undefined;
  }

  #entriesOf(expr: Expr): Entries | undefined {
    const known = this.#entries.get(expr);
    if (known !== undefined || expr.kind !== "ident") return known;
    return this.#local(expr.name)?.entries;
  }

  #known(expr: Expr): Known {
    return { expr, type: this.#type(expr), size: this.#sizeOf(expr) ?? unknownSize };
  }

  #items(target: Expr | undefined): Known | undefined {
    if (target === undefined) return undefined;
    const [type] = this.#type(target).params;
    if (type === undefined) return undefined;
    const path = this.#path(target);
    const max = path.length === 0 ? undefined : this.sizeAt([...path, "@items"]);
    const size = max === undefined ? unknownSize : { min: 0, max };
    return { expr: undefined, type, size };
  }

  #call(expr: Call): Estimate {
    const { name, args } = expr;
    if (name === "dyn" && args[0] !== undefined) return this.#dyn(expr, args[0]);
    const overloads = this.checked.calls.get(expr) ?? [];
    const target = overloads.some((one) => one.isMember) ? expr.target : undefined;
    const costs = args.map((arg) => this.cost(arg));
    const known = args.map((arg) => this.#known(arg));
    const before = target === undefined ? none : this.cost(target);
    const call = {
      target: target === undefined ? undefined : this.#known(target),
      args: known,
      items: this.#items(target),
    };
    if (name === "_&&_" || name === "_||_") return logical(costs);
    if (name === "_?_:_") return this.#conditional(expr, costs, known);
    let estimate: CallEstimate | undefined;
    for (const overload of overloads) {
      estimate = either(estimate, callEstimate(overload, call));
      if (overload.id === "index_list" || overload.id === "index_map") {
        const isList = overload.id === "index_list";
        this.#paths.set(expr, [...this.#path(args[0] as Expr), isList ? "@items" : "@values"]);
        estimate = { ...estimate, size: this.#entriesOf(args[0] as Expr)?.value };
      }
    }
    if (name === "_+_") this.#joinEntries(expr, args);
    const size = estimate?.size ?? this.#sizeOf(expr);
    if (size !== undefined) this.#sizes.set(expr, size);
    return add(before, estimate?.cost ?? none, ...costs);
  }

  /** `dyn(x)` is x by another type. */
  #dyn(expr: Expr, arg: Expr): Estimate {
    const cost = this.cost(arg);
    this.#copy(expr, arg);
    return add(exactly(1), cost);
  }

  #copy(to: Expr, from: Expr): void {
    const size = this.#sizeOf(from);
    if (size !== undefined) this.#sizes.set(to, size);
    const entries = this.#entriesOf(from);
    if (entries !== undefined) this.#entries.set(to, entries);
  }

  #conditional(expr: Expr, costs: readonly Estimate[], known: readonly Known[]): Estimate {
    const [condition, yes, no] = costs as [Estimate, Estimate, Estimate];
    const [, a, b] = known as [Known, Known, Known];
    this.#sizes.set(expr, union(a.size, b.size));
    this.#joinEntries(expr, [a.expr as Expr, b.expr as Expr]);
    return add(condition, union(yes, no));
  }

  #joinEntries(expr: Expr, [a, b]: readonly Expr[]): void {
    const first = a && this.#entriesOf(a);
    const second = b && this.#entriesOf(b);
    if (!first || !second) return;
    const key = union(first.key, second.key);
    this.#entries.set(expr, { isList: first.isList, key, value: union(first.value, second.value) });
  }

  #joinedSizes(exprs: readonly Expr[]): Estimate {
    const [first, ...rest] = exprs.map((expr) => this.#sizeOf(expr) ?? unknownSize);
    return first === undefined ? none : rest.reduce(union, first);
  }

  #list(expr: ListLiteral): Estimate {
    const costs = expr.items.map((item) => this.cost(item));
    const value = this.#joinedSizes(expr.items);
    this.#entries.set(expr, { isList: true, key: exactly(1), value });
    return add(exactly(unitCosts.list), ...costs);
  }

  #map(expr: MapLiteral): Estimate {
    const keys = expr.entries.map(({ key }) => key);
    const values = expr.entries.map(({ value }) => value);
    const costs = [...keys, ...values].map((one) => this.cost(one));
    const sizes = { key: this.#joinedSizes(keys), value: this.#joinedSizes(values) };
    this.#entries.set(expr, { isList: false, ...sizes });
    return add(exactly(unitCosts.map), ...costs);
  }

  #binding(expr: Comprehension): Estimate {
    const before = add(this.cost(expr.range), this.cost(expr.init));
    this.#locals.push([expr.accu, this.#asLocal(expr.init)]);
    const result = this.cost(expr.result);
    this.#copy(expr, expr.result);
    this.#locals.pop();
    return add(before, result);
  }

  #asLocal(expr: Expr): Local {
    const [path, size, entries] = [this.#path(expr), this.#sizeOf(expr), this.#entriesOf(expr)];
    return { path, size, entries };
  }

  #loop(expr: Comprehension): Estimate {
    const { range, init } = expr;
    const before = add(this.cost(range), this.cost(init));
    const depth = this.#locals.length;
    this.#locals.push([expr.accu, this.#asLocal(init)]);
    this.#pushElements(expr);
    const round = add(this.cost(expr.condition), this.cost(expr.step));
    const stepEntries = this.#entriesOf(expr.step);
    this.#locals.length = depth + 1;
    const result = this.cost(expr.result);
    this.#locals.length = depth;
    const count = this.#sizeOf(range) ?? unknownSize;
    if (init.kind === "literal") this.#sizes.set(expr, literalSize(init) ?? exactly(1));
    else if (init.kind === "list" || init.kind === "map") {
      this.#sizes.set(expr, count);
      if (stepEntries !== undefined) this.#entries.set(expr, stepEntries);
    }
    return add(before, result, multiply(count, round));
  }

  /** The variables of the loop: elements or keys; with two of them keys, then elements. */
  #pushElements({ range, iter, iter2 }: Comprehension): void {
    const entries = this.#entriesOf(range);
    const isList = entries?.isList ?? this.#type(range).kind === "list";
    const path = this.#path(range);
    const local = (step: string, size: Estimate | undefined): Local => {
      return { path: [...path, step], size, entries: undefined };
    };
    const values = local(isList ? "@items" : "@values", entries?.value);
    const keys = local(isList ? "@indices" : "@keys", entries?.key);
    this.#locals.push([iter, iter2 === undefined && isList ? values : keys]);
    if (iter2 !== undefined) this.#locals.push([iter2, values]);
  }
}

function logical([left, right]: readonly Estimate[]): Estimate {
  return { min: left?.min ?? 0, max: add(left ?? none, right ?? none).max };
}

function literalSize(expr: Expr): Estimate | undefined {
  if (expr.kind === "list") return exactly(expr.items.length);
  if (expr.kind === "map") return exactly(expr.entries.length);
  return expr.kind === "literal" ? exactly(sizeOfLiteral(expr.value)) : undefined;
}

function sizeOfLiteral(value: LiteralValue): number {
  if (typeof value === "string") return codePoints(value);
  return value instanceof Uint8Array ? value.length : 1;
}

const scalarKinds = ["bool", "double", "duration", "int", "timestamp", "uint"];

function isScalar(type: CelType): boolean {
  if (isOptional(type)) return isScalar(type.params[0] as CelType);
  return scalarKinds.includes(type.kind);
}
