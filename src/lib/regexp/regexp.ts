/**
 * Go's regular expressions, in time that grows with the text and the expression only: all ways
 * through the expression are followed side by side, none is tried again (Thompson's algorithm).
 */
import { Automaton } from "./automaton.ts";
import type { Instruction } from "./program.ts";
import { type Assertion, type Pattern, parseRegexp, RegexpError } from "./syntax.ts";
import { isWord } from "./word.ts";

/** A search that takes more steps is given up: none of a usual length comes near. */
const limits = { instructionsMax: 20_000, stepsMax: 20_000_000 } as const;

/** The text is too long for the expression. */
export class TooManySteps extends Error {
  override readonly name = "TooManySteps";
}

export interface Found {
  /** Offsets into the text, in UTF-16 units. */
  readonly start: number;
  readonly end: number;
}

export class LinearRegexp {
  readonly #program: readonly Instruction[];
  readonly #start: number;
  #automaton: Automaton | undefined;

  /** @throws RegexpError with Go's words. */
  constructor(readonly source: string) {
    const compiler = new Compiler(source);
    this.#start = compiler.compile(parseRegexp(source), compiler.match());
    this.#program = compiler.program;
    this.#automaton = Automaton.of(this.#program, this.#start);
  }

  /** @throws TooManySteps */
  test(text: string): boolean {
    const answer = this.#automaton?.test(text);
    if (answer !== undefined) return answer;
    this.#automaton = undefined;
    return this.#run(text, 0, true) !== undefined;
  }

  /** The first match at `from` or behind it. @throws TooManySteps */
  find(text: string, from = 0): Found | undefined {
    return this.#run(text, from, false);
  }

  /** All matches that do not overlap, `most` at the most. @throws TooManySteps */
  findAll(text: string, most = Number.POSITIVE_INFINITY): readonly Found[] {
    const all: Found[] = [];
    const effort = { left: limits.stepsMax };
    let from = 0;
    let before = -1;
    while (all.length < most && from <= text.length) {
      const found = this.#run(text, from, false, effort);
      if (found === undefined) break;
      const isEmpty = found.start === found.end;
      // An empty match right behind another is none.
      if (!isEmpty || found.start !== before) all.push(found);
      before = found.end;
      from = isEmpty ? found.end + stepAt(text, found.end) : found.end;
    }
    return all;
  }

  #run(
    text: string,
    from: number,
    isTest: boolean,
    effort = { left: limits.stepsMax as number },
  ): Found | undefined {
    let now = new Threads(this.#program.length);
    let next = new Threads(this.#program.length);
    let best: Found | undefined;
    for (let at = from; ; ) {
      if (best === undefined) this.#follow(now, this.#start, at, text, at);
      if (now.size === 0 && best !== undefined) break;
      const code = at < text.length ? (text.codePointAt(at) ?? 0) : -1;
      const behind = at + stepAt(text, at);
      effort.left -= now.size + 1;
      if (effort.left < 0) throw new TooManySteps("the search takes too many steps");
      for (let index = 0; index < now.size; index++) {
        const place = now.places[index] as number;
        const instruction = this.#program[place] as Instruction;
        if (instruction.op === "match") {
          best = { start: now.starts[place] as number, end: at };
          if (isTest) return best;
          break;
        }
        if (instruction.op === "set" && code >= 0 && instruction.set.has(code)) {
          this.#follow(next, instruction.next, behind, text, now.starts[place] as number);
        }
      }
      [now, next] = [next, now];
      next.size = 0;
      if (at >= text.length) break;
      at = behind;
    }
    return best;
  }

  /** Adds what can be reached without reading a character, the preferred way first. */
  #follow(threads: Threads, from: number, at: number, text: string, start: number): void {
    const open = [from];
    for (let place = open.pop(); place !== undefined; place = open.pop()) {
      if (!threads.add(place, start)) continue;
      const instruction = this.#program[place] as Instruction;
      if (instruction.op === "fork") open.push(instruction.second, instruction.first);
      else if (instruction.op === "assert" && holds(instruction.what, text, at)) {
        open.push(instruction.next);
      }
    }
  }
}

/** Where the search stands: places in the program, in order of preference. */
class Threads {
  readonly places: Uint32Array;
  /** By place: where the match began. */
  readonly starts: Uint32Array;
  readonly #index: Uint32Array;
  size = 0;

  constructor(count: number) {
    this.places = new Uint32Array(count);
    this.starts = new Uint32Array(count);
    this.#index = new Uint32Array(count);
  }

  add(place: number, start: number): boolean {
    const index = this.#index[place] as number;
    if (index < this.size && this.places[index] === place) return false;
    this.#index[place] = this.size;
    this.places[this.size++] = place;
    this.starts[place] = start;
    return true;
  }
}

function stepAt(text: string, at: number): number {
  return (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1;
}

function holds(what: Assertion, text: string, at: number): boolean {
  switch (what) {
    case "text-start":
      return at === 0;
    case "text-end":
      return at === text.length;
    case "line-start":
      return at === 0 || text[at - 1] === "\n";
    case "line-end":
      return at === text.length || text[at] === "\n";
    default:
      return (isWord(text, at - 1) !== isWord(text, at)) === (what === "word-edge");
  }
}

class Compiler {
  readonly program: Instruction[] = [];

  constructor(private readonly source: string) {}

  match(): number {
    return this.#emit({ op: "match" });
  }

  #emit(instruction: Instruction): number {
    if (this.program.length >= limits.instructionsMax) {
      throw new RegexpError("expression too large", this.source);
    }
    return this.program.push(instruction) - 1;
  }

  /** Emits `pattern`, behind which `next` follows; answers where it begins. */
  compile(pattern: Pattern, next: number): number {
    switch (pattern.type) {
      case "empty":
        return next;
      case "set":
        return this.#emit({ op: "set", set: pattern.set, next });
      case "assert":
        return this.#emit({ op: "assert", what: pattern.what, next });
      case "sequence":
        return pattern.parts.reduceRight((after, part) => this.compile(part, after), next);
      case "choice": {
        const starts = pattern.parts.map((part) => this.compile(part, next));
        return starts.reduceRight((second, first) => this.#emit({ op: "fork", first, second }));
      }
      case "repeat":
        return this.#repeat(pattern, next);
    }
  }

  #repeat(pattern: Extract<Pattern, { type: "repeat" }>, next: number): number {
    const { part, min, max, isLazy } = pattern;
    const fork = (into: number, past: number): Instruction =>
      isLazy
        ? { op: "fork", first: past, second: into }
        : { op: "fork", first: into, second: past };
    let start = next;
    if (max === Number.POSITIVE_INFINITY) {
      const loop = this.#emit(fork(next, next));
      this.program[loop] = fork(this.compile(part, loop), next);
      start = loop;
    } else {
      for (let count = min; count < max; count++) {
        start = this.#emit(fork(this.compile(part, start), next));
      }
    }
    for (let count = 0; count < min; count++) start = this.compile(part, start);
    return start;
  }
}

const compiled = new Map<string, LinearRegexp | RegexpError>();
const keptMax = 1000;

/**
 * Compiles once.
 *
 * @throws RegexpError
 */
export function linearRegexp(source: string): LinearRegexp {
  let regexp = compiled.get(source);
  if (regexp === undefined) {
    try {
      regexp = new LinearRegexp(source);
    } catch (error) {
      if (!(error instanceof RegexpError)) throw error;
      regexp = error;
    }
    if (compiled.size >= keptMax) compiled.clear();
    compiled.set(source, regexp);
  }
  if (regexp instanceof RegexpError) throw regexp;
  return regexp;
}
