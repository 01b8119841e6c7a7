import { expect, test } from "bun:test";
import fc from "fast-check";
import { normalPath } from "./normal-path.ts";

const cases: readonly (readonly [path: string, normal: string | undefined])[] = [
  ["/", "/"],
  ["/a/b", "/a/b"],
  ["/a/b/", "/a/b/"],
  ["/a/../b", "/b"],
  ["/a/./b", "/a/b"],
  ["/a/..", "/"],
  ["/a/.", "/a/"],
  ["//a///b", "/a/b"],
  ["/%2e%2E/a", undefined],
  ["/a/%2e%2e/b", "/b"],
  ["/..", undefined],
  ["/%61", "/a"],
  ["/a%2fb", "/a%2Fb"],
  ["/a%20b", "/a%20b"],
  ["/a%", undefined],
  ["/a%zz", undefined],
  ["/a%00", undefined],
  ["/.well-known/x", "/.well-known/x"],
  ["/a/...", "/a/..."],
  ["/a.b/c..", "/a.b/c.."],
];

for (const [path, normal] of cases) {
  test(`normalPath() of ${path}`, () => {
    expect(normalPath(path)).toBe(normal);
  });
}

test("normalPath() has one form only: again is the same", () => {
  const part = fc.constantFrom("a", ".", "..", "", "%2e", "%41", "%2F", "b.", "%25");
  fc.assert(
    fc.property(fc.array(part, { maxLength: 6 }), (parts) => {
      const once = normalPath(`/${parts.join("/")}`);
      if (once === undefined) return;
      expect(normalPath(once)).toBe(once);
      expect(`${once}/`).not.toMatch(/\/\.{0,2}\/./);
    }),
  );
});
