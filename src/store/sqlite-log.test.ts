import { Database } from "bun:sqlite";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createRuntime } from "../runtime/real.ts";
import type { Write } from "./backend.ts";
import { GroupCommit } from "./group-commit.ts";
import { openSqliteStore } from "./sqlite.ts";
import { beginAnew, type Syncs, WriteAheadLog } from "./sqlite-log.ts";
import { prepareSchema, settings } from "./sqlite-tables.ts";
import { prefixRange } from "./store.ts";

const runtime = createRuntime({ logLevel: "error" });
let dir = "";
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "k3-log-"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function openDatabase(path: string): Database {
  mkdirSync(dirname(path), { recursive: true });
  const database = new Database(path, { create: true, strict: true });
  for (const setting of settings) database.run(setting);
  prepareSchema(database, path);
  database.run(beginAnew);
  return database;
}

const put = (database: Database, n: number): void => {
  database.run("INSERT INTO log VALUES (?, 'k', 1, 0, 0, NULL)", [n]);
};
const numbers = (database: Database): number[] =>
  (database.query("SELECT revision AS n FROM log ORDER BY n").all() as { n: number }[]).map(
    ({ n }) => n,
  );
const syncs = (of: Partial<Syncs>): Syncs => ({
  log: async () => {},
  database: async () => {},
  ...of,
});

test("until the database is on the disk, the log alone holds every commit", async () => {
  const path = join(dir, "cut", "state.db");
  const database = openDatabase(path);
  put(database, 1);
  // What a power cut would leave of the database: nothing after the last sync.
  copyFileSync(path, `${path}.before`);
  const synced = Promise.withResolvers<void>();
  const log = new WriteAheadLog(database, runtime.clock, syncs({ database: () => synced.promise }));
  const run = log.checkpoint();
  const cut = join(dir, "cut", "after.db");
  copyFileSync(`${path}.before`, cut);
  copyFileSync(`${path}-wal`, `${cut}-wal`);
  synced.resolve();
  await run;
  // From here on the log begins anew, so the database must have it.
  put(database, 2);
  const left = openDatabase(cut);
  expect(numbers(left)).toEqual([1]);
  expect(numbers(database)).toEqual([1, 2]);
  expect(database.query("PRAGMA synchronous").get()).toEqual({ synchronous: 1 });
  left.close();
  database.close();
});

test("a log that begins anew has one frame and is on the disk before a second one", async () => {
  const database = openDatabase(join(dir, "anew", "state.db"));
  put(database, 1);
  const frames = (): unknown =>
    (database.query("PRAGMA wal_checkpoint(PASSIVE)").get() as { log: number }).log;
  const synced: unknown[] = [];
  const log = new WriteAheadLog(
    database,
    runtime.clock,
    // Looking copies the frame into the database, which then begins anew with the next commit.
    syncs({ log: async () => void synced.push(frames()) }),
  );
  await log.checkpoint();
  expect(synced).toEqual([1]);
  database.close();
});

test("a checkpoint is due early where much is written, late where little is", () => {
  const database = openDatabase(join(dir, "due", "state.db"));
  let now = 0;
  const clock = { monotonicMs: () => now };
  const busy = new WriteAheadLog(database, clock, syncs({}));
  busy.wrote(900 * 1024, 0);
  expect(busy.isDue).toBe(false);
  busy.wrote(200 * 1024, 0);
  expect(busy.isDue).toBe(true);
  const calm = new WriteAheadLog(database, clock, syncs({}));
  const commits = (count: number): void => {
    for (let i = 0; i < count; i++) {
      now += 600_000;
      calm.wrote(100 * 1024, 10);
    }
  };
  commits(150);
  expect(calm.isDue).toBe(false);
  commits(50);
  expect(calm.isDue).toBe(true);
  database.close();
});

for (const failing of ["log", "database"] as const) {
  test(`after a failed sync of the ${failing} nothing is written any more`, async () => {
    const database = openDatabase(join(dir, `failed-${failing}`, "state.db"));
    const fail = () => Promise.reject(new Error("EIO"));
    const log = new WriteAheadLog(database, runtime.clock, syncs({ [failing]: fail }));
    log.check();
    log.wrote(4 * 1024 * 1024, 0);
    expect(log.isDue).toBe(true);
    expect(log.checkpoint()).rejects.toThrow("cannot be synced: EIO");
    await log.checkpoint().catch(() => {});
    expect(() => log.check()).toThrow("cannot be synced: EIO");
    log.wrote(4 * 1024 * 1024, 0);
    expect(log.isDue).toBe(false);
    database.close();
  });
}

test("a commit is durable once the log is synced, one without rows at once", async () => {
  const database = openDatabase(join(dir, "durable", "state.db"));
  const synced = Promise.withResolvers<void>();
  const log = new WriteAheadLog(database, runtime.clock, syncs({ log: () => synced.promise }));
  expect(log.durable()).toBeUndefined();
  log.wrote(0, 0);
  expect(log.durable()).toBeUndefined();
  log.wrote(100, 0);
  const durable = log.durable()?.then(() => "durable");
  expect(await Promise.race([durable, Promise.resolve("waiting")])).toBe("waiting");
  synced.resolve();
  expect(await durable).toBe("durable");
  expect(log.durable()).toBeUndefined();
  database.close();
});

test("writes that come in a rest are committed after it, in their order", async () => {
  const applied: string[] = [];
  const rested = Promise.withResolvers<void>();
  let rests = 0;
  const backend = {
    apply: (writes: readonly Write[]) => {
      applied.push(writes.map(({ key }) => key).join());
      const results = writes.map((_, revision) => ({ ok: true as const, revision }));
      return { results, changes: [] };
    },
    rest: () => (rests++ === 0 ? rested.promise : undefined),
  };
  const commit = new GroupCommit(
    backend,
    () => {},
    () => {},
  );
  const write = (key: string) => commit.write({ type: "delete", key, expected: 1 });
  await write("a");
  const later = [write("b"), write("c")];
  await new Promise((resolve) => setImmediate(resolve));
  commit.flush();
  expect(applied).toEqual(["a"]);
  expect(commit.resting).toBeDefined();
  rested.resolve();
  await Promise.all(later);
  expect(applied).toEqual(["a", "b,c"]);
  expect(commit.resting).toBeUndefined();
});

test("whenever the process dies, what was acknowledged is there", async () => {
  const path = join(dir, "busy", "state.db");
  await using store = await openSqliteStore(path, runtime, { compactEveryMs: 0 });
  const value = new Uint8Array(4000).fill(65);
  const told = new Set<string>();
  const write = async (writer: number): Promise<void> => {
    for (let i = 0; i < 60; i++) {
      const key = `/a/${writer}-${i}`;
      if ((await store.put(key, value, 0)).ok) told.add(key);
    }
  };
  const all = Promise.all(Array.from({ length: 32 }, (_, writer) => write(writer)));
  let isOver = false;
  const over = all.then(() => {
    isOver = true;
  });
  for (let copy = 0; !isOver; copy++) {
    const left = join(dir, "copies", String(copy), "state.db");
    mkdirSync(dirname(left), { recursive: true });
    const known = [...told];
    copyFileSync(path, left);
    copyFileSync(`${path}-wal`, `${left}-wal`);
    await using found = await openSqliteStore(left, runtime, { compactEveryMs: 0 });
    const { entries } = await found.list(prefixRange("/a/"), { limit: 0 });
    const keys = new Set(entries.map(({ key }) => key));
    expect(known.filter((key) => !keys.has(key))).toEqual([]);
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
  await over;
  expect(told.size).toBe(32 * 60);
  // Checkpoints were made meanwhile: the database is not empty.
  expect(Bun.file(path).size).toBeGreaterThan(4 * 1024 * 1024);
});
