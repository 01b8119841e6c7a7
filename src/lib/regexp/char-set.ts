/** Sets of characters, by code point. */

type Range = readonly [low: number, high: number];

const last = 0x10ffff;

export class CharSet {
  static readonly none = new CharSet([]);
  static readonly all = new CharSet([[0, last]]);
  readonly #ascii: Uint8Array;

  private constructor(
    /** In order, none touches another. */
    private readonly ranges: readonly Range[],
  ) {
    this.#ascii = Uint8Array.from({ length: 128 }, (_, code) => Number(this.#find(code)));
  }

  static of(low: number, high = low): CharSet {
    return new CharSet([[low, high]]);
  }

  static ofRanges(ranges: readonly Range[]): CharSet {
    const sorted = [...ranges].sort(([a], [b]) => a - b);
    const merged: [number, number][] = [];
    for (const [low, high] of sorted) {
      const before = merged.at(-1);
      if (before !== undefined && low <= before[1] + 1) before[1] = Math.max(before[1], high);
      else merged.push([low, high]);
    }
    return new CharSet(merged);
  }

  has(code: number): boolean {
    return code < 128 ? this.#ascii[code] === 1 : this.#find(code);
  }

  #find(code: number): boolean {
    let [from, to] = [0, this.ranges.length];
    while (from < to) {
      const middle = (from + to) >> 1;
      const [low, high] = this.ranges[middle] as Range;
      if (code < low) to = middle;
      else if (code > high) from = middle + 1;
      else return true;
    }
    return false;
  }

  with(other: CharSet): CharSet {
    return CharSet.ofRanges([...this.ranges, ...other.ranges]);
  }

  negated(): CharSet {
    const gaps: Range[] = [];
    let next = 0;
    for (const [low, high] of this.ranges) {
      if (low > next) gaps.push([next, low - 1]);
      next = high + 1;
    }
    if (next <= last) gaps.push([next, last]);
    return new CharSet(gaps);
  }

  /** With the other case of each letter. */
  folded(): CharSet {
    const more: Range[] = [];
    for (const [low, high] of this.ranges) {
      // Beyond the alphabets that have cases there is nothing to fold.
      for (let code = low; code <= Math.min(high, 0x1e943); code++) {
        const text = String.fromCodePoint(code);
        for (const one of [text.toLowerCase(), text.toUpperCase()]) {
          const other = one.codePointAt(0) ?? code;
          const isOne = one.length === String.fromCodePoint(other).length;
          if (other !== code && isOne) more.push([other, other]);
        }
      }
    }
    return more.length === 0 ? this : CharSet.ofRanges([...this.ranges, ...more]);
  }
}

export const digits = CharSet.of(48, 57);
export const spaces = CharSet.ofRanges([
  [9, 10],
  [12, 13],
  [32, 32],
]);
export const wordCharacters = CharSet.ofRanges([
  [48, 57],
  [65, 90],
  [95, 95],
  [97, 122],
]);

const posix: Readonly<Record<string, readonly Range[]>> = {
  alnum: [
    [48, 57],
    [65, 90],
    [97, 122],
  ],
  alpha: [
    [65, 90],
    [97, 122],
  ],
  ascii: [[0, 127]],
  blank: [
    [9, 9],
    [32, 32],
  ],
  cntrl: [
    [0, 31],
    [127, 127],
  ],
  digit: [[48, 57]],
  graph: [[33, 126]],
  lower: [[97, 122]],
  print: [[32, 126]],
  punct: [
    [33, 47],
    [58, 64],
    [91, 96],
    [123, 126],
  ],
  space: [
    [9, 13],
    [32, 32],
  ],
  upper: [[65, 90]],
  word: [
    [48, 57],
    [65, 90],
    [95, 95],
    [97, 122],
  ],
  xdigit: [
    [48, 57],
    [65, 70],
    [97, 102],
  ],
};

export function posixSet(name: string): CharSet | undefined {
  const ranges = Object.hasOwn(posix, name) ? posix[name] : undefined;
  return ranges === undefined ? undefined : CharSet.ofRanges(ranges);
}

/** As many characters as are looked at at once; surrogates fill whole blocks. */
const blockSize = 2048;
const unicode = new Map<string, CharSet>();

/** A category or a script of Unicode: `L`, `Lu`, `Greek`. */
export function namedSet(name: string): CharSet | undefined {
  if (name === "Any") return CharSet.all;
  if (!/^[A-Z]\w*$/.test(name)) return undefined;
  const known = unicode.get(name);
  if (known !== undefined) return known;
  const pattern = /^[A-Z][a-z]?$/.test(name) ? `\\p{${name}}` : `\\p{Script=${name}}`;
  let runs: RegExp;
  try {
    runs = new RegExp(`${pattern}+`, "gu");
  } catch {
    return undefined;
  }
  const ranges: Range[] = [];
  for (let block = 0; block <= last; block += blockSize) {
    const codes = Array.from({ length: blockSize }, (_, index) => block + index);
    // Halves of pairs are no characters of their own.
    if (block >= 0xd800 && block < 0xe000) continue;
    const text = String.fromCodePoint(...codes);
    for (const { 0: run, index } of text.matchAll(runs)) {
      const low = text.codePointAt(index) ?? 0;
      ranges.push([low, low + [...run].length - 1]);
    }
  }
  const set = CharSet.ofRanges(ranges);
  unicode.set(name, set);
  return set;
}
