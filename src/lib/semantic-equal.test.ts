import { expect, test } from "bun:test";
import { semanticEqual } from "./semantic-equal.ts";

const rows: readonly (readonly [unknown, unknown, boolean])[] = [
  [{}, { a: [] }, true],
  [{ a: undefined }, {}, true],
  [{ a: null, b: 1 }, { b: 1 }, true],
  [{ a: 0 }, {}, false],
  [{ a: [1, { b: {} }] }, { a: [1, {}] }, true],
  [[1, 2], [2, 1], false],
  [[1], { 0: 1 }, false],
  ["a", "a", true],
];
for (const [a, b, same] of rows)
  test(`semanticEqual(${JSON.stringify(a)}, ${JSON.stringify(b)}) is ${same}`, () => {
    expect(semanticEqual(a, b)).toBe(same);
    expect(semanticEqual(b, a)).toBe(same);
  });
