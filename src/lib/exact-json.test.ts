import { expect, test } from "bun:test";
import { isInt64, parseExact, stringifyExact, wholeNumber } from "./exact-json.ts";

const large = 9007199254740993n;

test.each([
  ["9007199254740993", large],
  ["-9007199254740993", -large],
  ["9007199254740991", Number.MAX_SAFE_INTEGER],
  ["9223372036854775807", 2n ** 63n - 1n],
  ["-9223372036854775808", -(2n ** 63n)],
  ["9223372036854775808", 2 ** 63],
  ["123456789012345678901234567890", 1.2345678901234568e29],
  ["1e300", 1e300],
  ["1.1234567890123456789", 1.1234567890123457],
  ["12345678901234567.5", 12345678901234568],
  ["12345678901234567e2", 1.2345678901234568e18],
  ['"9007199254740993"', "9007199254740993"],
  ['"a\\"9007199254740993\\\\"', 'a"9007199254740993\\'],
])("parseExact(%s)", (text, value) => {
  expect(parseExact(text)).toBe(value);
  expect(parseExact(`{"a":[1,{"b c":${text}}], "n" : null}`)).toEqual({
    a: [1, { "b c": value }],
    n: null,
  });
});

test("a text that is no JSON throws as JSON.parse does", () => {
  for (const text of ["9007199254740993 9007199254740993", "[-9007199254740993", '"', "-"])
    expect(() => parseExact(text)).toThrow(SyntaxError);
});

test("bigints are written digit by digit, and told", () => {
  expect(stringifyExact({ a: [large] })).toEqual({ text: `{"a":[${large}]}`, hasLarge: true });
  expect(stringifyExact({ a: [1] })).toEqual({ text: '{"a":[1]}', hasLarge: false });
  expect(JSON.stringify({ a: -large }, null, 1)).toBe(`{\n "a": -${large}\n}`);
});

test("only what needs it is a bigint", () => {
  expect(wholeNumber(7n)).toBe(7);
  expect(wholeNumber(-large)).toBe(-large);
  expect(wholeNumber(2n ** 64n)).toBe(2 ** 64);
  expect([large, 7, 7.5, 2 ** 60, "7"].map(isInt64)).toEqual([true, true, false, false, false]);
});
