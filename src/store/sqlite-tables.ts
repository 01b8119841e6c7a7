/** The tables of the SQLite store, how the file is opened, and every statement it runs. */
import type { Database, Statement } from "bun:sqlite";

const formatVersion = 2;

export const settings = [
  // No second process may write behind our watchers; it also spares the shared-memory file.
  "PRAGMA locking_mode = EXCLUSIVE",
  "PRAGMA busy_timeout = 5000",
  "PRAGMA journal_mode = WAL",
  "PRAGMA synchronous = FULL",
  "PRAGMA wal_autocheckpoint = 6000",
  "PRAGMA journal_size_limit = 33554432",
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
  CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  INSERT INTO meta VALUES ('compacted', 0);
  PRAGMA user_version = ${formatVersion};
`;

/** From the format before: it kept the living versions in a table of their own. */
const fromFormat1 = `
  DROP INDEX log_leases;
  DROP TABLE current;
  PRAGMA user_version = 2;
`;

/** Lays out a new file, takes over one of an older format. */
export function prepareSchema(database: Database, path: string): void {
  const row = database.query("PRAGMA user_version").get() as { user_version: number };
  if (row.user_version === formatVersion) return;
  if (row.user_version === 1) {
    database.transaction(() => database.run(fromFormat1)).immediate();
    return;
  }
  if (row.user_version !== 0) {
    throw new Error(
      `The store ${path} has format ${row.user_version}; this version reads ${formatVersion}`,
    );
  }
  database.transaction(() => database.run(schema)).immediate();
}

export interface LogRow {
  revision: number;
  key: string;
  create_revision: number;
  previous_revision: number;
  lease_seconds: number;
  value: Uint8Array | null;
}

/** Every statement is prepared once: preparing costs more than running most of them. */
export function prepareStatements(database: Database) {
  const columns = "revision, key, create_revision, previous_revision, lease_seconds, value";
  return {
    version: database.prepare<LogRow, [number]>(`SELECT ${columns} FROM log WHERE revision = ?`),
    append: database.prepare<
      undefined,
      [number, string, number, number, number, Uint8Array | null]
    >(`INSERT INTO log (${columns}) VALUES (?, ?, ?, ?, ?, ?)`),
    versions: database.prepare<LogRow, [string]>(
      `SELECT log.* FROM json_each(?) AS wanted CROSS JOIN log ON log.revision = wanted.value`,
    ),
    changes: database.prepare<LogRow, [number, number, string, string, number]>(
      `SELECT ${columns} FROM log WHERE revision > ? AND revision <= ? AND key >= ? AND key < ?
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
    meta: database.prepare<{ value: number }, [string]>("SELECT value FROM meta WHERE name = ?"),
    setMeta: database.prepare<undefined, [string, number]>("REPLACE INTO meta VALUES (?, ?)"),
    heads: database.prepare<
      { revision: number; key: string; lease_seconds: number; deleted: number },
      []
    >(`SELECT revision, key, lease_seconds, value IS NULL AS deleted FROM log ORDER BY revision`),
  } satisfies Record<string, Statement<unknown, never>>;
}
