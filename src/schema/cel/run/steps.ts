/** The steps of which the interpreter makes programs. */
import type { Turn } from "../../../lib/turns.ts";
import type { Overload } from "../check/functions.ts";
import { CelFault } from "../fault.ts";
import { CelOptional } from "../scalars.ts";
import type { Expr } from "../syntax/ast.ts";
import { callCost, isPaidBefore } from "./call-cost.ts";
import { dispatcher } from "./dispatch.ts";
import { isMap, mapEntries, mapOfEntries } from "./map.ts";
import { member, optionalMember } from "./members.ts";
import type { LoopLog } from "./progress.ts";
import { isAttribute } from "./shapes.ts";
import type { Tracker } from "./tracker.ts";

export type Bindings = Readonly<Record<string, unknown>>;

export interface Frame {
  readonly bindings: Bindings;
  readonly tracker: Tracker;
  /** The variables of loops, by the place that the compiler gave them. */
  readonly locals: unknown[];
  /** Of the loops on this level; undefined where the evaluation is never paused. */
  log: LoopLog | undefined;
  readonly turn: Turn | undefined;
}
export type Step = (frame: Frame) => unknown;

/** A fault that a loop carries along: a later element may make it meaningless. */
export class Held {
  constructor(readonly fault: CelFault) {}
}

export function selectCost(operand: Expr): number {
  return isAttribute(operand) ? 1 : 2;
}

export function newMap(pairs: Pairs): object {
  const map = mapOfEntries(pairs);
  if (mapEntries(map).length < pairs.length) throw new CelFault("Failed with repeated key");
  return map;
}

export function subscript(
  name: string,
  target: Step,
  index: Step,
  args: readonly [Expr, Expr],
): Step {
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
export function choice(
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

export type Pairs = readonly (readonly [unknown, unknown])[];

/** What loops go over: items or keys; with two variables indices or keys, and values. */
export function elements(range: unknown, isPaired: boolean): Pairs {
  if (Array.isArray(range)) {
    return range.map((item, index) => (isPaired ? [BigInt(index), item] : [item, undefined]));
  }
  if (isMap(range)) return mapEntries(range);
  throw new CelFault("no such overload");
}

export function held(step: Step, frame: Frame): unknown {
  try {
    return step(frame);
  } catch (fault) {
    if (fault instanceof CelFault) return new Held(fault);
    throw fault;
  }
}

/** One decisive side outweighs a fault of the other. */
export function logical(left: Step, right: Step, decisive: boolean): Step {
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

export function notStrictlyFalse(step: Step): Step {
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

export function optionalValue(value: unknown): CelOptional {
  if (value instanceof CelOptional) return value;
  throw new CelFault("no such overload");
}

export function alternative(name: "or" | "orValue", first: Step, second: Step): Step {
  return (frame) => {
    const value = optionalValue(first(frame));
    if (!value.hasValue) return second(frame);
    return name === "or" ? value : value.value;
  };
}

export function invocation(
  name: string,
  overloads: readonly Overload[],
  steps: readonly Step[],
): Step {
  const dispatch = dispatcher(name, overloads);
  return (frame) => {
    const args = steps.map((step) => step(frame));
    const overload = dispatch(args);
    // What takes long is paid for before it is done.
    const isPaid = isPaidBefore(overload);
    if (isPaid) frame.tracker.add(callCost(overload, args, undefined));
    const result = overload.run(...(args as never[]));
    if (!isPaid) frame.tracker.add(callCost(overload, args, result));
    return result;
  };
}
