import { expect, test } from "bun:test";
import type { Answer } from "./client.ts";
import { differences } from "./compare.ts";
import { normalise } from "./normal.ts";
import { areaOf } from "./record.ts";

const answer = (body: Answer["body"], headers: Answer["headers"] = {}): Answer => ({
  status: 200,
  headers,
  body,
});

function differing(upstream: Answer, k3: Answer, given = ["", ""]): string[] {
  return differences(normalise(upstream, given), normalise(k3, given)).map(({ path }) => path);
}

test("what is random does not differ", () => {
  const object = (uid: string, resourceVersion: string, creationTimestamp: string) =>
    answer({ kind: "ConfigMap", metadata: { name: "a", uid, resourceVersion, creationTimestamp } });
  const upstream = object("0d1f3c5e-0000-4000-8000-000000000001", "17", "2026-11-21T20:00:00Z");
  const k3 = object("0d1f3c5e-0000-4000-8000-000000000002", "2201", "2026-11-21T20:00:07Z");
  expect(differing(upstream, k3)).toEqual([]);
});

test("a value, an absent member and a header differ, each with its path", () => {
  expect(differing(answer({ spec: { a: [1, 2] } }), answer({ spec: { a: [1, 3] } }))).toEqual([
    ".body.spec.a[1]",
  ]);
  expect(differing(answer({ a: null }), answer({}))).toEqual([".body.a"]);
  expect(
    differing(answer({}, { warning: '299 - "old"' }), answer({}, { warning: '299 - "older"' })),
  ).toHaveLength(1);
});

test("what the request itself holds is not random", () => {
  const uid = "0d1f3c5e-0000-4000-8000-000000000001";
  const other = "0d1f3c5e-0000-4000-8000-000000000002";
  const said = (one: string) => answer({ message: `uid mismatch: ${one}` });
  expect(differing(said(uid), said(other))).toEqual([]);
  expect(differing(said(uid), said(other), [uid, uid])).toEqual([".body.message"]);
});

test("an area is a group, or the first segment of a path", () => {
  expect(areaOf("/api/v1/pods?limit=1")).toBe("core");
  expect(areaOf("/apis/apps/v1/deployments")).toBe("apps");
  expect(areaOf("/openapi/v2")).toBe("/openapi");
  expect(areaOf("/apis")).toBe("/apis");
});
