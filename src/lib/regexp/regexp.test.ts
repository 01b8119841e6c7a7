import { describe, expect, test } from "bun:test";
import { LinearRegexp } from "./regexp.ts";

function found(pattern: string, text: string): string | undefined {
  const match = new LinearRegexp(pattern).find(text);
  return match === undefined ? undefined : text.slice(match.start, match.end);
}
function fault(pattern: string): string {
  try {
    new LinearRegexp(pattern);
  } catch (error) {
    return (error as Error).message;
  }
  return "";
}

describe("matches are those of JavaScript where both know the syntax", () => {
  const patterns = [
    "a*",
    "a+?b",
    "(a|ab)(c|bcd)",
    "^a.c$",
    "[^a-c]+",
    "x{2,3}",
    "x{2,}?y",
    "a|b|",
    "\\bfoo\\b",
    "(?:ab)+",
    "[\\w-]+@[a-z.]+",
    "\\d+\\.\\d*",
    "(a*)*b",
    "$",
    "[\\]a]+",
  ];
  const texts = [
    "",
    "aab",
    "abcd",
    "xxxxy",
    "a\nc",
    "foo bar",
    "me-too@k3.dev",
    "3.14",
    "]]a",
    "é😀x",
  ];
  for (const pattern of patterns) {
    test(pattern, () => {
      for (const text of texts) {
        const wanted = new RegExp(pattern, "u").exec(text)?.[0];
        expect({ text, found: found(pattern, text) }).toEqual({ text, found: wanted });
        expect(new LinearRegexp(pattern).test(text)).toBe(wanted !== undefined);
      }
    });
  }
});

test.each([
  ["(?i)straße", "STRAßE", "STRAßE"],
  ["(?s).+", "a\nb", "a\nb"],
  [".+", "a\nb", "a"],
  ["(?m)^b$", "a\nb\nc", "b"],
  ["(?P<year>\\d{4})", "in 2026", "2026"],
  ["\\Aa\\z", "a", "a"],
  ["[[:alpha:]]+[[:^digit:]]", "ab-1", "ab-"],
  ["\\p{Greek}+\\pL", "αβγx", "αβγx"],
  ["\\Qa.b\\E+", "a.bb", "a.bb"],
  ["\\x{1F600}", "😀", "😀"],
  ["(?U)a+", "aaa", "a"],
  ["a(?i:B)c", "aBc abc", "aBc"],
])("%s in %s", (pattern, text, wanted) => {
  expect(found(pattern, text)).toBe(wanted);
});

test("all matches, empty ones too", () => {
  const all = (pattern: string, text: string) =>
    new LinearRegexp(pattern).findAll(text).map(({ start, end }) => text.slice(start, end));
  expect(all("a*", "baac")).toEqual(["", "aa", ""]);
  expect(all("\\d", "1a2b3")).toEqual(["1", "2", "3"]);
});

test.each([
  ["(", "missing closing ): `(`"],
  ["a)", "unexpected ): `a)`"],
  ["[a", "missing closing ]: `[a`"],
  ["*a", "missing argument to repetition operator: `*`"],
  ["a**", "invalid nested repetition operator: `**`"],
  ["\\q", "invalid escape sequence: `\\q`"],
  ["(?=a)", "invalid or unsupported Perl syntax: `(?=`"],
  ["[z-a]", "invalid character class range: `z-a`"],
  ["a{1001}", "invalid repeat count: `{1001}`"],
  ["(a{100}){100}", "invalid repeat count: `{100}`"],
  ["a\\", "trailing backslash at end of expression: ``"],
  ["\\1", "invalid escape sequence: `\\1`"],
])("%s is refused in Go's words", (pattern, message) => {
  expect(fault(pattern)).toBe(`error parsing regexp: ${message}`);
});

test("what makes others try forever takes a moment", () => {
  const text = `${"a".repeat(20_000)}!`;
  const began = performance.now();
  for (const pattern of ["^(a+)+$", "^(a|aa)+$", "(a*)*b$", "^(([a-z])+.)+[A-Z]([a-z])+$"]) {
    expect(new LinearRegexp(pattern).test(text)).toBe(false);
  }
  expect(performance.now() - began).toBeLessThan(5_000);
  const large = "a-b.".repeat(750_000);
  expect(new LinearRegexp("^([a-z]+(-[a-z]+)*\\.?)+$").test(large)).toBe(true);
  expect(new LinearRegexp("(a|b|c)*[^.]$").test(large)).toBe(false);
  expect(performance.now() - began).toBeLessThan(5_000);
});

test("expressions of too many states are followed all the same", () => {
  const wild = new LinearRegexp(`^(a|b)*a${"(a|b)".repeat(14)}$`);
  const random = (count: number, seed: number) =>
    Array.from({ length: count }, (_, i) => ((seed * (i + 7) * 2654435761) >>> 9) & 1)
      .map((bit) => (bit === 1 ? "a" : "b"))
      .join("");
  for (let seed = 1; seed < 40; seed++) {
    const text = random(400, seed);
    expect(wild.test(text)).toBe(text.at(-15) === "a");
  }
});
