import { Database } from "bun:sqlite";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { copyFile, mkdir, mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRuntime } from "../runtime/real.ts";
import { createMemoryFiles, createSimulatedRuntime } from "../runtime/simulated.ts";
import { openStore } from "./drivers.ts";
import { openSqliteStore } from "./sqlite.ts";
import { storeSuite } from "./store.suite.ts";
import { prefixRange, type Store, WriteFailed } from "./store.ts";

const real = createRuntime({ logLevel: "error" });
const all = prefixRange("/");
let dir = "";
let opened = 0;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "k3-sqlite-"));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

storeSuite("sqlite", (runtime, options) => {
  // A simulated world lends its clock; the file is real.
  const mixed = { ...runtime, files: real.files };
  return openSqliteStore(join(dir, `suite-${opened++}`, "state.db"), mixed, options);
});

test("a store is found again as it was left", async () => {
  const path = join(dir, "again", "state.db");
  {
    await using store = await openSqliteStore(path, real);
    await store.put("/a", new Uint8Array([1]), 0);
    await store.put("/a", new Uint8Array([2]), 1);
    await store.put("/b", new Uint8Array([3]), 0);
    await store.delete("/b", 3);
    await store.compact(4);
  }
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  await using store = await openSqliteStore(path, real);
  expect(await store.revision()).toBe(4);
  expect(await store.compactedRevision()).toBe(4);
  expect((await store.get("/a"))?.value).toEqual(new Uint8Array([2]));
  // The newest change was a delete that compaction took: its revision is not used again.
  expect(await store.put("/c", new Uint8Array(), 0)).toEqual({ ok: true, revision: 5 });
});

test("leases count again after a restart", async () => {
  const path = join(dir, "leases", "state.db");
  {
    await using store = await openSqliteStore(path, real);
    await store.put("/e", new Uint8Array([1]), 0, 30);
  }
  const { clock } = createSimulatedRuntime(1);
  await using store = await openSqliteStore(path, { ...real, clock });
  await clock.advance(29_000);
  expect(await store.count(all)).toBe(1);
  await clock.advance(3000);
  // Behind the delete that the lease's end has asked for.
  await store.delete("/never", 1);
  expect(await store.count(all)).toBe(0);
});

test("a second holder is refused", async () => {
  const path = join(dir, "held", "state.db");
  await using store = await openSqliteStore(path, real);
  await store.put("/a", new Uint8Array(), 0);
  const other = Bun.spawnSync([
    process.execPath,
    "-e",
    `const { Database } = require("bun:sqlite");
     new Database(${JSON.stringify(path)}).run("SELECT * FROM log")`,
  ]);
  expect(other.stderr.toString()).toContain("locked");
});

test("a file of another format is refused, not overwritten", async () => {
  const path = join(dir, "future.db");
  const database = new Database(path);
  database.run("PRAGMA user_version = 99");
  database.close();
  expect(openSqliteStore(path, real)).rejects.toThrow("has format 99");
});

/** While `work` runs, no file of this process grows beyond 256 KiB. */
async function withFullDisk(work: () => Promise<void>): Promise<void> {
  const room = Bun.spawnSync(["prlimit", `--pid=${process.pid}`, "--fsize=262144:unlimited"]);
  expect(room.exitCode).toBe(0);
  process.on("SIGXFSZ", () => {});
  try {
    await work();
  } finally {
    Bun.spawnSync(["prlimit", `--pid=${process.pid}`, "--fsize=unlimited:unlimited"]);
    process.removeAllListeners("SIGXFSZ");
  }
}

test("a full disk rejects the writers, and the store goes on", async () => {
  const path = join(dir, "full", "state.db");
  await using store = await openSqliteStore(path, real);
  await store.put("/a", new Uint8Array([1]), 0);
  await withFullDisk(async () => {
    const big = new Uint8Array(1_000_000);
    const lost = await Promise.allSettled([store.put("/b", big, 0), store.put("/c", big, 0)]);
    for (const one of lost) {
      expect(one.status).toBe("rejected");
      if (one.status === "rejected") expect(one.reason).toBeInstanceOf(WriteFailed);
    }
    expect(await store.revision()).toBe(1);
    expect(await store.count(all)).toBe(1);
  });
  expect(await store.put("/b", new Uint8Array(1_000_000), 0)).toEqual({ ok: true, revision: 2 });
});

/** What a crash at this moment would leave behind: the files as they are. */
async function crashImage(path: string, name: string): Promise<string> {
  const image = join(dir, name, "state.db");
  await mkdir(join(dir, name));
  await copyFile(path, image);
  await copyFile(`${path}-wal`, `${image}-wal`);
  return image;
}

const soon = (store: Store, key: string, value: number, expected: number) =>
  store.put(key, new Uint8Array([value]), expected, 0, "soon");

test("a crash takes back what was to be durable soon, but not its revisions", async () => {
  const path = join(dir, "soon", "state.db");
  {
    await using store = await openSqliteStore(path, real);
    await store.put("/a", new Uint8Array([1]), 0);
    expect(await soon(store, "/l", 1, 0)).toEqual({ ok: true, revision: 2 });
    expect(await soon(store, "/l", 2, 2)).toEqual({ ok: true, revision: 3 });
    expect(await soon(store, "/l", 3, 3)).toEqual({ ok: true, revision: 4 });
    expect((await store.get("/l"))?.revision).toBe(4);
    {
      await using image = await openSqliteStore(await crashImage(path, "soon-early"), real);
      expect((await image.get("/l"))?.revision).toBe(2);
      const next = await image.put("/b", new Uint8Array(), 0);
      expect(next.ok && next.revision).toBeGreaterThan(4);
    }
    expect(await store.put("/b", new Uint8Array(), 0)).toEqual({ ok: true, revision: 5 });
    await using image = await openSqliteStore(await crashImage(path, "soon-late"), real);
    expect((await image.get("/l"))?.revision).toBe(4);
    expect((await image.get("/b"))?.revision).toBe(5);
    await soon(store, "/l", 4, 4);
  }
  // Closed in order: all is there, and counting goes on without a gap.
  await using store = await openSqliteStore(path, real);
  expect((await store.get("/l"))?.value).toEqual(new Uint8Array([4]));
  expect(await store.put("/c", new Uint8Array(), 0)).toEqual({ ok: true, revision: 7 });
});

test("what is durable soon writes nothing for minutes, then all at once", async () => {
  const path = join(dir, "minutes", "state.db");
  const { clock } = createSimulatedRuntime(1);
  await using store = await openSqliteStore(path, { ...real, clock });
  await store.put("/l", new Uint8Array([0]), 0, 0, "soon");
  const before = (await stat(`${path}-wal`)).size;
  for (let revision = 1; revision < 65; revision++) {
    await soon(store, "/l", revision, revision);
    await clock.advance(10_000);
  }
  expect((await stat(`${path}-wal`)).size).toBe(before);
  // Meanwhile the old versions were compacted: they never reach the disk.
  expect(await store.compactedRevision()).toBeGreaterThan(10);
  await clock.advance(60_000);
  expect((await stat(`${path}-wal`)).size).toBeGreaterThan(before);
  await using image = await openSqliteStore(await crashImage(path, "minutes-image"), real);
  expect((await image.get("/l"))?.revision).toBe(65);
});

test("a failed commit does not take along what was told before", async () => {
  const path = join(dir, "full-soon", "state.db");
  await using store = await openSqliteStore(path, real);
  await soon(store, "/l", 1, 0);
  await soon(store, "/l", 2, 1);
  await withFullDisk(async () => {
    expect(store.put("/b", new Uint8Array(1_000_000), 0)).rejects.toBeInstanceOf(WriteFailed);
    expect((await store.get("/l"))?.revision).toBe(2);
  });
  expect(await soon(store, "/l", 3, 2)).toEqual({ ok: true, revision: 3 });
  await store.put("/b", new Uint8Array(), 0);
  await using image = await openSqliteStore(await crashImage(path, "full-soon-image"), real);
  expect((await image.get("/l"))?.revision).toBe(3);
});

test("the write-ahead log stays small under load", async () => {
  const path = join(dir, "wal", "state.db");
  await using store = await openSqliteStore(path, real);
  let revision = 0;
  for (let i = 0; i < 40; i++) {
    const writes = Array.from({ length: 500 }, (_, n) =>
      store.put(`/k/${i}/${n}`, new Uint8Array(1500), 0),
    );
    for (const result of await Promise.all(writes)) if (result.ok) revision = result.revision;
  }
  expect(revision).toBe(20_000);
  expect((await stat(`${path}-wal`)).size).toBeLessThan(32 * 1024 * 1024);
});

test("endpoints name their driver", async () => {
  await using store = await openStore("memory:", { ...real, files: createMemoryFiles() });
  expect(await store.revision()).toBe(0);
  expect(openStore("oracle://x", real)).rejects.toThrow('Unknown datastore "oracle"');
  expect(openStore("nonsense", real)).rejects.toThrow("Invalid datastore endpoint");
  await using file = await openStore(`sqlite://${dir}/by%20url/state.db`, real);
  expect(await file.revision()).toBe(0);
  expect(await real.files.list(`${dir}/by url`)).toContain("state.db");
});

test("a file of the first format is taken over", async () => {
  const path = join(dir, "first.db");
  const database = new Database(path);
  database.run(`
    CREATE TABLE log (revision INTEGER PRIMARY KEY, key TEXT NOT NULL,
      create_revision INTEGER NOT NULL, previous_revision INTEGER NOT NULL,
      lease_seconds INTEGER NOT NULL, value BLOB) STRICT;
    CREATE INDEX log_leases ON log (key) WHERE lease_seconds > 0;
    CREATE TABLE current (key TEXT PRIMARY KEY, revision INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    INSERT INTO meta VALUES ('compacted', 0);
    INSERT INTO log VALUES (1, '/b', 1, 0, 0, x'01'), (2, '/a', 2, 0, 60, x'02'),
      (3, '/b', 1, 1, 0, x'03'), (4, '/c', 4, 0, 0, x'04'), (5, '/c', 4, 4, 0, NULL);
    INSERT INTO current VALUES ('/a', 2), ('/b', 3);
    PRAGMA user_version = 1`);
  database.close();
  for (let opened = 0; opened < 2; opened++) {
    await using store = await openSqliteStore(path, real);
    const { entries, revision } = await store.list(all, { limit: 0 });
    expect(revision).toBe(5);
    expect(entries.map((entry) => [entry.key, entry.revision, entry.leaseSeconds])).toEqual([
      ["/a", 2, 60],
      ["/b", 3, 0],
    ]);
  }
});
