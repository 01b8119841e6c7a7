import { expect, test } from "bun:test";
import { nextTurn } from "../lib/turns.ts";
import type { KubeObject } from "../schema/object.ts";
import { ParsedObject } from "./live-object.ts";
import type { Wanted } from "./live-set.ts";
import { type Incoming, LiveSetImpl } from "./live-set-impl.ts";

const count = 3000;

type Labels = Record<string, string>;

function objectOf(name: string, revision: number, labels: Labels): ParsedObject<KubeObject> {
  const metadata = { name, namespace: "ns", resourceVersion: `${revision}`, labels };
  return new ParsedObject<KubeObject>(`ns/${name}`, { apiVersion: "v1", kind: "Item", metadata });
}

const put = (...given: Parameters<typeof objectOf>): Incoming<KubeObject> => ({
  type: "put",
  now: objectOf(...given),
});

/** A set of many objects; every hundredth has the same `app`, each has a `name` of its own. */
function many(): LiveSetImpl<KubeObject> {
  const set = new LiveSetImpl<KubeObject>();
  const objects = Array.from({ length: count }, (_, index) => {
    const name = String(index).padStart(4, "0");
    return objectOf(name, index + 1, { app: `app-${index % 100}`, name });
  });
  set.reset(objects, count);
  return set;
}

function keys(set: LiveSetImpl<KubeObject>, key: string, values: string[], prefix = "") {
  const wanted: Wanted = { prefix, label: { key, values }, field: undefined };
  return set.search(wanted).map((object) => object.key);
}

/** Asks until the set need not look at all its objects. */
async function indexed(set: LiveSetImpl<KubeObject>, key: string): Promise<void> {
  while (keys(set, key, []).length > 0) await nextTurn();
}

test("a label that is asked for again is found without a look at all objects", async () => {
  const set = many();
  expect(keys(set, "app", ["app-1"]).length).toBe(count);
  await indexed(set, "app");
  const found = Array.from({ length: 30 }, (_, i) => `ns/${String(i * 100 + 1).padStart(4, "0")}`);
  expect(keys(set, "app", ["app-1"])).toEqual(found);
  expect(keys(set, "app", ["app-1"], "ns/")).toEqual(found);
  expect(keys(set, "app", ["app-1"], "other/")).toEqual([]);
  expect(keys(set, "app", ["app-1", "app-2", "app-1"]).length).toBe(60);
  expect(keys(set, "app", ["toString"])).toEqual([]);
  // What most objects have is sooner found by looking at each.
  const half = Array.from({ length: 50 }, (_, i) => `app-${i}`);
  expect(keys(set, "app", half).length).toBe(count);
});

test("labels that change are found where they are, also while the index is made", async () => {
  const set = many();
  keys(set, "app", []);
  keys(set, "app", []);
  // The first thousand objects were looked at by now, the others were not.
  set.apply([
    put("0001", count + 1, { app: "new" }),
    put("2001", count + 2, { app: "new" }),
    { type: "delete", now: objectOf("0101", count + 3, { app: "app-1" }) },
    { type: "delete", now: objectOf("2101", count + 4, { app: "app-1" }) },
    put("0201", count + 5, {}),
    put("2201", count + 6, {}),
    put("more", count + 7, { app: "new" }),
  ]);
  await indexed(set, "app");
  expect(keys(set, "app", ["new"])).toEqual(["ns/0001", "ns/2001", "ns/more"]);
  expect(keys(set, "app", ["app-1"]).length).toBe(24);
  set.apply([put("more", count + 8, { app: "app-1" }), put("0001", count + 9, { app: "new" })]);
  expect(keys(set, "app", ["new"])).toEqual(["ns/0001", "ns/2001"]);
  expect(keys(set, "app", ["app-1"]).at(-1)).toBe("ns/more");
});

test("of many labels those that were asked for last are known", async () => {
  const set = many();
  for (const key of ["app", "name", "a", "b", "c"]) await indexed(set, key);
  expect(keys(set, "name", ["0007"])).toEqual(["ns/0007"]);
  expect(keys(set, "app", ["app-1"]).length).toBe(count);
});

test("a small set looks at each of its objects", () => {
  const set = new LiveSetImpl<KubeObject>();
  set.reset([objectOf("a", 1, { app: "x" }), objectOf("b", 2, {})], 2);
  for (let i = 0; i < 3; i++) expect(keys(set, "app", ["none"])).toEqual(["ns/a", "ns/b"]);
});

test("an index that is called as a field finds by that field", () => {
  const set = new LiveSetImpl<KubeObject>();
  set.addIndex("metadata.uid", ({ metadata }) => (metadata.uid ? [metadata.uid] : []));
  const metadata = { name: "a", namespace: "ns", uid: "1" };
  const live = new ParsedObject<KubeObject>("ns/a", { apiVersion: "v1", kind: "Item", metadata });
  set.reset([objectOf("0", 1, {}), live], 1);
  const by = (path: string, value: string, prefix = "") =>
    set.search({ prefix, label: undefined, field: { path, value } }).map(({ key }) => key);
  expect(by("metadata.uid", "1")).toEqual(["ns/a"]);
  expect(by("metadata.uid", "2")).toEqual([]);
  expect(by("metadata.uid", "1", "other/")).toEqual([]);
  expect(by("spec.other", "1")).toEqual(["ns/0", "ns/a"]);
});
