/** Opens the store of a single server: one SQLite file. */
import { Database } from "bun:sqlite";
import { type FileHandle, open } from "node:fs/promises";
import { basename, dirname } from "node:path";
import type { Runtime } from "../runtime/runtime.ts";
import { LocalStore, type LocalStoreOptions } from "./local-store.ts";
import { SqliteBackend } from "./sqlite-backend.ts";
import { beginAnew, WriteAheadLog } from "./sqlite-log.ts";
import { prepareSchema, settings } from "./sqlite-tables.ts";
import type { Driver, Store } from "./store.ts";

/** Opens files to wait until what others wrote to them is on the disk. */
export type OpenSynced = (path: string) => Promise<SyncedFile>;
export type SyncedFile = Pick<FileHandle, "datasync" | "sync" | "close">;

interface SqliteOptions extends LocalStoreOptions {
  /** For tests, which look at what is on the disk, or let it fail. */
  readonly openSynced?: OpenSynced;
}

/** Opens or creates the store in the file `path`; one process at a time may hold it. */
export async function openSqliteStore(
  path: string,
  runtime: Runtime,
  options: SqliteOptions = {},
): Promise<Store> {
  await runtime.files.mkdir(dirname(path), 0o700);
  // SQLite gives its side files the mode of the main one, which holds secrets.
  const known = await runtime.files.list(dirname(path));
  if (!known.includes(basename(path))) await runtime.files.writeAtomic(path, "", 0o600);
  const openSynced = options.openSynced ?? ((file: string) => open(file, "r"));
  // Closing it takes SQLite's locks on the file along, so it is open for as long as the database.
  await using opened = new AsyncDisposableStack();
  const file = opened.adopt(await openSynced(path), (one) => one.close());
  const database = opened.adopt(openDatabase(path), (one) => one.close());
  // Opening has written to the log, so it is there, and stays the same file until it is closed.
  const log = opened.adopt(await openSynced(`${path}-wal`), (one) => one.close());
  const folder = await openSynced(dirname(path));
  await folder.sync().finally(() => folder.close());
  const syncs = { log: () => log.datasync(), database: () => file.datasync() };
  const wal = new WriteAheadLog(database, runtime.clock, syncs);
  const backend = new SqliteBackend(database, wal, opened.move());
  return new LocalStore(backend, runtime, options);
}

export const sqliteDriver: Driver = {
  scheme: "sqlite",
  open: (endpoint, runtime) => openSqliteStore(decodeURIComponent(endpoint.pathname), runtime),
};

function openDatabase(path: string): Database {
  const database = new Database(path, { create: true, readwrite: true, strict: true });
  try {
    for (const setting of settings) database.run(setting);
    prepareSchema(database, path);
    // Makes durable, too, what a process that was killed has committed and not synced.
    database.run(beginAnew);
    return database;
  } catch (cause) {
    database.close();
    const code = (cause as { code?: string }).code ?? "";
    if (!/^SQLITE_(BUSY|LOCKED)/.test(code)) throw cause;
    throw new Error(`The store ${path} is in use by another process`, { cause });
  }
}
