/**
 * The power fails at any moment. Of what was written to a file since its last sync each block is
 * on the disk or is not; of what was written before, all. The disk is played: this file notes what
 * each sync began with, and builds from that what a power cut may leave.
 */
import { Database } from "bun:sqlite";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRuntime } from "../runtime/real.ts";
import { createSimulatedRuntime } from "../runtime/simulated.ts";
import { revisionOf } from "./backend.ts";
import { type OpenSynced, openSqliteStore } from "./sqlite.ts";
import { FutureRevision, prefixRange, type Store, WriteFailed } from "./store.ts";

const real = createRuntime({ logLevel: "error" });
const { random } = createSimulatedRuntime(7);
const all = prefixRange("/");
const blockBytes = 4096;
/** Of the parts of a file that are left as they were, where the end of it got on the disk. */
const mostBefore = 40 * blockBytes;
let dir = "";
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "k3-power-"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Plays the disk under the files of one store. */
class Disk {
  readonly #durable = new Map<string, Buffer>();
  /** Called in each sync, which lasts until it has resolved. */
  during: (path: string) => Promise<void> = async () => {};

  readonly openSynced: OpenSynced = async (path) => {
    const file = await open(path, "r");
    if ((await file.stat()).isFile()) this.#durable.set(path, readFileSync(path));
    const datasync = async (): Promise<void> => {
      const begun = readFileSync(path);
      await this.during(path);
      this.#durable.set(path, begun);
    };
    return { datasync, sync: () => file.sync(), close: () => file.close() };
  };

  /** What may be left of the files if the power fails now. */
  cut(to: string): string {
    mkdirSync(to, { recursive: true });
    // Either nothing since the last sync got there, or all, or some of it: a share, or an end.
    const share = [0, 1, 0.5, 0.1, 0.9][random.int(5)] ?? 0;
    const from = random.int(2) === 0 ? 0 : random.int(mostBefore);
    for (const [path, durable] of this.#durable) {
      writeFileSync(join(to, path.slice(path.lastIndexOf("/"))), torn(path, durable, share, from));
    }
    return join(to, "state.db");
  }
}

function torn(path: string, durable: Buffer, share: number, from: number): Buffer {
  const written = readFileSync(path);
  const left = Buffer.alloc(Math.max(written.length, durable.length));
  durable.copy(left);
  for (let at = from; at < written.length; at += blockBytes) {
    if (random.int(1000) < share * 1000) written.copy(left, at, at, at + blockBytes);
  }
  return left;
}

async function historyOf(store: Store): Promise<number[]> {
  const seen: number[] = [];
  const newest = await store.revision();
  if (newest === 0) return seen;
  const signal = new AbortController().signal;
  for await (const batch of store.watch(all, 0, signal)) {
    seen.push(...batch.map(revisionOf));
    if (seen.at(-1) === newest) break;
  }
  return seen;
}

test("a power cut leaves a whole file and all that was acknowledged", async () => {
  const disk = new Disk();
  const path = join(dir, "cut", "state.db");
  const openSynced = disk.openSynced;
  await using store = await openSqliteStore(path, real, { compactEveryMs: 0, openSynced });
  const told = new Map<string, number>();
  let cuts = 0;
  const check = async (): Promise<void> => {
    const known = new Map(told);
    const left = disk.cut(join(dir, "cuts", String(cuts++)));
    await using found = await openSqliteStore(left, real, { compactEveryMs: 0 });
    const { entries } = await found.list(all, { limit: 0 });
    const revisions = new Map(entries.map((entry) => [entry.key, entry.revision]));
    for (const [key, revision] of known)
      expect(revisions.get(key)).toBeGreaterThanOrEqual(revision);
    const log = await historyOf(found);
    expect(log).toEqual(Array.from({ length: log.length }, (_, i) => i + 1));
    await found[Symbol.asyncDispose]();
    const database = new Database(left, { readonly: true });
    expect(database.query("PRAGMA integrity_check").get()).toEqual({ integrity_check: "ok" });
    database.close();
    rmSync(join(left, ".."), { recursive: true });
  };
  let checkpoints = 0;
  let sinceCheckpoint = 0;
  disk.during = async (file) => {
    if (file === path) {
      checkpoints += 1;
      sinceCheckpoint = 0;
    }
    // In a checkpoint and right after it more is at stake, and there are few of them.
    const times = sinceCheckpoint++ < 3 ? 5 : random.int(25) === 0 ? 1 : 0;
    for (let i = 0; i < times; i++) await check();
  };
  const writer = async (name: number): Promise<void> => {
    for (let n = 0; n < 120; n++) {
      // Keys are written again and again, so that pages in the middle of the file change, too.
      const key = `/w${name}/${n % 10}`;
      const value = new Uint8Array(random.int(6000)).fill(n);
      const result = await store.put(key, value, told.get(key) ?? 0);
      if (!result.ok) throw new Error(`${key} is at ${result.current?.revision}`);
      told.set(key, result.revision);
      // Commits of one write and of many take turns.
      for (let turns = random.int(4); turns > 0; turns--) {
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
  };
  await Promise.all(Array.from({ length: 16 }, (_, name) => writer(name)));
  expect(checkpoints).toBeGreaterThan(1);
  expect(cuts).toBeGreaterThan(10);
}, 60_000);

test("nobody sees a write before it is durable", async () => {
  const disk = new Disk();
  const path = join(dir, "hidden", "state.db");
  await using store = await openSqliteStore(path, real, { openSynced: disk.openSynced });
  await store.put("/a", new Uint8Array([1]), 0);
  const synced = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  disk.during = () => {
    begun.resolve();
    return synced.promise;
  };
  const told: string[] = [];
  using _listener = store.onCommit((changes) => void told.push(`commit of ${changes.length}`));
  const watch = store.watch(all, 1, new AbortController().signal)[Symbol.asyncIterator]();
  void watch.next().then(() => told.push("watch"));
  const writes = [
    store.put("/a", new Uint8Array([2]), 1).then(() => told.push("put")),
    store.put("/b", new Uint8Array([1]), 0).then(() => told.push("create")),
  ];
  await begun.promise;
  // Durable soon, but it comes later, so that it is not seen before the others either.
  writes.push(store.put("/c", new Uint8Array(), 0, 0, "soon").then(() => told.push("soon")));
  writes.push(store.delete("/a", 2).then(({ ok }) => told.push(`delete ${ok}`)));
  await new Promise((resolve) => setImmediate(resolve));
  expect(told).toEqual([]);
  expect(await store.revision()).toBe(1);
  expect((await store.get("/a"))?.value).toEqual(new Uint8Array([1]));
  expect((await store.list(all, { limit: 0 })).entries.map(({ key }) => key)).toEqual(["/a"]);
  expect(await store.count(all)).toBe(1);
  expect(await historyOf(store)).toEqual([1]);
  expect(store.get("/a", 2)).rejects.toBeInstanceOf(FutureRevision);
  synced.resolve();
  await Promise.all(writes);
  const first = ["commit of 2", "watch", "put", "create"];
  expect(told).toEqual([...first, "commit of 2", "soon", "delete true"]);
  expect(await historyOf(store)).toEqual([1, 2, 3, 4, 5]);
  await watch.return?.();
});

test("a disk that fails to sync ends all writing, and nothing of the commit is told", async () => {
  const disk = new Disk();
  const path = join(dir, "failed", "state.db");
  {
    const openSynced = disk.openSynced;
    await using store = await openSqliteStore(path, real, { openSynced, compactEveryMs: 0 });
    await store.put("/a", new Uint8Array([1]), 0);
    const told: number[] = [];
    using _listener = store.onCommit((changes) => void told.push(...changes.map(revisionOf)));
    disk.during = () => Promise.reject(new Error("EIO: i/o error, fdatasync"));
    const lost = store.put("/a", new Uint8Array([2]), 1);
    expect(lost).rejects.toThrow("cannot be synced: EIO");
    await lost.catch((error: unknown) => expect(error).toBeInstanceOf(WriteFailed));
    disk.during = async () => {};
    // What the kernel has dropped no later sync brings back.
    expect(store.put("/a", new Uint8Array([3]), 1)).rejects.toBeInstanceOf(WriteFailed);
    expect(store.put("/s", new Uint8Array(), 0, 0, "soon")).rejects.toBeInstanceOf(WriteFailed);
    expect(store.compact(1)).rejects.toThrow("cannot be synced");
    expect(told).toEqual([]);
    expect(await store.revision()).toBe(1);
    expect((await store.get("/a"))?.value).toEqual(new Uint8Array([1]));
    const left = disk.cut(join(dir, "failed-left"));
    await using found = await openSqliteStore(left, real);
    expect((await found.get("/a"))?.revision).toBeGreaterThanOrEqual(1);
  }
});
