/**
 * Evaluations in turns. One that takes long is paused between two elements of a loop; evaluated
 * again, it goes on there: what loops came to is logged, and all else is quickly done anew.
 */
import type { Turn } from "../../../lib/turns.ts";
import { CelFault, Paused } from "../fault.ts";
import { finished, growing } from "./growing.ts";
import { elements, type Frame, held, type Pairs, type Step } from "./steps.ts";

/** The parts of a comprehension, and the places of its variables. */
export interface Loop {
  readonly range: Step;
  readonly init: Step;
  readonly condition: Step;
  readonly step: Step;
  readonly result: Step;
  readonly accu: number;
  readonly first: number;
  /** -1 where the loop has one variable. */
  readonly second: number;
}

/** A loop that is over; `cost` is its own, `entered` how many were entered up to its end. */
interface EndedLoop {
  readonly outcome: { readonly value: unknown } | { readonly fault: CelFault };
  readonly cost: number;
  readonly entered: number;
}

/** A loop that was paused, or in which one was. */
interface OpenLoop {
  readonly place: number;
  readonly entered: number;
  readonly items: Pairs;
  index: number;
  accu: unknown;
  /** Of the whole evaluation, before the element at `index`. */
  cost: number;
  /** Of the loops within the element at `index`. */
  readonly inner: LoopLog;
}

/** The loops of an expression or of one pass through a loop, numbered as they are entered. */
export class LoopLog {
  readonly ended = new Map<number, EndedLoop>();
  open: OpenLoop | undefined;
  entered = 0;

  clear(): void {
    this.ended.clear();
    this.open = undefined;
    this.entered = 0;
  }
}

/** An evaluation that may be paused: `log` is empty at first, and given again to go on. */
export interface Progress {
  readonly log: LoopLog;
  readonly turn: Turn;
}

export function looping(loop: Loop): Step {
  return (frame) => {
    const { log } = frame;
    return log === undefined ? atOnce(loop, frame) : inTurns(loop, frame, log);
  };
}

function atOnce(loop: Loop, frame: Frame): unknown {
  const items = elements(loop.range(frame), loop.second >= 0);
  frame.locals[loop.accu] = growing(loop.init(frame));
  for (const item of items) if (!visit(loop, frame, item)) break;
  return resultOf(loop, frame);
}

/** False when no further element can change the result. */
function visit(loop: Loop, frame: Frame, [key, value]: Pairs[number]): boolean {
  const { locals } = frame;
  locals[loop.first] = key;
  if (loop.second >= 0) locals[loop.second] = value;
  if (loop.condition(frame) === false) return false;
  locals[loop.accu] = held(loop.step, frame);
  return true;
}

function resultOf(loop: Loop, frame: Frame): unknown {
  finished(frame.locals[loop.accu]);
  return loop.result(frame);
}

function inTurns(loop: Loop, frame: Frame, log: LoopLog): unknown {
  const { tracker } = frame;
  const place = log.entered++;
  const past = log.ended.get(place);
  if (past !== undefined) {
    log.entered = past.entered;
    tracker.add(past.cost);
    if ("fault" in past.outcome) throw past.outcome.fault;
    return past.outcome.value;
  }
  const before = tracker.cost;
  const end = (outcome: EndedLoop["outcome"]): void => {
    log.open = undefined;
    log.ended.set(place, { outcome, cost: tracker.cost - before, entered: log.entered });
  };
  try {
    const value = goOn(loop, frame, log, place);
    end({ value });
    return value;
  } catch (fault) {
    if (fault instanceof CelFault) end({ fault });
    throw fault;
  }
}

function goOn(loop: Loop, frame: Frame, log: LoopLog, place: number): unknown {
  const isOpen = log.open?.place === place;
  const open = isOpen ? (log.open as OpenLoop) : opened(loop, frame, log, place);
  if (isOpen) reopen(frame, log, open);
  frame.locals[loop.accu] = open.accu;
  frame.log = open.inner;
  try {
    passes(loop, frame, open);
  } finally {
    frame.log = log;
    open.accu = frame.locals[loop.accu];
  }
  return resultOf(loop, frame);
}

function opened(loop: Loop, frame: Frame, log: LoopLog, place: number): OpenLoop {
  const items = elements(loop.range(frame), loop.second >= 0);
  const accu = growing(loop.init(frame));
  const { entered } = log;
  const { cost } = frame.tracker;
  log.open = { place, entered, items, index: 0, accu, cost, inner: new LoopLog() };
  return log.open;
}

/** Where no loop within was paused, the evaluation is where it was. */
function reopen({ tracker, turn }: Frame, log: LoopLog, open: OpenLoop): void {
  log.entered = open.entered;
  open.inner.entered = 0;
  if (open.inner.open !== undefined) return;
  tracker.cost = open.cost;
  turn?.resume();
}

function passes(loop: Loop, frame: Frame, open: OpenLoop): void {
  const { tracker, turn } = frame;
  const { inner, items } = open;
  for (; open.index < items.length; open.index++) {
    if (inner.open === undefined) {
      open.cost = tracker.cost;
      if (turn?.isOver()) throw new Paused();
    }
    if (!visit(loop, frame, items[open.index] as Pairs[number])) break;
    inner.clear();
  }
}
