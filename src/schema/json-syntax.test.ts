import { expect, test } from "bun:test";
import { jsonSyntaxError } from "./json-syntax.ts";

test.each([
  ["", "unexpected end of JSON input"],
  ["{", "unexpected end of JSON input"],
  ['{"a"', "unexpected end of JSON input"],
  ["{a", "invalid character 'a' looking for beginning of object key string"],
  ['{"a" 1}', "invalid character '1' after object key"],
  ['{"a":1 "b"', "invalid character '\"' after object key:value pair"],
  ["[1 2", "invalid character '2' after array element"],
  ["[1,]", "invalid character ']' looking for beginning of value"],
  ["nul!", "invalid character '!' in literal null (expecting 'l')"],
  ["1.x", "invalid character 'x' after decimal point in numeric literal"],
  ["-x", "invalid character 'x' in numeric literal"],
  ["1e+", "unexpected end of JSON input"],
  ['"a\nb"', "invalid character '\\n' in string literal"],
  ['"\\x"', "invalid character 'x' in string escape code"],
  ['"\\u12x"', "invalid character 'x' in \\u hexadecimal character escape"],
  ["{} x", "invalid character 'x' after top-level value"],
  ["text", "invalid character 'e' in literal true (expecting 'r')"],
])("%p is told as Go tells it", (text, said) => {
  expect(jsonSyntaxError(text)).toBe(said);
});

test.each(["{}", '[1, -2.5e3, "\\u00e9", true, null]', ' {"a": {"b": []}} '])(
  "%p is JSON",
  (text) => {
    expect(jsonSyntaxError(text)).toBeUndefined();
  },
);
