/** The tables of the SQLite store, how the file is opened, and every statement it runs. */
import type { Database, Statement } from "bun:sqlite";

export const formatVersion = 1;

export const settings = [
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
export const schema = `
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
    newest: database.prepare<{ revision: number }, []>(
      "SELECT coalesce(max(revision), 0) AS revision FROM log",
    ),
    meta: database.prepare<{ value: number }, [string]>("SELECT value FROM meta WHERE name = ?"),
    setMeta: database.prepare<undefined, [string, number]>("REPLACE INTO meta VALUES (?, ?)"),
    leased: database.prepare<LogRow, []>(
      `SELECT log.* FROM log JOIN current ON current.revision = log.revision
       AND current.key = log.key WHERE log.lease_seconds > 0`,
    ),
  } satisfies Record<string, Statement<unknown, never>>;
}
