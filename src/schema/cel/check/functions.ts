/** Functions and operators: what they take and yield, and what they do. */
import { type CelType, parseType } from "./types.ts";

/** Arguments come as values of CEL, the target of a method first. */
export type Run = (...args: never[]) => unknown;

export interface Overload {
  /** Upstream's name of the overload; costs go by it. */
  readonly id: string;
  readonly name: string;
  readonly isMember: boolean;
  readonly params: readonly CelType[];
  readonly result: CelType;
  /** The names of type parameters in it. */
  readonly generic: readonly string[];
  readonly run: Run;
}

const signature = /^(?:(.+)->)?([^()]+)\((.*)\): (.+)$/;

export class Functions {
  readonly #byName = new Map<string, Overload[]>();

  constructor(readonly base?: Functions) {}

  /**
   * Declares an overload: `string->charAt(int): string` for a method, `quantity(string): …` for
   * a function. `id` is only needed where costs depend on the overload.
   */
  add(text: string, run: Run, id = ""): this {
    const [, target, name = "", args = "", result = ""] = signature.exec(text) ?? [];
    if (name === "") throw new Error(`no signature: ${text}`);
    const params = splitTypes(target === undefined ? args : [target, args].join(", ")).map(
      parseType,
    );
    const overload: Overload = {
      id: id === "" ? text : id,
      name,
      isMember: target !== undefined,
      params,
      result: parseType(result),
      generic: [...new Set(text.match(/\b[A-Z]\b/g) ?? [])],
      run,
    };
    const all = this.#byName.get(name);
    if (all === undefined) this.#byName.set(name, [overload]);
    else all.push(overload);
    return this;
  }

  /** All overloads of that name, in the order of their declaration. */
  named(name: string): readonly Overload[] | undefined {
    const own = this.#byName.get(name);
    const inherited = this.base?.named(name);
    if (own === undefined) return inherited;
    return inherited === undefined ? own : [...inherited, ...own];
  }
}

/** Splits at the commas that stand outside of angle brackets. */
function splitTypes(text: string): readonly string[] {
  const parts: string[] = [];
  let depth = 0;
  let from = 0;
  for (let at = 0; at <= text.length; at++) {
    const character = text[at] ?? ",";
    if (character === "<") depth++;
    else if (character === ">") depth--;
    else if (character === "," && depth === 0) {
      const part = text.slice(from, at).trim();
      if (part !== "") parts.push(part);
      from = at + 1;
    }
  }
  return parts;
}
