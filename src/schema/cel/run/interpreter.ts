/** Turns a checked expression into a function, which counts what it costs. */
import type { Checked } from "../check/checker.ts";
import type { CelType } from "../check/types.ts";
import { CelFault } from "../fault.ts";
import { CelTypeValue } from "../scalars.ts";
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
import { unitCosts } from "./call-cost.ts";
import { dispatcher } from "./dispatch.ts";
import { mapOfEntries } from "./map.ts";
import { hasMember, member } from "./members.ts";
import { nameMessage } from "./messages.ts";
import { looping, type Progress } from "./progress.ts";
import { checkPattern, isAttribute, isConstant } from "./shapes.ts";
import {
  alternative,
  type Bindings,
  choice,
  Held,
  invocation,
  logical,
  newMap,
  notStrictlyFalse,
  optionalValue,
  type Step,
  selectCost,
  subscript,
} from "./steps.ts";
import type { Tracker } from "./tracker.ts";

/** @returns a function of the variables; it throws what `fault.ts` has. */
export function interpreter(
  checked: Checked,
): (bindings: Bindings, tracker: Tracker, progress?: Progress) => unknown {
  const step = new Compiler(checked).compile(checked.expr);
  return (bindings, tracker, progress) =>
    step({ bindings, tracker, locals: [], log: progress?.log, turn: progress?.turn });
}

class Compiler {
  readonly #steps = new Map<Expr, Step>();
  readonly #scopes: (readonly [name: string, slot: number])[] = [];

  constructor(private readonly checked: Checked) {}

  /** A part that a macro uses twice is compiled once: both uses see the same variables. */
  compile(expr: Expr): Step {
    const known = this.#steps.get(expr);
    if (known !== undefined) return known;
    const step = this.#compile(expr);
    this.#steps.set(expr, step);
    return step;
  }

  #compile(expr: Expr): Step {
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
    return looping({ range, init, condition, step, result, accu, first, second });
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
