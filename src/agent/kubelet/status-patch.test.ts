import { expect, test } from "bun:test";
import { sameJson, statusPatch } from "./status-patch.ts";
import type { Pod } from "./types.ts";

const pairs: readonly (readonly [string, unknown, unknown, boolean])[] = [
  ["keys in another order", { a: 1, b: [2] }, { b: [2], a: 1 }, true],
  ["absent and undefined", { a: undefined }, {}, true],
  ["absent and an empty text", { a: "" }, {}, true],
  ["absent and an empty object, deep down", { a: { b: {} } }, { a: { c: [] } }, true],
  ["undefined and null at the top", undefined, null, true],
  ["null in place of absent", { a: null }, {}, false],
  ["zero in place of absent", { a: 0 }, {}, false],
  ["false in place of absent", {}, { a: false }, false],
  ["another value", { a: 1 }, { a: 2 }, false],
  ["one entry more", [1], [1, 2], false],
  ["an array in place of an object", { a: [1] }, { a: { 0: 1 } }, false],
  ["a text in place of nothing at the top", "", undefined, false],
];

for (const [name, a, b, same] of pairs) {
  test(`sameJson() with ${name}`, () => {
    expect(sameJson(a, b)).toBe(same);
    expect(sameJson(b, a)).toBe(same);
  });
}

test("a condition of a resize goes when the resize is over, those of others stay", () => {
  const conditions = ["PodResizeInProgress", "DisruptionTarget", "example.com/gate"].map(
    (type) => ({
      type,
      status: "True",
    }),
  );
  const pod: Pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { uid: "u" },
    spec: { containers: [] },
    status: { conditions },
  };
  expect(statusPatch(pod, { conditions: [] })?.status.conditions).toEqual([
    { $patch: "delete", type: "PodResizeInProgress" },
  ]);
  expect(statusPatch(pod, { conditions: [{ type: "PodResizeInProgress", status: "True" }] })).toBe(
    undefined,
  );
});
