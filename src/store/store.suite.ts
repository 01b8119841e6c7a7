/** What every driver must do; each driver's test file runs it. */
import { afterEach, describe, expect, test } from "bun:test";
import { createRuntime } from "../runtime/real.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { createSimulatedRuntime } from "../runtime/simulated.ts";
import { keyOfChange, revisionOf } from "./backend.ts";
import type { LocalStoreOptions } from "./local-store.ts";
import { type Change, Compacted, FutureRevision, prefixRange, type Store } from "./store.ts";

export type OpenStore = (runtime: Runtime, options?: LocalStoreOptions) => Promise<Store>;

const all = prefixRange("/");
const never = new AbortController().signal;
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (value: Uint8Array | undefined): string => new TextDecoder().decode(value);

async function put(store: Store, key: string, value: string, expected = 0): Promise<number> {
  const result = await store.put(key, bytes(value), expected);
  if (!result.ok) throw new Error(`${key} was not at ${expected}`);
  return result.revision;
}

/** `+key=value@revision` or `-key@revision`, with what was there before. */
function tell(change: Change): string {
  const before = change.previous === undefined ? "" : `<${text(change.previous.value)}`;
  return change.type === "put"
    ? `+${change.entry.key}=${text(change.entry.value)}@${change.entry.revision}${before}`
    : `-${change.previous.key}@${change.revision}${before}`;
}

async function collect(watch: AsyncIterable<readonly Change[]>, count: number): Promise<string[]> {
  const told: string[] = [];
  for await (const batch of watch) {
    told.push(...batch.map(tell));
    if (told.length >= count) break;
  }
  return told;
}

export function storeSuite(name: string, open: OpenStore): void {
  const opened: Store[] = [];
  const openOne = async (runtime?: Runtime, options?: LocalStoreOptions): Promise<Store> => {
    const store = await open(runtime ?? createRuntime({ logLevel: "error" }), options);
    opened.push(store);
    return store;
  };
  afterEach(async () => {
    for (const store of opened.splice(0)) await store[Symbol.asyncDispose]();
  });
  describe(name, () => {
    writeTests(openOne);
    readTests(openOne);
    watchTests(openOne);
    compactionTests(openOne);
    leaseTests(openOne);
    modelTest(openOne);
  });
}

type OpenOne = (runtime?: Runtime, options?: LocalStoreOptions) => Promise<Store>;

function writeTests(openOne: OpenOne): void {
  test("compare-and-set decides, revisions are consecutive", async () => {
    const store = await openOne();
    expect(await store.revision()).toBe(0);
    expect(await store.put("/a", bytes("1"), 0)).toEqual({ ok: true, revision: 1 });
    expect(await store.put("/a", bytes("2"), 0)).toMatchObject({
      ok: false,
      current: { revision: 1, createRevision: 1 },
    });
    expect(await store.put("/b", bytes("1"), 7)).toEqual({ ok: false, current: undefined });
    expect(await store.put("/a", bytes("2"), 1)).toEqual({ ok: true, revision: 2 });
    expect(await store.get("/a")).toMatchObject({
      revision: 2,
      createRevision: 1,
      leaseSeconds: 0,
    });
    expect(await store.delete("/a", 1)).toMatchObject({ ok: false, current: { revision: 2 } });
    expect(await store.delete("/a", 2)).toEqual({ ok: true, revision: 3 });
    expect(await store.delete("/a", 2)).toEqual({ ok: false, current: undefined });
    expect(await store.delete("/a", 0)).toEqual({ ok: false, current: undefined });
    expect(await store.get("/a")).toBeUndefined();
    expect(await store.put("/a", bytes("3"), 0)).toEqual({ ok: true, revision: 4 });
    expect((await store.get("/a"))?.createRevision).toBe(4);
    expect(await store.revision()).toBe(4);
  });

  test("writes of one turn are one commit, and a failed one hurts no other", async () => {
    const store = await openOne();
    const commits: string[][] = [];
    using _listener = store.onCommit((changes) => void commits.push(changes.map(tell)));
    const results = await Promise.all([
      store.put("/a", bytes("1"), 0),
      store.put("/a", bytes("x"), 0),
      store.put("/a", bytes("2"), 1),
      store.delete("/b", 9),
      store.put("/b", bytes("1"), 0),
    ]);
    expect(results.map(({ ok }) => ok)).toEqual([true, false, true, false, true]);
    expect(commits).toEqual([["+/a=1@1", "+/a=2@2<1", "+/b=1@3"]]);
  });

  test("listeners, then watchers, then writers learn of a commit", async () => {
    const store = await openOne();
    const order: string[] = [];
    using _listener = store.onCommit(() => void order.push("listener"));
    using _broken = store.onCommit(() => {
      throw new Error("a listener's own trouble");
    });
    const watch = store.watch(all, 0, never)[Symbol.asyncIterator]();
    const watched = watch.next().then(() => void order.push("watcher"));
    await store.put("/a", bytes("1"), 0).then(() => void order.push("writer"));
    await watched;
    await watch.return?.();
    expect(order).toEqual(["listener", "watcher", "writer"]);
  });

  test("a closed store refuses, and closing keeps what was written", async () => {
    const store = await openOne();
    const pending = store.put("/a", bytes("1"), 0);
    const watch = store.watch(all, 0, never)[Symbol.asyncIterator]();
    const first = watch.next();
    await store[Symbol.asyncDispose]();
    expect((await pending).ok).toBe(true);
    expect((await first).done).toBe(false);
    expect((await watch.next()).done).toBe(true);
    expect(store.put("/b", bytes("1"), 0)).rejects.toThrow("closed");
    expect(store.get("/a")).rejects.toThrow("closed");
  });
}

function readTests(openOne: OpenOne): void {
  test("ranges are half open, ordered by UTF-8 bytes, and paged", async () => {
    const store = await openOne();
    const keys = ["/p/a", "/p/b", "/p/b/c", "/p/é", "/p/\uffee", "/p/\u{1f600}"];
    for (const key of [...keys].reverse().concat("/o", "/q")) await put(store, key, key);
    const range = prefixRange("/p/");
    const page = await store.list(range, { limit: 0 });
    expect(page.entries.map(({ key }) => key)).toEqual(keys);
    expect(page).toMatchObject({ revision: 8, more: false, remaining: 0 });
    const first = await store.list(range, { limit: 4 });
    expect(first).toMatchObject({ more: true, remaining: 2 });
    const rest = await store.list({ start: "/p/é\0", end: range.end }, { limit: 4 });
    expect(rest.entries.map(({ key }) => key)).toEqual(keys.slice(4));
    expect(rest).toMatchObject({ more: false, remaining: 0 });
    expect(await store.count(range)).toBe(6);
    expect((await store.list(range, { limit: 6 })).more).toBe(false);
    expect((await store.list({ start: "/x", end: "/y" }, { limit: 1 })).entries).toEqual([]);
  });

  test("old revisions are read as they were", async () => {
    const store = await openOne();
    await put(store, "/a", "1"); // 1
    await put(store, "/b", "1"); // 2
    await put(store, "/a", "2", 1); // 3
    await store.delete("/b", 2); // 4
    await put(store, "/c", "1"); // 5
    const at = async (revision: number): Promise<string> => {
      const page = await store.list(all, { limit: 0, at: revision });
      expect(page.revision).toBe(revision);
      return page.entries.map((e) => `${e.key}=${text(e.value)}@${e.revision}`).join(" ");
    };
    expect(await at(1)).toBe("/a=1@1");
    expect(await at(2)).toBe("/a=1@1 /b=1@2");
    expect(await at(3)).toBe("/a=2@3 /b=1@2");
    expect(await at(4)).toBe("/a=2@3");
    expect(await at(5)).toBe("/a=2@3 /c=1@5");
    expect(text((await store.get("/a", 2))?.value)).toBe("1");
    expect(await store.get("/b", 1)).toBeUndefined();
    expect(text((await store.get("/b", 3))?.value)).toBe("1");
    expect(await store.list(all, { limit: 1, at: 3 })).toMatchObject({ more: true, remaining: 1 });
    expect(store.list(all, { limit: 0, at: 6 })).rejects.toBeInstanceOf(FutureRevision);
    expect(store.get("/a", 6)).rejects.toBeInstanceOf(FutureRevision);
  });

  test("values of any bytes come back", async () => {
    const store = await openOne();
    const value = Uint8Array.from({ length: 100_000 }, (_, i) => i % 256);
    await store.put("/big", value, 0);
    await store.put("/empty", new Uint8Array(), 0);
    expect(Buffer.from((await store.get("/big"))?.value ?? []).equals(Buffer.from(value))).toBe(
      true,
    );
    expect((await store.get("/empty"))?.value).toHaveLength(0);
  });
}

function watchTests(openOne: OpenOne): void {
  test("history, then live, without gap or double", async () => {
    const store = await openOne();
    await put(store, "/a", "1");
    await put(store, "/x/other", "1");
    await put(store, "/a", "2", 1);
    const range = prefixRange("/a");
    const told = collect(store.watch(range, 0, never), 5);
    await put(store, "/b", "1");
    await store.delete("/a", 3);
    await Promise.all([put(store, "/a", "3"), put(store, "/aa", "1")]);
    expect(await told).toEqual(["+/a=1@1", "+/a=2@3<1", "-/a@5<2", "+/a=3@6", "+/aa=1@7"]);
    expect(await collect(store.watch(range, 5, never), 2)).toEqual(["+/a=3@6", "+/aa=1@7"]);
  });

  test("a watch from a future revision skips what comes before", async () => {
    const store = await openOne();
    const told = collect(store.watch(all, 2, never), 1);
    for (const key of ["/a", "/b", "/c"]) await put(store, key, "1");
    expect(await told).toEqual(["+/c=1@3"]);
  });

  test("aborting ends a waiting watch", async () => {
    const store = await openOne();
    const abort = new AbortController();
    const told = collect(store.watch(all, 0, abort.signal), 1);
    abort.abort();
    expect(await told).toEqual([]);
    expect(await collect(store.watch(all, 0, abort.signal), 1)).toEqual([]);
  });

  test("a reader that is far behind loses nothing", async () => {
    const store = await openOne();
    const watch = store.watch(all, 0, never)[Symbol.asyncIterator]();
    const first = watch.next();
    await put(store, "/k", "0");
    await first;
    const count = 9000;
    for (let from = 0; from < count; from += 1000) {
      await Promise.all(Array.from({ length: 1000 }, (_, i) => put(store, `/n/${from + i}`, "v")));
    }
    const revisions: number[] = [];
    while (revisions.length < count) {
      const { value } = await watch.next();
      revisions.push(...(value as readonly Change[]).map(revisionOf));
    }
    expect(revisions).toEqual(Array.from({ length: count }, (_, i) => i + 2));
    const live = watch.next();
    await put(store, "/k", "1", 1);
    expect((await live).value.map(tell)).toEqual([`+/k=1@${count + 2}<0`]);
    await watch.return?.();
  });

  test("watches started at any moment see the same story", async () => {
    const store = await openOne();
    const total = 400;
    const watches: Promise<string[]>[] = [];
    for (let i = 0; i < total; i++) {
      const write = put(store, `/k${i}`, "v");
      if (i % 20 === 0) watches.push(collect(store.watch(all, 0, never), total));
      if (i % 7 === 0) await write;
    }
    const expected = Array.from({ length: total }, (_, i) => `+/k${i}=v@${i + 1}`);
    for (const told of await Promise.all(watches)) expect(told).toEqual(expected);
  });
}

function compactionTests(openOne: OpenOne): void {
  test("compaction forgets the old and keeps the living", async () => {
    const store = await openOne();
    await put(store, "/a", "1"); // 1
    await put(store, "/gone", "1"); // 2
    await put(store, "/a", "2", 1); // 3
    await store.delete("/gone", 2); // 4
    await put(store, "/a", "3", 3); // 5
    const slow = store.watch(all, 1, never)[Symbol.asyncIterator]();
    await store.compact(4);
    expect(await store.compactedRevision()).toBe(4);
    expect(store.list(all, { limit: 0, at: 3 })).rejects.toBeInstanceOf(Compacted);
    expect(store.get("/a", 3)).rejects.toBeInstanceOf(Compacted);
    expect(slow.next()).rejects.toMatchObject({ compactRevision: 4 });
    expect(text((await store.get("/a", 4))?.value)).toBe("2");
    expect((await store.list(all, { limit: 0, at: 4 })).entries).toHaveLength(1);
    expect(await collect(store.watch(all, 4, never), 1)).toEqual(["+/a=3@5<2"]);
    await store.compact(2);
    expect(await store.compactedRevision()).toBe(4);
    await store.compact(1000);
    expect(await store.compactedRevision()).toBe(5);
    expect(text((await store.get("/a"))?.value)).toBe("3");
    expect(await put(store, "/a", "4", 5)).toBe(6);
    expect(await collect(store.watch(all, 5, never), 1)).toEqual(["+/a=4@6<3"]);
  });

  test("writers go on while a long log is compacted", async () => {
    const store = await openOne();
    let revision = 0;
    for (let i = 0; i < 1500; i++) {
      const result = await store.put("/a", bytes(String(i)), revision, 0, "soon");
      if (result.ok) revision = result.revision;
    }
    const compacted = store.compact(revision);
    let during = 0;
    const done = compacted.then(() => true);
    while (!(await Promise.race([done, put(store, `/b${during}`, "x").then(() => false)]))) {
      during += 1;
    }
    expect(during).toBeGreaterThan(2);
    expect(await store.compactedRevision()).toBe(revision);
    expect(text((await store.get("/a"))?.value)).toBe("1499");
  });

  test("compaction by the clock leaves readers one to two periods", async () => {
    const runtime = createSimulatedRuntime(1);
    const store = await openOne(runtime, { compactEveryMs: 60_000 });
    await put(store, "/a", "1");
    await put(store, "/a", "2", 1);
    await runtime.clock.advance(61_000);
    expect(await store.compactedRevision()).toBe(0);
    await put(store, "/a", "3", 2);
    await runtime.clock.advance(60_000);
    expect(await store.compactedRevision()).toBe(2);
    await runtime.clock.advance(600_000);
    expect(await store.compactedRevision()).toBe(3);
  });
}

/** Once all writes asked for so far are told of: time may be simulated, the disk is not. */
async function written(store: Store): Promise<void> {
  await store.delete("/never", 1);
}

function leaseTests(openOne: OpenOne): void {
  test("a leased key ends after its last write, as a normal delete", async () => {
    const runtime = createSimulatedRuntime(1);
    const store = await openOne(runtime);
    const told = collect(store.watch(all, 0, never), 5);
    await store.put("/e", bytes("1"), 0, 10);
    await store.put("/f", bytes("1"), 0, 10);
    await runtime.clock.advance(6000);
    await store.put("/f", bytes("2"), 2, 10);
    await runtime.clock.advance(5000);
    await written(store);
    expect(await store.get("/e")).toBeUndefined();
    expect((await store.get("/f"))?.leaseSeconds).toBe(10);
    await runtime.clock.advance(6000);
    await written(store);
    expect(await store.count(all)).toBe(0);
    expect(await told).toEqual(["+/e=1@1", "+/f=1@2", "+/f=2@3<1", "-/e@4<1", "-/f@5<2"]);
  });

  test("writing without a lease takes the lease away", async () => {
    const runtime = createSimulatedRuntime(1);
    const store = await openOne(runtime);
    await store.put("/e", bytes("1"), 0, 1);
    await store.put("/e", bytes("2"), 1);
    await runtime.clock.advance(60_000);
    await written(store);
    expect((await store.get("/e"))?.leaseSeconds).toBe(0);
  });
}

/** Random operations against the plainest model there is: an array of all changes. */
function modelTest(openOne: OpenOne): void {
  test("random histories match the model at every revision", async () => {
    const { random } = createSimulatedRuntime(42);
    const store = await openOne();
    const model: Map<string, { value: string; revision: number }>[] = [new Map()];
    const told: string[] = [];
    using _listener = store.onCommit((changes) => void told.push(...changes.map(keyOfChange)));
    for (let step = 0; step < 150; step++) {
      const writes: Promise<unknown>[] = [];
      for (let n = random.int(4); n >= 0; n--) {
        const key = `/k${random.int(12)}`;
        const state = new Map(model.at(-1));
        const revision = model.length;
        const expected = state.get(key)?.revision ?? 0;
        if (random.int(5) === 0) {
          writes.push(store.put(key, bytes("stale"), expected + 1000));
        } else if (random.int(3) === 0 && expected > 0) {
          state.delete(key);
          model.push(state);
          writes.push(store.delete(key, expected));
        } else {
          state.set(key, { value: `v${revision}`, revision });
          model.push(state);
          const durability = step % 3 > 0 ? "soon" : "now";
          writes.push(store.put(key, bytes(`v${revision}`), expected, 0, durability));
        }
      }
      await Promise.all(writes);
      if (step % 50 === 49) await store.compact(random.int(model.length));
    }
    expect(told).toHaveLength(model.length - 1);
    for (let at = await store.compactedRevision(); at < model.length; at++) {
      const page = await store.list(all, { limit: 0, at });
      const got = page.entries.map((e) => [e.key, text(e.value), e.revision]);
      const state = [...(model[at] ?? [])].map(([key, e]) => [key, e.value, e.revision]);
      expect(got).toEqual(state.sort((a, b) => (String(a[0]) < String(b[0]) ? -1 : 1)));
    }
  });
}
