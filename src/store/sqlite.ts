/**
 * The store of a single server: one SQLite file. `log` holds every version, `current` says which
 * version of a key is the living one, so a value is written once. Compaction follows
 * `previous_revision` and needs no index on the log's keys.
 */
import { Database, type Statement } from "bun:sqlite";
import { dirname } from "node:path";
import { assert } from "../lib/assert.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { type Applied, type Backend, compareKeys, type Write } from "./backend.ts";
import { LocalStore, type LocalStoreOptions } from "./local-store.ts";
import {
  type Change,
  Compacted,
  type Driver,
  type Entry,
  FutureRevision,
  type KeyRange,
  type Page,
  type Revision,
  type Store,
  type WriteResult,
} from "./store.ts";

/** Opens or creates the store in the file `path`; one process at a time may hold it. */
export async function openSqliteStore(
  path: string,
  runtime: Runtime,
  options: LocalStoreOptions = {},
): Promise<Store> {
  await runtime.files.mkdir(dirname(path), 0o700);
  // SQLite gives its side files the mode of the main one, which holds secrets.
  if ((await runtime.files.list(dirname(path))).includes(path.slice(dirname(path).length + 1))) {
    return new LocalStore(openBackend(path), runtime, options);
  }
  await runtime.files.writeAtomic(path, "", 0o600);
  return new LocalStore(openBackend(path), runtime, options);
}

export const sqliteDriver: Driver = {
  scheme: "sqlite",
  open: (endpoint, runtime) => openSqliteStore(decodeURIComponent(endpoint.pathname), runtime),
};

const formatVersion = 1;

const settings = [
  // No second process may write behind our watchers; it also spares the shared-memory file.
  "PRAGMA locking_mode = EXCLUSIVE",
  "PRAGMA busy_timeout = 5000",
  "PRAGMA journal_mode = WAL",
  "PRAGMA synchronous = FULL",
  "PRAGMA wal_autocheckpoint = 1000",
  "PRAGMA journal_size_limit = 16777216",
  "PRAGMA cache_size = -8192",
  "PRAGMA temp_store = MEMORY",
];

// `value` stands last: rows are scanned without touching it. NULL marks a delete.
const schema = `
  CREATE TABLE log (
    revision INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    create_revision INTEGER NOT NULL,
    previous_revision INTEGER NOT NULL,
    lease_seconds INTEGER NOT NULL,
    value BLOB
  ) STRICT;
  CREATE INDEX log_leases ON log (key) WHERE lease_seconds > 0;
  CREATE TABLE current (key TEXT PRIMARY KEY, revision INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  INSERT INTO meta VALUES ('compacted', 0);
  PRAGMA user_version = ${formatVersion};
`;

function openBackend(path: string): SqliteBackend {
  const database = new Database(path, { create: true, readwrite: true, strict: true });
  try {
    for (const setting of settings) database.run(setting);
    prepareSchema(database, path);
    return new SqliteBackend(database);
  } catch (cause) {
    database.close();
    const code = (cause as { code?: string }).code ?? "";
    if (!/^SQLITE_(BUSY|LOCKED)/.test(code)) throw cause;
    throw new Error(`The store ${path} is in use by another process`, { cause });
  }
}

function prepareSchema(database: Database, path: string): void {
  const row = database.query("PRAGMA user_version").get() as { user_version: number };
  if (row.user_version === formatVersion) return;
  if (row.user_version !== 0) {
    throw new Error(
      `The store ${path} has format ${row.user_version}; this version reads ${formatVersion}`,
    );
  }
  database.transaction(() => database.run(schema)).immediate();
}

interface LogRow {
  revision: number;
  key: string;
  create_revision: number;
  previous_revision: number;
  lease_seconds: number;
  value: Uint8Array | null;
}

/** Every statement is prepared once: preparing costs more than running most of them. */
function prepareStatements(database: Database) {
  const columns = "revision, key, create_revision, previous_revision, lease_seconds, value";
  const living = "SELECT log.* FROM current JOIN log ON log.revision = current.revision";
  return {
    current: database.prepare<LogRow, [string]>(`${living} WHERE current.key = ?`),
    version: database.prepare<LogRow, [number]>(`SELECT ${columns} FROM log WHERE revision = ?`),
    append: database.prepare<
      undefined,
      [number, string, number, number, number, Uint8Array | null]
    >(`INSERT INTO log (${columns}) VALUES (?, ?, ?, ?, ?, ?)`),
    point: database.prepare<undefined, [string, number]>("REPLACE INTO current VALUES (?, ?)"),
    unpoint: database.prepare<undefined, [string]>("DELETE FROM current WHERE key = ?"),
    page: database.prepare<LogRow, [string, string, number]>(
      `${living} WHERE current.key >= ? AND current.key < ? ORDER BY current.key LIMIT ?`,
    ),
    keys: database.prepare<{ key: string; revision: number }, [string, string, number]>(
      "SELECT key, revision FROM current WHERE key >= ? AND key < ? ORDER BY key LIMIT ?",
    ),
    count: database.prepare<{ n: number }, [string, string]>(
      "SELECT count(*) AS n FROM current WHERE key >= ? AND key < ?",
    ),
    changes: database.prepare<LogRow, [number, string, string, number]>(
      `SELECT ${columns} FROM log WHERE revision > ? AND key >= ? AND key < ?
       ORDER BY revision LIMIT ?`,
    ),
    undone: database.prepare<{ key: string; previous_revision: number }, [number, string, string]>(
      `SELECT key, previous_revision FROM log WHERE revision > ? AND key >= ? AND key < ?
       ORDER BY revision`,
    ),
    links: database.prepare<
      { revision: number; previous_revision: number; deleted: number },
      [number, number]
    >(
      `SELECT revision, previous_revision, value IS NULL AS deleted FROM log
       WHERE revision > ? AND revision <= ? ORDER BY revision`,
    ),
    forget: database.prepare<undefined, [number]>("DELETE FROM log WHERE revision = ?"),
    setCompacted: database.prepare<undefined, [number]>(
      "UPDATE meta SET value = ? WHERE name = 'compacted'",
    ),
    leased: database.prepare<LogRow, []>(
      `SELECT log.* FROM log JOIN current ON current.revision = log.revision
       AND current.key = log.key WHERE log.lease_seconds > 0`,
    ),
  } satisfies Record<string, Statement<unknown, never>>;
}

class SqliteBackend implements Backend {
  readonly #sql: ReturnType<typeof prepareStatements>;
  #revision: Revision;
  #compacted: Revision;

  constructor(private readonly database: Database) {
    this.#sql = prepareStatements(database);
    const row = database
      .query(`SELECT (SELECT value FROM meta WHERE name = 'compacted') AS compacted,
              coalesce((SELECT max(revision) FROM log), 0) AS newest`)
      .get() as { compacted: number; newest: number };
    this.#compacted = row.compacted;
    // The newest log row may be a delete that compaction has taken away.
    this.#revision = Math.max(row.newest, row.compacted);
  }

  apply(writes: readonly Write[]): Applied {
    const results: WriteResult[] = [];
    const changes: Change[] = [];
    let revision = this.#revision;
    this.#inTransaction(() => {
      for (const write of writes) {
        const change = this.#applyOne(write, revision + 1, results);
        if (change === undefined) continue;
        revision += 1;
        changes.push(change);
      }
    });
    this.#revision = revision;
    return { results, changes };
  }

  revision(): Revision {
    return this.#revision;
  }

  compacted(): Revision {
    return this.#compacted;
  }

  get(key: string, at: Revision | undefined): Entry | undefined {
    if (at === undefined) return this.#living(key);
    return this.list({ start: key, end: `${key}\0` }, 1, at).entries[0];
  }

  list(range: KeyRange, limit: number, at: Revision | undefined): Page {
    if (at !== undefined && at !== this.#revision) return this.#listAt(range, limit, at);
    const rows = this.#sql.page.all(range.start, range.end, limit > 0 ? limit : -1);
    const entries = rows.map(entryOf);
    const full = limit > 0 && entries.length === limit;
    const remaining = full ? this.count(range) - entries.length : 0;
    return { entries, revision: this.#revision, more: remaining > 0, remaining };
  }

  count(range: KeyRange): number {
    return this.#sql.count.get(range.start, range.end)?.n ?? 0;
  }

  changes(range: KeyRange, from: Revision, limit: number): readonly Change[] {
    return this.#sql.changes
      .all(from, range.start, range.end, limit)
      .map((row) => this.#changeOf(row));
  }

  /** A version is forgotten once the one that replaced it is itself old; deletes need no row. */
  compactStep(before: Revision, limit: number): void {
    const to = Math.min(before, this.#compacted + limit);
    this.#inTransaction(() => {
      for (const row of this.#sql.links.all(this.#compacted, to)) {
        if (row.previous_revision > 0) this.#sql.forget.run(row.previous_revision);
        if (row.deleted === 1) this.#sql.forget.run(row.revision);
      }
      this.#sql.setCompacted.run(to);
    });
    this.#compacted = to;
  }

  leased(): Iterable<Entry> {
    return this.#sql.leased.all().map(entryOf);
  }

  close(): void {
    for (const statement of Object.values(this.#sql)) statement.finalize();
    this.database.close();
  }

  #inTransaction(work: () => void): void {
    this.database.run("BEGIN IMMEDIATE");
    try {
      work();
      this.database.run("COMMIT");
    } catch (error) {
      // SQLite rolls some failures back by itself.
      if (this.database.inTransaction) this.database.run("ROLLBACK");
      throw error;
    }
  }

  #applyOne(write: Write, revision: Revision, results: WriteResult[]): Change | undefined {
    const { key } = write;
    const previous = this.#living(key);
    if ((previous?.revision ?? 0) !== write.expected) {
      results.push({ ok: false, current: previous });
      return undefined;
    }
    if (write.type === "delete") {
      if (previous === undefined) {
        results.push({ ok: false, current: undefined });
        return undefined;
      }
      this.#sql.append.run(revision, key, previous.createRevision, previous.revision, 0, null);
      this.#sql.unpoint.run(key);
      results.push({ ok: true, revision });
      return { type: "delete", revision, previous };
    }
    const { value, leaseSeconds } = write;
    const createRevision = previous?.createRevision ?? revision;
    const before = previous?.revision ?? 0;
    this.#sql.append.run(revision, key, createRevision, before, leaseSeconds, value);
    this.#sql.point.run(key, revision);
    results.push({ ok: true, revision });
    return { type: "put", entry: { key, value, revision, createRevision, leaseSeconds }, previous };
  }

  #living(key: string): Entry | undefined {
    const row = this.#sql.current.get(key);
    return row === null ? undefined : entryOf(row);
  }

  #version(revision: Revision): Entry | undefined {
    if (revision === 0) return undefined;
    const row = this.#sql.version.get(revision);
    assert(row !== null, "the log keeps what its newer rows replaced");
    return entryOf(row);
  }

  #changeOf(row: LogRow): Change {
    const previous = this.#version(row.previous_revision);
    if (row.value !== null) return { type: "put", entry: entryOf(row), previous };
    assert(previous !== undefined, "only an existing key is deleted");
    return { type: "delete", revision: row.revision, previous };
  }

  /** The current state with all that came after `at` undone. */
  #listAt(range: KeyRange, limit: number, at: Revision): Page {
    if (at < this.#compacted) throw new Compacted(this.#compacted);
    if (at > this.#revision) throw new FutureRevision(at, this.#revision);
    const undone = new Map<string, Revision>();
    for (const row of this.#sql.undone.all(at, range.start, range.end)) {
      if (!undone.has(row.key)) undone.set(row.key, row.previous_revision);
    }
    const versions: { key: string; revision: Revision }[] = [];
    for (const [key, revision] of undone) if (revision > 0) versions.push({ key, revision });
    for (const row of this.#sql.keys.all(range.start, range.end, -1)) {
      if (!undone.has(row.key)) versions.push(row);
    }
    versions.sort((a, b) => compareKeys(a.key, b.key));
    const taken = limit > 0 ? versions.slice(0, limit) : versions;
    const entries = taken.flatMap(({ revision }) => this.#version(revision) ?? []);
    const remaining = versions.length - taken.length;
    return { entries, revision: at, more: remaining > 0, remaining };
  }
}

function entryOf(row: LogRow): Entry {
  return {
    key: row.key,
    value: row.value ?? new Uint8Array(),
    revision: row.revision,
    createRevision: row.create_revision,
    leaseSeconds: row.lease_seconds,
  };
}
