/** Go's regular expressions (RE2's syntax) as trees: https://github.com/google/re2/wiki/Syntax. */
import { CharSet, digits, namedSet, posixSet, spaces, wordCharacters } from "./char-set.ts";

export type Assertion =
  | "text-start"
  | "text-end"
  | "line-start"
  | "line-end"
  | "word-edge"
  | "no-word-edge";

export type Pattern =
  | { readonly type: "empty" }
  | { readonly type: "set"; readonly set: CharSet }
  | { readonly type: "assert"; readonly what: Assertion }
  | { readonly type: "sequence"; readonly parts: readonly Pattern[] }
  | { readonly type: "choice"; readonly parts: readonly Pattern[] }
  | {
      readonly type: "repeat";
      readonly part: Pattern;
      readonly min: number;
      /** Infinity for no limit. */
      readonly max: number;
      readonly isLazy: boolean;
    };

/** What is wrong with an expression, as Go tells it. */
export class RegexpError extends Error {
  override readonly name = "RegexpError";
  constructor(what: string, where: string) {
    super(`error parsing regexp: ${what}: \`${where}\``);
  }
}

const limits = { repeatMax: 1000, depthMax: 1000 } as const;

interface Flags {
  readonly i: boolean;
  readonly m: boolean;
  readonly s: boolean;
  readonly U: boolean;
}

const notPerl = "invalid or unsupported Perl syntax";
const anchors: Readonly<Record<string, Assertion>> = {
  A: "text-start",
  z: "text-end",
  b: "word-edge",
  B: "no-word-edge",
};
const controls: Readonly<Record<string, number>> = { a: 7, f: 12, t: 9, n: 10, r: 13, v: 11 };

/** @throws RegexpError */
export function parseRegexp(source: string): Pattern {
  return new Parser(source).whole();
}

class Parser {
  readonly #characters: readonly string[];
  #at = 0;
  #depth = 0;
  #flags: Flags = { i: false, m: false, s: false, U: false };
  readonly #groups = new Set<string>();

  constructor(private readonly source: string) {
    this.#characters = [...source];
  }

  whole(): Pattern {
    const pattern = this.#choice();
    if (this.#now === ")") throw new RegexpError("unexpected )", this.source);
    return pattern;
  }

  get #now(): string | undefined {
    return this.#characters[this.#at];
  }

  #text(from: number, to = this.#at): string {
    return this.#characters.slice(from, to).join("");
  }

  #starts(text: string): boolean {
    return this.#text(this.#at, this.#at + text.length) === text;
  }

  #choice(): Pattern {
    if (++this.#depth > limits.depthMax) {
      throw new RegexpError("expression nests too deeply", this.source);
    }
    const parts = [this.#sequence()];
    while (this.#now === "|") {
      this.#at++;
      parts.push(this.#sequence());
    }
    this.#depth--;
    return parts.length === 1 ? (parts[0] as Pattern) : { type: "choice", parts };
  }

  #sequence(): Pattern {
    const parts: Pattern[] = [];
    let before = -1;
    for (;;) {
      const character = this.#now;
      if (character === undefined || character === "|" || character === ")") break;
      const from = this.#at;
      const bounds = this.#quantifier();
      if (bounds === undefined) {
        parts.push(...this.#atom());
        before = -1;
        continue;
      }
      const part = parts.pop();
      const operator = this.#text(from);
      if (part === undefined) {
        throw new RegexpError("missing argument to repetition operator", operator);
      }
      if (before >= 0) {
        throw new RegexpError("invalid nested repetition operator", this.#text(before));
      }
      before = from;
      const repeat: Pattern = { type: "repeat", part, ...bounds };
      if (timesOf(repeat) > limits.repeatMax) {
        throw new RegexpError("invalid repeat count", operator);
      }
      parts.push(repeat);
    }
    if (parts.length === 0) return { type: "empty" };
    return parts.length === 1 ? (parts[0] as Pattern) : { type: "sequence", parts };
  }

  #quantifier():
    | { readonly min: number; readonly max: number; readonly isLazy: boolean }
    | undefined {
    const from = this.#at;
    let [min, max] = [0, Number.POSITIVE_INFINITY];
    const braces = /^\{(\d+)(?:(,)(\d*))?\}/.exec(this.#text(from, from + 20));
    if (this.#now === "*") this.#at++;
    else if (this.#now === "+") [this.#at, min] = [from + 1, 1];
    else if (this.#now === "?") [this.#at, max] = [from + 1, 1];
    else if (braces !== null) {
      this.#at += braces[0].length;
      min = Number(braces[1]);
      if (braces[2] === undefined) max = min;
      else if (braces[3] !== "") max = Number(braces[3]);
      const most = Number.isFinite(max) ? max : min;
      if (min > limits.repeatMax || most > limits.repeatMax || min > max) {
        throw new RegexpError("invalid repeat count", braces[0]);
      }
    } else return undefined;
    const isMarked = this.#now === "?";
    if (isMarked) this.#at++;
    return { min, max, isLazy: isMarked !== this.#flags.U };
  }

  #atom(): readonly Pattern[] {
    const character = this.#now as string;
    switch (character) {
      case "(":
        return this.#group();
      case "[":
        return [{ type: "set", set: this.#class() }];
      case "\\":
        return this.#escape();
      case ".":
        this.#at++;
        return [{ type: "set", set: this.#flags.s ? CharSet.all : CharSet.of(10).negated() }];
      case "^":
        this.#at++;
        return [{ type: "assert", what: this.#flags.m ? "line-start" : "text-start" }];
      case "$":
        this.#at++;
        return [{ type: "assert", what: this.#flags.m ? "line-end" : "text-end" }];
      default:
        this.#at++;
        return [this.#character(character.codePointAt(0) ?? 0)];
    }
  }

  #character(code: number): Pattern {
    const set = CharSet.of(code);
    return { type: "set", set: this.#flags.i ? set.folded() : set };
  }

  #group(): readonly Pattern[] {
    const outer = this.#flags;
    const from = this.#at++;
    if (this.#now === "?") {
      this.#at++;
      const isOpen =
        this.#starts("P<") || this.#starts("<") ? this.#named(from) : this.#flagged(from);
      if (!isOpen) return [];
    }
    const inner = this.#choice();
    if (this.#now !== ")") throw new RegexpError("missing closing )", this.source);
    this.#at++;
    this.#flags = outer;
    // A group without content takes quantifiers too.
    return [inner.type === "empty" ? { type: "sequence", parts: [] } : inner];
  }

  #named(from: number): true {
    this.#at += this.#starts("P<") ? 2 : 1;
    const start = this.#at;
    while (this.#now !== undefined && this.#now !== ">") this.#at++;
    const name = this.#text(start);
    if (this.#now === undefined) throw new RegexpError("invalid named capture", this.#text(from));
    this.#at++;
    if (!/^\w+$/.test(name)) throw new RegexpError("invalid named capture", this.#text(from));
    if (this.#groups.has(name)) throw new RegexpError("duplicate capture group name", name);
    this.#groups.add(name);
    return true;
  }

  /** `(?i)` and `(?i:`; true when a group begins. */
  #flagged(from: number): boolean {
    const flags: Record<string, boolean> = { ...this.#flags };
    let isOn = true;
    let isEmpty = false;
    for (;;) {
      const flag = this.#now;
      this.#at++;
      if (flag === undefined) throw new RegexpError("missing closing )", this.source);
      if (flag === ":" || flag === ")") {
        if (isEmpty) break;
        this.#flags = flags as unknown as Flags;
        return flag === ":";
      }
      if (flag === "-" && isOn) {
        isOn = false;
        isEmpty = true;
      } else if ("imsU".includes(flag)) {
        flags[flag] = isOn;
        isEmpty = false;
      } else break;
    }
    throw new RegexpError(notPerl, this.#text(from));
  }

  #escape(): readonly Pattern[] {
    const next = this.#characters[this.#at + 1];
    if (next === undefined) {
      throw new RegexpError("trailing backslash at end of expression", "");
    }
    const anchor = anchors[next];
    if (anchor !== undefined) {
      this.#at += 2;
      return [{ type: "assert", what: anchor }];
    }
    if (next === "Q") return this.#quoted();
    const set = this.#escapedSet();
    if (set !== undefined) return [{ type: "set", set: this.#flags.i ? set.folded() : set }];
    return [this.#character(this.#escapedCode())];
  }

  #quoted(): readonly Pattern[] {
    const rest = this.#text(this.#at + 2, this.#characters.length);
    const end = rest.indexOf("\\E");
    const text = end < 0 ? rest : rest.slice(0, end);
    this.#at += 2 + [...text].length + (end < 0 ? 0 : 2);
    return Array.from(text, (one) => this.#character(one.codePointAt(0) ?? 0));
  }

  /** `\d`, `\pL` and their like. */
  #escapedSet(): CharSet | undefined {
    const from = this.#at;
    const letter = this.#characters[from + 1] ?? "";
    const perl = { d: digits, s: spaces, w: wordCharacters }[letter.toLowerCase()];
    if (perl !== undefined) {
      this.#at += 2;
      return letter === letter.toLowerCase() ? perl : perl.negated();
    }
    if (letter !== "p" && letter !== "P") return undefined;
    const rest = this.#text(from + 2, this.#characters.length);
    const [whole = "", braced, single] = /^(?:\{(\^?[^}]*)\}|([^{]))/su.exec(rest) ?? [];
    this.#at += 2 + [...whole].length;
    const name = braced ?? single ?? "";
    const set = namedSet(name.replace(/^\^/, ""));
    if (set === undefined) {
      throw new RegexpError("invalid character class range", this.#text(from));
    }
    return name.startsWith("^") !== (letter === "P") ? set.negated() : set;
  }

  #escapedCode(): number {
    const from = this.#at;
    const rest = this.#text(from + 1, from + 14);
    const [hex, long, short] = /^x(?:\{([0-9a-fA-F]+)\}|([0-9a-fA-F]{2}))/.exec(rest) ?? [];
    if (hex !== undefined) {
      this.#at += 1 + hex.length;
      const code = Number.parseInt(long ?? short ?? "", 16);
      if (code <= 0x10ffff) return code;
      throw new RegexpError("invalid escape sequence", this.#text(from));
    }
    // `\1` would refer back, which RE2 does not.
    const [octal] = /^(?:[1-7][0-7]{1,2}|0[0-7]{0,2})/.exec(rest) ?? [];
    if (octal !== undefined) {
      this.#at += 1 + octal.length;
      return Number.parseInt(octal, 8);
    }
    const letter = rest[0] ?? "";
    this.#at += 2;
    const control = controls[letter];
    if (control !== undefined) return control;
    if (/^[!-/:-@[-`{-~]$/.test(letter)) return letter.charCodeAt(0);
    throw new RegexpError("invalid escape sequence", this.#text(from));
  }

  #class(): CharSet {
    const from = this.#at++;
    const isNegated = this.#now === "^";
    if (isNegated) this.#at++;
    let set = CharSet.none;
    for (let isFirst = true; this.#now !== "]" || isFirst; isFirst = false) {
      if (this.#now === undefined) {
        throw new RegexpError("missing closing ]", this.#text(from, this.#characters.length));
      }
      set = set.with(this.#classPart(from));
    }
    this.#at++;
    const folded = this.#flags.i ? set.folded() : set;
    return isNegated ? folded.negated() : folded;
  }

  #classPart(from: number): CharSet {
    const start = this.#at;
    if (this.#starts("[:")) {
      const [whole, name = ""] = /^\[:(\^?\w*):\]/.exec(this.#text(start, start + 14)) ?? [];
      if (whole !== undefined) {
        this.#at += whole.length;
        const set = posixSet(name.replace("^", ""));
        if (set === undefined) throw new RegexpError("invalid character class range", whole);
        return name.startsWith("^") ? set.negated() : set;
      }
    }
    if (this.#now === "\\") {
      const set = this.#escapedSet();
      if (set !== undefined) return set;
    }
    const low = this.#classCode(from);
    const isRange = this.#now === "-" && this.#characters[this.#at + 1] !== "]";
    if (!isRange || this.#characters[this.#at + 1] === undefined) return CharSet.of(low);
    this.#at++;
    const high = this.#classCode(from);
    if (high < low) throw new RegexpError("invalid character class range", this.#text(start));
    return CharSet.of(low, high);
  }

  #classCode(from: number): number {
    const character = this.#now;
    if (character === undefined) {
      throw new RegexpError("missing closing ]", this.#text(from, this.#characters.length));
    }
    if (character === "\\") {
      if (this.#characters[this.#at + 1] === undefined) {
        throw new RegexpError("trailing backslash at end of expression", "");
      }
      return this.#escapedCode();
    }
    this.#at++;
    return character.codePointAt(0) ?? 0;
  }
}

/** How often counted repetitions, one inside of the other, ask for their innermost part. */
function timesOf(pattern: Pattern): number {
  switch (pattern.type) {
    case "repeat": {
      const own = Number.isFinite(pattern.max) ? pattern.max : pattern.min;
      return Math.max(1, own) * timesOf(pattern.part);
    }
    case "sequence":
    case "choice":
      return Math.max(1, ...pattern.parts.map(timesOf));
    default:
      return 1;
  }
}
