import { expect, test } from "bun:test";
import { createSimulatedRuntime } from "../runtime/simulated.ts";
import type { KubeObject } from "../schema/object.ts";
import { openMemoryStore } from "../store/memory.ts";
import { encodeStored } from "./live-object.ts";
import type { LiveChange } from "./live-set.ts";
import { createStoreLiveSets } from "./store-feed.ts";

interface Item extends KubeObject {
  node?: string;
}

const items = { group: "", version: "v1", plural: "items", kind: "Item", namespaced: true };
const never = new AbortController().signal;

function open() {
  const store = openMemoryStore(createSimulatedRuntime(1));
  const live = createStoreLiveSets({
    store,
    locate: () => ({ prefix: "/registry/items/" }),
    freeze: true,
    onError: (error) => {
      throw error;
    },
  });
  const write = async (name: string, node: string, expected = 0) => {
    const object: Item = { apiVersion: "v1", kind: "Item", metadata: { name }, node };
    const result = await store.put(`/registry/items/ns/${name}`, encodeStored(object), expected);
    if (!result.ok) throw new Error("the write was expected to succeed");
    return result.revision;
  };
  return { store, live, set: live.of<Item>(items), write };
}

test("a set shows a write as soon as the writer is answered", async () => {
  const { set, write } = open();
  await set.ready(never);
  const revision = await write("a", "n1");
  expect(set.revision).toBe(revision);
  expect(set.get("ns/a")?.object).toMatchObject({ node: "n1", metadata: { name: "a" } });
  expect(new TextDecoder().decode(set.get("ns/a")?.json())).toStartWith(
    `{"metadata":{"resourceVersion":"${revision}","name":"a"}`,
  );
});

test("commits during the first list are not lost", async () => {
  const { set, write } = open();
  const writes = ["a", "b", "c"].map((name) => write(name, "n"));
  await Promise.all([set.ready(never), ...writes]);
  expect([...set.list()].map((one) => one.key)).toEqual(["ns/a", "ns/b", "ns/c"]);
});

test("list is in key order and by prefix", async () => {
  const { set, write } = open();
  await set.ready(never);
  for (const name of ["c", "a", "b"]) await write(name, "n");
  expect([...set.list("ns/")].map((one) => one.key)).toEqual(["ns/a", "ns/b", "ns/c"]);
  expect([...set.list("n/")]).toEqual([]);
});

test("indexes follow changes", async () => {
  const { store, set, write } = open();
  await set.ready(never);
  const first = await write("a", "n1");
  set.addIndex("node", (item) => [item.node ?? ""]);
  expect([...set.by("node", "n1")].map((one) => one.key)).toEqual(["ns/a"]);
  const second = await write("a", "n2", first);
  expect([...set.by("node", "n1")]).toEqual([]);
  expect([...set.by("node", "n2")].length).toBe(1);
  await store.delete("/registry/items/ns/a", second);
  expect([...set.by("node", "n2")]).toEqual([]);
});

test("subscribers see changes with what was before, since() answers the recent ones", async () => {
  const { store, set, write } = open();
  await set.ready(never);
  const seen: LiveChange<Item>[] = [];
  using _subscription = set.subscribe((change) => seen.push(change));
  const first = await write("a", "n1");
  const second = await write("a", "n2", first);
  await store.delete("/registry/items/ns/a", second);
  expect(seen.map((change) => change.type)).toEqual(["added", "modified", "deleted"]);
  expect(seen[1]?.before?.revision).toBe(first);
  expect(seen[2]?.now).toMatchObject({ revision: 3, object: { node: "n2" } });
  expect(set.since(1)).toEqual(seen.slice(1));
  expect(set.since(3)).toEqual([]);
});

test("since() of what happened before the first list is too old", async () => {
  const { live, write } = open();
  await write("a", "n");
  await write("b", "n");
  const set = live.of<Item>({ ...items, version: "v2" });
  await set.ready(never);
  expect(set.since(1)).toBe("too-old");
  expect(set.since(2)).toEqual([]);
});

test("reached() waits for a revision and gives up with its signal", async () => {
  const { set, write } = open();
  await set.ready(never);
  const reached = set.reached(1, never);
  await write("a", "n");
  await reached;
  const abort = new AbortController();
  const waiting = set.reached(99, abort.signal);
  abort.abort(new Error("enough"));
  expect(waiting).rejects.toThrow("enough");
});

test("shared objects cannot be changed", async () => {
  const { set, write } = open();
  await set.ready(never);
  await write("a", "n");
  const object = set.get("ns/a")?.object as Item;
  expect(() => {
    object.metadata.name = "b";
  }).toThrow(TypeError);
});
