import { expect, test } from "bun:test";
import type { WatchEvent } from "../client/client.ts";
import { streamOf } from "./http-exchange.ts";
import { createTestWorld, requestFor, type Thing, thing, things } from "./test-world.ts";

type World = ReturnType<typeof createTestWorld>;

/** Opens a watch as HTTP does, and reads its frames as they come. */
async function open(world: World, query: Record<string, string>, accept = "") {
  const request = requestFor(things, "watch", { query, accept });
  const answer = await world.pipeline.handle(request);
  if (answer.type !== "stream") throw new Error("a watch is a stream");
  const { frames } = answer;
  const reader = (frames instanceof ReadableStream ? frames : streamOf(frames)).getReader();
  const decoder = new TextDecoder();
  let text = "";
  const take = async (count: number) => {
    while (text.split("\n").length <= count) {
      const { done, value } = await reader.read();
      if (done) break;
      text += decoder.decode(value, { stream: true });
    }
    const lines = text.split("\n");
    text = lines.slice(count).join("\n");
    const whole = lines.slice(0, count).filter((line) => line !== "");
    return whole.map((line) => JSON.parse(line));
  };
  const ended = async () => {
    for (;;) if ((await reader.read()).done) return true;
  };
  return { take, ended, leave: () => reader.cancel() };
}

const shown = (events: { type: string; object: Thing }[]) =>
  events.map(({ type, object }) => `${type} ${object.metadata.name}`);

test("watch without a version shows what is there, then what happens", async () => {
  const world = createTestWorld();
  await world.client.create(things, thing("a"));
  const watch = await open(world, {});
  await world.client.create(things, thing("b"));
  await world.client.patch(things, "default", "a", "merge", { spec: { replicas: 1 } });
  await world.client.delete(things, "default", "b");
  const events = await watch.take(4);
  expect(shown(events)).toEqual(["ADDED a", "ADDED b", "MODIFIED a", "DELETED b"]);
  expect(events.map(({ object }) => object.metadata.resourceVersion)).toEqual(["1", "2", "3", "4"]);
  expect(events[0].object.kind).toBe("Thing");
});

test("a watch of many objects begins in turns and misses nothing meanwhile", async () => {
  const world = createTestWorld();
  const names = Array.from({ length: 600 }, (_, i) => `t-${String(i).padStart(3, "0")}`);
  for (const name of names) await world.client.create(things, thing(name));
  await world.client.list(things, "");
  const watch = await open(world, {
    sendInitialEvents: "true",
    allowWatchBookmarks: "true",
    resourceVersionMatch: "NotOlderThan",
  });
  await world.client.delete(things, "default", "t-599");
  const events = await watch.take(602);
  expect(shown(events.slice(0, 600))).toEqual(names.map((name) => `ADDED ${name}`));
  expect(events[600]).toMatchObject({
    type: "BOOKMARK",
    object: {
      metadata: {
        resourceVersion: "600",
        annotations: { "k8s.io/initial-events-end": "true" },
      },
    },
  });
  expect(shown(events.slice(601))).toEqual(["DELETED t-599"]);
});

test("watch from a version shows exactly what came after it", async () => {
  const world = createTestWorld();
  for (const name of ["a", "b", "c"]) await world.client.create(things, thing(name));
  await world.client.list(things, "");
  await world.client.create(things, thing("d"));
  const watch = await open(world, { resourceVersion: "2" });
  await world.client.create(things, thing("e"));
  // c is older than the LiveSet: it comes from the store's log.
  expect(shown(await watch.take(3))).toEqual(["ADDED c", "ADDED d", "ADDED e"]);
  const recent = await open(world, { resourceVersion: "4" });
  expect(shown(await recent.take(1))).toEqual(["ADDED e"]);
});

test("watch from a compacted version ends with a 410 event", async () => {
  const world = createTestWorld();
  for (const name of ["a", "b", "c"]) await world.client.create(things, thing(name));
  await world.store.compact(3);
  const watch = await open(world, { resourceVersion: "1" });
  const [event] = await watch.take(1);
  expect(event).toMatchObject({ type: "ERROR", object: { code: 410, reason: "Expired" } });
  expect(await watch.ended()).toBe(true);
});

test("a watch of one name still heeds what else is asked of it", async () => {
  const world = createTestWorld();
  for (const name of ["a", "b"]) await world.client.create(things, thing(name));
  const watching = (more: Record<string, string>) => open(world, { resourceVersion: "1", ...more });
  const plain = await watching({ fieldSelector: "metadata.name=b" });
  expect(shown(await plain.take(1))).toEqual(["ADDED b"]);
  const never = await watching({ fieldSelector: "metadata.name=b,metadata.name!=b" });
  const neither = await watching({ fieldSelector: "metadata.name=a,metadata.name=b" });
  const labelled = await watching({ fieldSelector: "metadata.name=b", labelSelector: "app=x" });
  const labels = { app: "x" };
  await world.client.patch(things, "default", "b", "merge", { metadata: { labels } });
  await world.client.patch(things, "default", "a", "merge", { metadata: { labels } });
  expect(shown(await labelled.take(1))).toEqual(["ADDED b"]);
  for (const watch of [never, neither]) {
    await watch.leave();
    expect(await watch.take(1)).toEqual([]);
  }
});

test("watch with a selector turns leaving into DELETED and joining into ADDED", async () => {
  const world = createTestWorld();
  const labelled = thing("a", { metadata: { name: "a", labels: { app: "x" } } });
  await world.client.create(things, labelled);
  const watch = await open(world, { labelSelector: "app=x", resourceVersion: "1" });
  const relabel = (app: string) =>
    world.client.patch(things, "default", "a", "merge", { metadata: { labels: { app } } });
  await relabel("y");
  await relabel("x");
  await world.client.create(things, thing("other"));
  await world.client.delete(things, "default", "a");
  const events = await watch.take(3);
  expect(shown(events)).toEqual(["DELETED a", "ADDED a", "DELETED a"]);
  expect(events[0].object.metadata).toMatchObject({ resourceVersion: "2", labels: { app: "x" } });
});

test("watch with sendInitialEvents marks the end of the initial state", async () => {
  const world = createTestWorld();
  await world.client.create(things, thing("a"));
  const watch = await open(world, {
    sendInitialEvents: "true",
    resourceVersionMatch: "NotOlderThan",
    allowWatchBookmarks: "true",
  });
  const [added, bookmark] = await watch.take(2);
  expect(added.type).toBe("ADDED");
  expect(bookmark).toEqual({
    type: "BOOKMARK",
    object: {
      kind: "Thing",
      apiVersion: "example.com/v1",
      metadata: { resourceVersion: "1", annotations: { "k8s.io/initial-events-end": "true" } },
    },
  });
  const request = requestFor(things, "watch", { query: { sendInitialEvents: "true" } });
  expect(world.pipeline.handle(request)).rejects.toMatchObject({ code: 422 });
});

test("watch sends bookmarks by the minute and ends after its timeout", async () => {
  const world = createTestWorld();
  const watch = await open(world, { allowWatchBookmarks: "true", timeoutSeconds: "90" });
  await world.client.create(things, thing("a"));
  await world.runtime.clock.advance(95_000);
  const events = await watch.take(3);
  expect(events.map(({ type }) => type)).toEqual(["ADDED", "BOOKMARK", "BOOKMARK"]);
  expect(events[1].object.metadata.resourceVersion).toBe("1");
  expect(await watch.ended()).toBe(true);
});

test("watch of a reader that does not read is ended, not queued without limit", async () => {
  const world = createTestWorld();
  const watch = await open(world, { resourceVersion: "0" });
  for (let at = 0; at < 1100; at += 1) {
    const spec = { replicas: at };
    if (at === 0) await world.client.create(things, thing("a", { spec }));
    else await world.client.patch(things, "default", "a", "merge", { spec });
  }
  const events = await watch.take(1000);
  expect(events.length).toBe(1000);
  expect(await watch.ended()).toBe(true);
});

test("watch of a long past reaches the present however much was missed", async () => {
  const world = createTestWorld();
  await world.client.create(things, thing("a"));
  for (let at = 0; at < 2100; at += 1) {
    await world.client.patch(things, "default", "a", "merge", { spec: { replicas: at + 2 } });
  }
  const watch = await open(world, { resourceVersion: "1" });
  const events = await watch.take(2100);
  expect(events.at(-1).object.spec.replicas).toBe(2101);
  await world.client.delete(things, "default", "a");
  expect(shown(await watch.take(1))).toEqual(["DELETED a"]);
});

test("watch of Tables has columns in the first event only", async () => {
  const world = createTestWorld();
  await world.client.create(things, thing("a"));
  const watch = await open(world, {}, "application/json;as=Table;v=v1;g=meta.k8s.io");
  await world.client.create(things, thing("b"));
  const [first, second] = await watch.take(2);
  expect(first.object.columnDefinitions.length).toBe(2);
  expect(second.object).toMatchObject({ columnDefinitions: null, rows: [{ cells: ["b", ""] }] });
});

test("the local client's watch yields objects and ends with its signal", async () => {
  const world = createTestWorld();
  const abort = new AbortController();
  const seen: WatchEvent<Thing>["type"][] = [];
  const options = { resourceVersion: "0" };
  const reading = (async () => {
    for await (const event of world.client.watch(things, "default", options, abort.signal)) {
      seen.push(event.type);
      if (seen.length === 2) abort.abort();
    }
  })();
  await world.client.create(things, thing("a"));
  await world.client.delete(things, "default", "a");
  await reading;
  expect(seen).toEqual(["ADDED", "DELETED"]);
});
