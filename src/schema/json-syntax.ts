/** What Go's JSON scanner says about a text that is no JSON: clients and logs are used to it. */

const numberPattern = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const literals = ["true", "false", "null"] as const;

class Scan {
  #at = 0;

  constructor(private readonly text: string) {}

  /** Throws SyntaxError with Go's words. */
  document(): void {
    this.#value("looking for beginning of value");
    this.#blank();
    if (this.#at < this.text.length) this.#fail("after top-level value");
  }

  #blank(): void {
    while (this.#at < this.text.length && " \t\r\n".includes(this.text[this.#at] ?? "x"))
      this.#at += 1;
  }

  #fail(context: string): never {
    if (this.#at >= this.text.length) throw new SyntaxError("unexpected end of JSON input");
    const character = String.fromCodePoint(this.text.codePointAt(this.#at) ?? 0);
    throw new SyntaxError(`invalid character ${quoted(character)} ${context}`);
  }

  #value(context: string): void {
    this.#blank();
    const first = this.text[this.#at] ?? "";
    if (first === "{") this.#object();
    else if (first === "[") this.#array();
    else if (first === '"') this.#string();
    else if (/[-\d]/.test(first)) this.#number();
    else this.#literal(first, context);
  }

  #literal(first: string, context: string): void {
    const word = literals.find((one) => one[0] === first);
    if (word === undefined) this.#fail(context);
    for (const expected of word) {
      if (this.text[this.#at] !== expected)
        this.#fail(`in literal ${word} (expecting ${quoted(expected)})`);
      this.#at += 1;
    }
  }

  #number(): void {
    numberPattern.lastIndex = this.#at;
    const found = numberPattern.exec(this.text);
    if (found === null) {
      this.#at += 1;
      this.#fail("in numeric literal");
    }
    this.#at = numberPattern.lastIndex;
    const rest = this.text.slice(this.#at);
    if (/^\.(?!\d)/.test(rest)) {
      this.#at += 1;
      this.#fail("after decimal point in numeric literal");
    }
    const exponent = /^[eE][+-]?/.exec(rest);
    if (exponent === null || found[0].includes("e")) return;
    this.#at += exponent[0].length;
    this.#fail("in exponent of numeric literal");
  }

  #string(): void {
    this.#at += 1;
    for (;;) {
      const character = this.text[this.#at];
      if (character === undefined || character < " ") this.#fail("in string literal");
      this.#at += 1;
      if (character === '"') return;
      if (character === "\\") this.#escape();
    }
  }

  #escape(): void {
    const kind = this.text[this.#at] ?? "";
    if (kind === "" || !'"\\/bfnrtu'.includes(kind)) this.#fail("in string escape code");
    this.#at += 1;
    for (let digits = kind === "u" ? 4 : 0; digits > 0; digits--) {
      if (!/[0-9a-fA-F]/.test(this.text[this.#at] ?? ""))
        this.#fail("in \\u hexadecimal character escape");
      this.#at += 1;
    }
  }

  #object(): void {
    this.#at += 1;
    this.#blank();
    if (this.#take("}")) return;
    for (;;) {
      this.#blank();
      if (this.text[this.#at] !== '"') this.#fail("looking for beginning of object key string");
      this.#string();
      this.#blank();
      if (!this.#take(":")) this.#fail("after object key");
      this.#value("looking for beginning of value");
      this.#blank();
      if (this.#take("}")) return;
      if (!this.#take(",")) this.#fail("after object key:value pair");
    }
  }

  #array(): void {
    this.#at += 1;
    this.#blank();
    if (this.#take("]")) return;
    for (;;) {
      this.#value("looking for beginning of value");
      this.#blank();
      if (this.#take("]")) return;
      if (!this.#take(",")) this.#fail("after array element");
    }
  }

  #take(character: string): boolean {
    if (this.text[this.#at] !== character) return false;
    this.#at += 1;
    return true;
  }
}

/** A character between single quotes, as Go quotes it. */
function quoted(character: string): string {
  if (character === "'") return `'\\''`;
  if (character === '"') return `'"'`;
  return `'${JSON.stringify(character).slice(1, -1)}'`;
}

/** Go's words for the first thing wrong with a text; undefined when it is JSON. */
export function jsonSyntaxError(text: string): string | undefined {
  try {
    new Scan(text).document();
    return undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return error.message;
    throw error;
  }
}
