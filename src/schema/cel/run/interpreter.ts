/** Turns a checked expression into a function, which counts what it costs. */
import type { Checked } from "../check/checker.ts";
import type { Overload } from "../check/functions.ts";
import type { CelType } from "../check/types.ts";
import { CelFault } from "../fault.ts";
import { celRegexp } from "../library/standard.ts";
import { CelOptional, CelTypeValue } from "../scalars.ts";
import {
  type Call,
  type Comprehension,
  children,
  type Expr,
  isBinding,
  type ListLiteral,
  type MapLiteral,
  type Select,
  type StructLiteral,
} from "../syntax/ast.ts";
import { fieldNameOf, keywordField } from "../values.ts";
import { callCost, unitCosts } from "./call-cost.ts";
import { dispatcher } from "./dispatch.ts";
import { isMap, mapEntries, mapOfEntries } from "./map.ts";
import { hasMember, member, optionalMember } from "./members.ts";
import { nameMessage } from "./messages.ts";
import type { Tracker } from "./tracker.ts";

export type Bindings = Readonly<Record<string, unknown>>;

interface Frame {
  readonly bindings: Bindings;
  readonly tracker: Tracker;
  /** The variables of loops, by the place that the compiler gave them. */
  readonly locals: unknown[];
}
type Step = (frame: Frame) => unknown;

/** A fault that a loop carries along: a later element may make it meaningless. */
class Held {
  constructor(readonly fault: CelFault) {}
}

/** @returns a function of the variables; it throws what `fault.ts` has. */
export function interpreter(checked: Checked): (bindings: Bindings, tracker: Tracker) => unknown {
  const step = new Compiler(checked).compile(checked.expr);
  return (bindings, tracker) => step({ bindings, tracker, locals: [] });
}

class Compiler {
  readonly #scopes: (readonly [name: string, slot: number])[] = [];

  constructor(private readonly checked: Checked) {}

  compile(expr: Expr): Step {
    switch (expr.kind) {
      case "literal": {
        const { value } = expr;
        return () => value;
      }
      case "ident":
        return this.#ident(expr, expr.name.replace(/^\./, ""));
      case "select":
        return this.#select(expr);
      case "call":
        return this.#call(expr);
      case "list":
        return this.#list(expr);
      case "map":
        return this.#map(expr);
      case "struct":
        return this.#struct(expr);
      case "comprehension":
        return isBinding(expr) ? this.#binding(expr) : this.#loop(expr);
    }
  }

  #ident(expr: Expr, name: string): Step {
    const local = this.#scopes.findLast(([one]) => one === name);
    if (local !== undefined) {
      const [, slot] = local;
      return ({ tracker, locals }) => {
        tracker.add(1);
        const value = locals[slot];
        if (value instanceof Held) throw value.fault;
        return value;
      };
    }
    const type = this.checked.typeNames.get(expr);
    if (type !== undefined) {
      const value = new CelTypeValue(type);
      return () => value;
    }
    return ({ tracker, bindings }) => {
      tracker.add(1);
      const value = bindings[name];
      if (value === undefined) throw new CelFault(`no such attribute(s): ${name}`);
      return value;
    };
  }

  #select(expr: Select): Step {
    const type = this.checked.typeNames.get(expr);
    if (type !== undefined) {
      const value = new CelTypeValue(type);
      return () => value;
    }
    const operand = this.compile(expr.operand);
    const { field } = expr;
    const isKnown = this.#type(expr.operand)?.fields?.has(field) !== false;
    const name = isKnown ? field : keywordField(field);
    if (expr.isTest) return (frame) => hasMember(operand(frame), name);
    const cost = selectCost(expr.operand);
    return (frame) => {
      const target = operand(frame);
      frame.tracker.add(cost);
      return member(target, name);
    };
  }

  #type(expr: Expr): CelType | undefined {
    return this.checked.types.get(expr);
  }

  #call(expr: Call): Step {
    const { name, args } = expr;
    const constant = this.#constant(expr);
    if (constant !== undefined) return () => constant.value;
    checkPattern(expr);
    const all = expr.target === undefined ? args : [expr.target, ...args];
    const overloads = this.checked.calls.get(expr) ?? [];
    // A namespace such as `optional` in `optional.of(x)` is no target.
    const isMember = overloads.some((one) => one.isMember);
    const steps = (isMember ? all : args).map((arg) => this.compile(arg));
    const [first, second, third] = steps as [Step, Step, Step];
    switch (name) {
      case "_&&_":
        return logical(first, second, false);
      case "_||_":
        return logical(first, second, true);
      case "_?_:_":
        return choice(first, second, third, args.slice(1).map(isAttribute));
      case "@not_strictly_false":
        return notStrictlyFalse(first);
      case "_?._":
      case "_[?_]":
      case "_[_]":
        return subscript(name, first, second, args as readonly [Expr, Expr]);
      case "or":
      case "orValue":
        if (isMember && overloads.length === 1) return alternative(name, first, second);
        break;
      default:
        break;
    }
    return invocation(name, overloads, steps);
  }

  /** Literals, and lists and maps of such, are made once. */
  #constant(expr: Expr): { readonly value: unknown } | undefined {
    if (!isConstant(expr)) return undefined;
    if (expr.kind === "literal") return { value: expr.value };
    const parts = children(expr);
    const values = parts.map((part) => this.#constant(part)?.value);
    if (expr.kind === "list") return { value: values };
    if (expr.kind === "map") {
      const pairs = expr.entries.map(
        (_, index) => [values[2 * index], values[2 * index + 1]] as const,
      );
      return { value: newMap(pairs) };
    }
    const dispatch = dispatcher("", this.checked.calls.get(expr) ?? []);
    return { value: dispatch(values).run(...(values as never[])) };
  }

  #list(expr: ListLiteral): Step {
    const constant = this.#constant(expr);
    if (constant !== undefined) return () => constant.value;
    const { items, optional } = expr;
    const steps = items.map((item) => this.compile(item));
    return (frame) => {
      const list: unknown[] = [];
      steps.forEach((step, index) => {
        const value = step(frame);
        if (!optional.has(index)) list.push(value);
        else if (optionalValue(value).hasValue) list.push(optionalValue(value).value);
      });
      frame.tracker.add(unitCosts.list);
      return list;
    };
  }

  #map(expr: MapLiteral): Step {
    const constant = this.#constant(expr);
    if (constant !== undefined) return () => constant.value;
    const { entries } = expr;
    const steps = entries.map((entry) => ({
      key: this.compile(entry.key),
      value: this.compile(entry.value),
      isOptional: entry.isOptional,
    }));
    return (frame) => {
      const pairs: (readonly [unknown, unknown])[] = [];
      for (const { key, value, isOptional } of steps) {
        const pair = [key(frame), value(frame)] as const;
        if (!isOptional) pairs.push(pair);
        else if (optionalValue(pair[1]).hasValue) {
          pairs.push([pair[0], optionalValue(pair[1]).value]);
        }
      }
      frame.tracker.add(unitCosts.map);
      return newMap(pairs);
    };
  }

  #struct({ type, fields }: StructLiteral): Step {
    const steps = fields.map(({ name, value, isOptional }) => {
      return { name: fieldNameOf(name), value: this.compile(value), isOptional };
    });
    return (frame) => {
      const pairs: (readonly [string, unknown])[] = [];
      for (const { name, value: step, isOptional } of steps) {
        const value = step(frame);
        if (!isOptional) pairs.push([name, value]);
        else if (optionalValue(value).hasValue) pairs.push([name, optionalValue(value).value]);
      }
      frame.tracker.add(unitCosts.struct);
      return nameMessage(mapOfEntries(pairs), type);
    };
  }

  /** `result` with one variable; nothing loops. */
  #binding(expr: Comprehension): Step {
    const init = this.compile(expr.init);
    const slot = this.#enter(expr.accu);
    const result = this.compile(expr.result);
    this.#leave(1);
    return (frame) => {
      frame.locals[slot] = init(frame);
      return result(frame);
    };
  }

  #loop(expr: Comprehension): Step {
    const { iter2 } = expr;
    const range = this.compile(expr.range);
    const init = this.compile(expr.init);
    const accu = this.#enter(expr.accu);
    const first = this.#enter(expr.iter);
    const second = iter2 === undefined ? -1 : this.#enter(iter2);
    const condition = this.compile(expr.condition);
    const step = this.compile(expr.step);
    this.#leave(iter2 === undefined ? 1 : 2);
    const result = this.compile(expr.result);
    this.#leave(1);
    return (frame) => {
      const items = elements(range(frame), iter2 !== undefined);
      const { locals } = frame;
      locals[accu] = init(frame);
      for (const [key, value] of items) {
        locals[first] = key;
        if (second >= 0) locals[second] = value;
        if (condition(frame) === false) break;
        locals[accu] = held(step, frame);
      }
      return result(frame);
    };
  }

  #enter(name: string): number {
    const slot = this.#scopes.length;
    this.#scopes.push([name, slot]);
    return slot;
  }

  #leave(count: number): void {
    this.#scopes.length -= count;
  }
}

/** These are done once where all is known beforehand. */
const conversions: ReadonlySet<string> = new Set(
  "bool bytes double duration dyn int string timestamp type uint".split(" "),
);

/** True for literals, and for lists and maps of nothing else. */
function isConstant(expr: Expr): boolean {
  if (expr.kind === "literal") return true;
  if (expr.kind === "call") return conversions.has(expr.name) && expr.args.every(isConstant);
  if (expr.kind === "list") return expr.optional.size === 0 && expr.items.every(isConstant);
  if (expr.kind !== "map") return false;
  return expr.entries.every((entry) => !entry.isOptional) && children(expr).every(isConstant);
}

/** A variable, a field or an element of one: upstream counts a chain of these as one. */
function isAttribute({ kind, ...expr }: Expr): boolean {
  if (kind === "ident") return true;
  if (kind === "select") return !(expr as Select).isTest;
  return kind === "call" && ["_[_]", "_[?_]", "_?._"].includes((expr as Call).name);
}

/** A regular expression that is a literal is compiled beforehand. */
function checkPattern({ name, target, args }: Call): void {
  if (target === undefined || !["find", "findAll", "matches"].includes(name)) return;
  const [pattern] = args;
  if (pattern?.kind === "literal" && typeof pattern.value === "string") celRegexp(pattern.value);
}

function selectCost(operand: Expr): number {
  return isAttribute(operand) ? 1 : 2;
}

function newMap(pairs: Pairs): object {
  const map = mapOfEntries(pairs);
  if (mapEntries(map).length < pairs.length) throw new CelFault("Failed with repeated key");
  return map;
}

function subscript(name: string, target: Step, index: Step, args: readonly [Expr, Expr]): Step {
  // A variable as a key costs nothing of its own.
  const cost = selectCost(args[0]) - (name !== "_?._" && isAttribute(args[1]) ? 1 : 0);
  if (name === "_[_]") {
    return (frame) => {
      const [whole, key] = [target(frame), index(frame)];
      frame.tracker.add(cost);
      return member(whole, key);
    };
  }
  return (frame) => {
    const found = optionalMember(target(frame), index(frame));
    frame.tracker.add(found.hasValue ? cost : cost - 1);
    return found;
  };
}

/** A branch that is a mere variable costs nothing of its own. */
function choice(
  condition: Step,
  yes: Step,
  no: Step,
  [isYesPlain, isNoPlain]: readonly boolean[],
): Step {
  return (frame) => {
    const value = condition(frame);
    if (typeof value !== "boolean") throw new CelFault("no such overload");
    if (value ? isYesPlain : isNoPlain) frame.tracker.add(-1);
    return value ? yes(frame) : no(frame);
  };
}

type Pairs = readonly (readonly [unknown, unknown])[];

/** What loops go over: items or keys; with two variables indices or keys, and values. */
function elements(range: unknown, isPaired: boolean): Pairs {
  if (Array.isArray(range)) {
    return range.map((item, index) => (isPaired ? [BigInt(index), item] : [item, undefined]));
  }
  if (isMap(range)) return mapEntries(range);
  throw new CelFault("no such overload");
}

function held(step: Step, frame: Frame): unknown {
  try {
    return step(frame);
  } catch (fault) {
    if (fault instanceof CelFault) return new Held(fault);
    throw fault;
  }
}

/** One decisive side outweighs a fault of the other. */
function logical(left: Step, right: Step, decisive: boolean): Step {
  const side = (step: Step, frame: Frame): boolean | CelFault => {
    try {
      const value = step(frame);
      return typeof value === "boolean" ? value : new CelFault("no such overload");
    } catch (fault) {
      if (fault instanceof CelFault) return fault;
      throw fault;
    }
  };
  return (frame) => {
    const a = side(left, frame);
    if (a === decisive) return decisive;
    const b = side(right, frame);
    if (b === decisive) return decisive;
    if (a instanceof CelFault) throw a;
    if (b instanceof CelFault) throw b;
    return !decisive;
  };
}

function notStrictlyFalse(step: Step): Step {
  return (frame) => {
    let value: unknown;
    try {
      value = step(frame);
    } catch (fault) {
      if (!(fault instanceof CelFault)) throw fault;
      value = true;
    }
    frame.tracker.add(1);
    return value !== false;
  };
}

function optionalValue(value: unknown): CelOptional {
  if (value instanceof CelOptional) return value;
  throw new CelFault("no such overload");
}

function alternative(name: "or" | "orValue", first: Step, second: Step): Step {
  return (frame) => {
    const value = optionalValue(first(frame));
    if (!value.hasValue) return second(frame);
    return name === "or" ? value : value.value;
  };
}

function invocation(name: string, overloads: readonly Overload[], steps: readonly Step[]): Step {
  const dispatch = dispatcher(name, overloads);
  return (frame) => {
    const args = steps.map((step) => step(frame));
    const overload = dispatch(args);
    const result = overload.run(...(args as never[]));
    frame.tracker.add(callCost(overload, args, result));
    return result;
  };
}
