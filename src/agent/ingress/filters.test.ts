import { expect, test } from "bun:test";
import { changedAnswer, changedPath, redirectUrl, withFields } from "./filters.ts";
import type { Request } from "./request-out.ts";

test.each([
  ["/foo/bar", "/foo", "/xyz", "/xyz/bar"],
  ["/foo/bar", "/foo", "/xyz/", "/xyz/bar"],
  ["/foo/bar", "/foo/", "/xyz", "/xyz/bar"],
  ["/foo", "/foo", "/xyz", "/xyz"],
  ["/foo/", "/foo", "/xyz", "/xyz/"],
  ["/foo/bar", "/foo", "", "/bar"],
  ["/foo", "/foo", "", "/"],
  ["/foo/", "/foo", "/", "/"],
  ["/foo", "/", "/xyz", "/xyz/foo"],
])("changedPath() of %s: prefix %s by %j is %s", (path, prefix, by, changed) => {
  expect(changedPath({ replaces: "prefix", by }, prefix, path)).toBe(changed);
});

test("redirectUrl() keeps what is not said, and leaves out ports that go without saying", () => {
  const asked = { host: "a.test:8080", entryPoint: "web" } as const;
  const at = { prefix: "/old", path: "/old/x", query: "?y=1" };
  expect(redirectUrl({ status: 302 }, asked, at)).toBe("http://a.test/old/x?y=1");
  expect(redirectUrl({ status: 302, scheme: "https" }, asked, at)).toBe("https://a.test/old/x?y=1");
  expect(redirectUrl({ status: 302, scheme: "https", port: 443, host: "b.test" }, asked, at)).toBe(
    "https://b.test/old/x?y=1",
  );
  const path = { replaces: "prefix", by: "/new" } as const;
  expect(redirectUrl({ status: 302, port: 8443, path }, asked, at)).toBe(
    "http://a.test:8443/new/x?y=1",
  );
});

test("withFields() sets, adds and removes, whatever the case of names", () => {
  const field = (name: string, value: string) => ({ name, lower: name.toLowerCase(), value });
  const request: Request = {
    method: "GET",
    host: "a.test",
    fields: [field("X-Set", "old"), field("X-Add", "first"), field("X-Gone", "1")],
    connection: [],
    entryPoint: "web",
    clientIp: "10.0.0.1",
  };
  const change = {
    set: [["x-set", "new"]],
    add: [["X-Add", "second"]],
    remove: ["x-gone"],
  } as const;
  expect(withFields(request, change).fields.map(({ name, value }) => `${name}: ${value}`)).toEqual([
    "X-Add: first",
    "x-set: new",
    "X-Add: second",
  ]);
});

test("changedAnswer() replaces what it sets, adds beside what is there, and keeps Vary", () => {
  const change = { set: [["X-Set", "1"]], add: [["X-Add", "2"]], remove: ["x-gone"] } as const;
  const own = [
    ["Vary", "Origin"],
    ["X-Set", "own"],
  ] as const;
  expect(changedAnswer(own, [undefined, change])).toEqual({
    fields: [
      ["Vary", "Origin"],
      ["X-Set", "1"],
      ["X-Add", "2"],
    ],
    dropped: ["x-set", "x-gone", "x-set"],
  });
});
