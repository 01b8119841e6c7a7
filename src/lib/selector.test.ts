import { describe, expect, test } from "bun:test";
import {
  everything,
  formatSelector,
  labelMatcher,
  labelSelectorOf,
  matchesFields,
  matchesLabels,
  nothing,
  parseFieldSelector,
  parseLabelSelector,
  selectorOfMap,
} from "./selector.ts";

describe("parseLabelSelector()", () => {
  const web = { app: "web", tier: "front", n: "5" };
  const rows: readonly (readonly [string, boolean])[] = [
    ["", true],
    ["app=web", true],
    ["app==web", true],
    ["app = web , tier!=back", true],
    ["app!=web", false],
    ["other!=web", true],
    ["app in (web, api)", true],
    ["app notin (web)", false],
    ["other notin (web)", true],
    ["app", true],
    ["!app", false],
    ["!other,app", true],
    ["n>4,n<6", true],
    ["n>5", false],
    ["app=", false],
    ["app in ()", false],
    ["in.example.com/a=b", false],
  ];
  for (const [text, expected] of rows)
    test(`"${text}" ${expected ? "selects" : "does not select"} the web labels`, () => {
      expect(matchesLabels(parseLabelSelector(text), web)).toBe(expected);
    });

  const errors: readonly (readonly [string, string])[] = [
    ["a in b", "unable to parse requirement: found 'b' expected: '('"],
    ["a=b,", "found '', expected: identifier after ','"],
    ["=b", "found '=', expected: !, identifier, or 'end of string'"],
    ["a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"],
    ["!a=b", "found '=', expected: ',' or 'end of string'"],
  ];
  for (const [text, message] of errors)
    test(`"${text}" is refused`, () => {
      expect(() => parseLabelSelector(text)).toThrow(message);
    });
  test("a key that is no label key is refused with its field", () => {
    expect(() => parseLabelSelector("-a=b")).toThrow('<nil>: Invalid value: "-a": name part must');
  });
});

describe("labelSelectorOf()", () => {
  test("an absent selector matches nothing, an empty one everything", () => {
    expect(matchesLabels(labelSelectorOf(undefined), { a: "b" })).toBe(false);
    expect(matchesLabels(labelSelectorOf({}), { a: "b" })).toBe(true);
    expect(matchesLabels(selectorOfMap({}), { a: "b" })).toBe(false);
  });
  test("formats sorted by key", () => {
    const selector = labelSelectorOf({
      matchLabels: { tier: "x", app: "web" },
      matchExpressions: [
        { key: "b", operator: "In", values: ["2", "1"] },
        { key: "c", operator: "DoesNotExist" },
      ],
    });
    expect(formatSelector(selector)).toBe("app=web,b in (1,2),!c,tier=x");
  });
});

describe("parseFieldSelector()", () => {
  test("reads =, ==, != and escapes", () => {
    expect(parseFieldSelector("a=b\\,c,d!=e,f==")).toEqual([
      { field: "a", operator: "=", value: "b,c" },
      { field: "d", operator: "!=", value: "e" },
      { field: "f", operator: "=", value: "" },
    ]);
  });
  test("a term without operator is refused", () => {
    expect(() => parseFieldSelector("abc")).toThrow(
      "invalid selector: 'abc'; can't understand 'abc'",
    );
  });
  test("matchesFields() reads each field", () => {
    const read = (field: string): string => (field === "a" ? "1" : "");
    expect(matchesFields(parseFieldSelector("a=1,b="), read)).toBe(true);
    expect(matchesFields(parseFieldSelector("a!=1"), read)).toBe(false);
  });
});

test("labelMatcher() says what matchesLabels() says", () => {
  const texts = ["", "a=x", "a==x", "a=", "a=x,b=y", "a!=x", "a in (x,z)", "a", "!a", "toString=x"];
  const given = [undefined, {}, { a: "x" }, { a: "" }, { a: "x", b: "y" }, { a: "z" }];
  for (const selector of [nothing, everything, ...texts.map(parseLabelSelector)]) {
    const matches = labelMatcher(selector);
    for (const labels of given) expect(matches(labels)).toBe(matchesLabels(selector, labels));
  }
});
