/**
 * Answers whether a text matches, one look per character: sets of places in the program become
 * states when they are first reached. Only for programs that ask for nothing but the ends of the
 * text; with too many states it gives up, and the caller follows the places themselves.
 */
import type { Instruction } from "./program.ts";

const limits = { statesMax: 2000, wideKeptMax: 10_000 } as const;

interface State {
  readonly places: readonly number[];
  /** A match ends here, whatever follows. */
  readonly isMatch: boolean;
  /** A match ends here when the text does. */
  readonly isMatchAtEnd: boolean;
  /** By character; those beyond ASCII are few in most texts. */
  readonly ascii: (State | undefined)[];
  readonly wide: Map<number, State>;
}

export class Automaton {
  readonly #states = new Map<string, State>();
  readonly #first: State;

  constructor(
    private readonly program: readonly Instruction[],
    private readonly start: number,
  ) {
    this.#first = this.#state([start], true);
  }

  /** Undefined for programs that look at what surrounds a place. */
  static of(program: readonly Instruction[], start: number): Automaton | undefined {
    const isPlain = program.every(
      (one) => one.op !== "assert" || one.what === "text-start" || one.what === "text-end",
    );
    return isPlain ? new Automaton(program, start) : undefined;
  }

  /** Undefined when there are too many states. */
  test(text: string): boolean | undefined {
    let state = this.#first;
    for (let at = 0; at < text.length; at++) {
      if (state.isMatch) return true;
      let code = text.charCodeAt(at);
      if (code >= 128) {
        code = text.codePointAt(at) ?? code;
        if (code > 0xffff) at++;
      }
      const next =
        (code < 128 ? state.ascii[code] : state.wide.get(code)) ?? this.#next(state, code);
      if (next === undefined) return undefined;
      state = next;
    }
    return state.isMatch || state.isMatchAtEnd;
  }

  #next(state: State, code: number): State | undefined {
    if (this.#states.size >= limits.statesMax) return undefined;
    const seeds: number[] = [];
    for (const place of state.places) {
      const instruction = this.program[place];
      if (instruction?.op === "set" && instruction.set.has(code)) seeds.push(instruction.next);
    }
    // A match may begin at every place.
    const next = this.#state([...seeds, this.start], false);
    if (code < 128) state.ascii[code] = next;
    else if (state.wide.size < limits.wideKeptMax) state.wide.set(code, next);
    return next;
  }

  #state(seeds: readonly number[], isStart: boolean): State {
    const places = this.#reached(seeds, isStart, false);
    const key = `${isStart} ${places.join(" ")}`;
    let state = this.#states.get(key);
    if (state === undefined) {
      const atEnd = this.#reached(places, isStart, true);
      state = {
        places,
        isMatch: this.#hasMatch(places),
        isMatchAtEnd: this.#hasMatch(atEnd),
        ascii: [],
        wide: new Map(),
      };
      this.#states.set(key, state);
    }
    return state;
  }

  #hasMatch(places: readonly number[]): boolean {
    return places.some((place) => this.program[place]?.op === "match");
  }

  /** All places that can be reached without reading a character, in order. */
  #reached(seeds: readonly number[], isStart: boolean, isEnd: boolean): readonly number[] {
    const seen = new Set<number>();
    const open = [...seeds];
    for (let place = open.pop(); place !== undefined; place = open.pop()) {
      if (seen.has(place)) continue;
      seen.add(place);
      const instruction = this.program[place];
      if (instruction?.op === "fork") open.push(instruction.second, instruction.first);
      else if (instruction?.op === "assert") {
        const holds = instruction.what === "text-start" ? isStart : isEnd;
        if (holds) open.push(instruction.next);
      }
    }
    return [...seen].sort((a, b) => a - b);
  }
}
