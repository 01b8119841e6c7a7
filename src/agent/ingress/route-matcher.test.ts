import { expect, test } from "bun:test";
import fc from "fast-check";
import { type Asked, hostOf, RouteMatcher } from "./route-matcher.ts";
import type { PathMatch, Route } from "./route-table.ts";

type Given = Partial<Route> & { readonly match: PathMatch };

function route(host: string, path: string, given: Given): Route {
  return {
    ingress: `${given.match} ${host}${path}`,
    host,
    path,
    isDefault: false,
    entryPoints: ["web", "websecure"],
    backend: "",
    rules: {},
    ...given,
  };
}

const nothingAsked: Asked = { request: { method: "GET", fields: [] }, query: "" };

function found(routes: readonly Route[], host: string, path: string): string | undefined {
  return new RouteMatcher(routes).find("web", host, path, nothingAsked)?.route.ingress;
}

test("find() takes the longest path, and the exact one before the prefix", () => {
  const routes = [
    route("a.test", "/", { match: "prefix" }),
    route("a.test", "/foo", { match: "prefix" }),
    route("a.test", "/foo", { match: "exact" }),
    route("a.test", "/foo/bar/", { match: "prefix" }),
  ];
  expect(found(routes, "a.test", "/")).toBe("prefix a.test/");
  expect(found(routes, "a.test", "/foobar")).toBe("prefix a.test/");
  expect(found(routes, "a.test", "/foo")).toBe("exact a.test/foo");
  expect(found(routes, "a.test", "/foo/")).toBe("prefix a.test/foo");
  expect(found(routes, "a.test", "/foo/bar")).toBe("prefix a.test/foo/bar/");
  expect(found(routes, "a.test", "/foo/bar/baz")).toBe("prefix a.test/foo/bar/");
  expect(found(routes, "b.test", "/")).toBeUndefined();
});

test("find() goes from the host itself over its wildcard to all hosts", () => {
  const routes = [
    route("", "/any", { match: "prefix" }),
    route("*.a.test", "/wild", { match: "prefix" }),
    route("*.a.test", "/both", { match: "prefix" }),
    route("x.a.test", "/both", { match: "prefix" }),
  ];
  expect(found(routes, "x.a.test", "/both")).toBe("prefix x.a.test/both");
  expect(found(routes, "y.a.test", "/both")).toBe("prefix *.a.test/both");
  expect(found(routes, "x.a.test", "/wild")).toBe("prefix *.a.test/wild");
  expect(found(routes, "x.a.test", "/any")).toBe("prefix /any");
  expect(found(routes, "a.test", "/wild")).toBeUndefined();
  expect(found(routes, "z.y.a.test", "/wild")).toBeUndefined();
});

test("find() keeps the default backend for the last, and takes the older of two routes", () => {
  const routes = [
    route("", "", { match: "start", isDefault: true, ingress: "default" }),
    route("a.test", "/", { match: "prefix", ingress: "older" }),
    route("a.test", "/", { match: "prefix", ingress: "younger" }),
  ];
  expect(found(routes, "a.test", "/x")).toBe("older");
  expect(found(routes, "b.test", "/x")).toBe("default");
});

test("find() goes by priorities where one is given, as Traefik does", () => {
  const routes = [
    route("a.test", "/long/path", { match: "prefix" }),
    route("a.test", "/", { match: "prefix", priority: 1000 }),
  ];
  expect(found(routes, "a.test", "/long/path")).toBe("prefix a.test/");
  const low = [route("a.test", "/", { match: "prefix", priority: 1 }), routes[0] as Route];
  expect(found(low, "a.test", "/long/path")).toBe("prefix a.test/long/path");
});

test("find() compares characters for unspecific paths, and reads groups of expressions", () => {
  const routes = [
    route("", "/st", { match: "start" }),
    route("", "/api(/|$)(.*)", { match: "regexp" }),
  ];
  expect(found(routes, "", "/static")).toBe("start /st");
  expect(new RouteMatcher(routes).find("web", "", "/API/v1/x", nothingAsked)?.groups).toEqual([
    "/",
    "v1/x",
  ]);
  expect(found(routes, "", "/apis")).toBeUndefined();
});

test("find() leaves out routes of another entry point", () => {
  const routes = [route("", "/", { match: "prefix", entryPoints: ["websecure"] })];
  expect(found(routes, "", "/")).toBeUndefined();
});

test("an expression that could hold everyone up matches nothing", () => {
  const routes = [route("", "/(a+)+$", { match: "regexp" })];
  expect(found(routes, "", "/aaaa")).toBeUndefined();
});

/** What the API says of Prefix, word for word: element by element. */
function isElementPrefix(prefix: string, path: string): boolean {
  const parts = (text: string): string[] => text.split("/").filter((part) => part !== "");
  return parts(prefix).every((part, at) => parts(path)[at] === part);
}

test("find() matches prefixes element by element", () => {
  const path = fc
    .array(fc.constantFrom("a", "b", "ab", "c"), { maxLength: 4 })
    .chain((parts) => fc.constantFrom(`/${parts.join("/")}`, `/${parts.join("/")}/`))
    .map((text) => text.replace(/^\/\/$/, "/"));
  fc.assert(
    fc.property(path, path, (prefix, asked) => {
      const matches = found([route("", prefix, { match: "prefix" })], "", asked) !== undefined;
      expect(matches).toBe(isElementPrefix(prefix, asked));
    }),
  );
});

test("hostOf() leaves port, case and the root's dot behind", () => {
  expect(["A.test:80", "a.test.", "[::1]:80", "a", ""].map(hostOf)).toEqual([
    "a.test",
    "a.test",
    "[::1]",
    "a",
    "",
  ]);
});

test("find() knows wildcards of several labels, the narrower ones first", () => {
  const routes = [
    route("**.test", "/", { match: "prefix" }),
    route("**.a.test", "/", { match: "prefix" }),
    route("*.a.test", "/one", { match: "prefix" }),
  ];
  expect(found(routes, "x.a.test", "/one")).toBe("prefix *.a.test/one");
  expect(found(routes, "x.a.test", "/")).toBe("prefix **.a.test/");
  expect(found(routes, "y.x.a.test", "/one")).toBe("prefix **.a.test/");
  expect(found(routes, "b.test", "/")).toBe("prefix **.test/");
  expect(found(routes, "test", "/")).toBeUndefined();
});

test("find() goes by method, fields and query where a route asks for them", () => {
  const all = { match: "prefix" } as const;
  const exact = (name: string, value: string) => ({ name, value, isRegexp: false });
  const routes = [
    route("", "/", { ...all, ingress: "any" }),
    route("", "/", { ...all, ingress: "query", conditions: { queries: [exact("q", "1")] } }),
    route("", "/", { ...all, ingress: "field", conditions: { headers: [exact("x-a", "1")] } }),
    route("", "/", { ...all, ingress: "post", conditions: { method: "POST" } }),
    route("", "/", {
      ...all,
      ingress: "pattern",
      conditions: { headers: [{ name: "x-b", value: "v[0-9]+", isRegexp: true }] },
    }),
  ];
  const matcher = new RouteMatcher(routes);
  const asked = (method: string, fields: Readonly<Record<string, string>>, query = ""): unknown => {
    const list = Object.entries(fields).map(([name, value]) => ({ name, lower: name, value }));
    const request = { method, fields: list };
    return matcher.find("web", "any.test", "/", { request, query })?.route.ingress;
  };
  expect(asked("GET", {})).toBe("any");
  expect(asked("GET", {}, "?q=1")).toBe("query");
  expect(asked("GET", {}, "?q=2")).toBe("any");
  expect(asked("GET", { "x-a": "1" }, "?q=1")).toBe("field");
  expect(asked("POST", { "x-a": "1" })).toBe("post");
  expect(asked("GET", { "x-b": "v12" })).toBe("pattern");
  expect(asked("GET", { "x-b": "v12x" })).toBe("any");
});
