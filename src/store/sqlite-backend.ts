/**
 * What the store of a single server keeps: one SQLite file whose `log` holds every version once, in
 * the order of revisions. Which version of a key is the living one is known in memory, so a change
 * touches the end of the log and nothing else. Compaction follows `previous_revision`.
 */
import type { Database } from "bun:sqlite";
import { assert } from "../lib/assert.ts";
import { type Applied, type Backend, compareKeys, type Write } from "./backend.ts";
import { KeyIndex } from "./key-index.ts";
import type { WriteAheadLog } from "./sqlite-log.ts";
import { type LogRow, prepareStatements } from "./sqlite-tables.ts";
import {
  type Change,
  Compacted,
  type Entry,
  FutureRevision,
  type KeyRange,
  type Page,
  type Revision,
  type WriteResult,
} from "./store.ts";

/** Rows an open transaction may have changed before it is committed all the same. */
const mostOpenRows = 1000;
/** Versions that one statement fetches. */
const versionsAtOnce = 500;
/** Revisions set aside at once for writes that are durable "soon". */
const reserveRevisions = 1000;

/**
 * Writes that are to be durable "soon", and compaction, stay in an open transaction until a write
 * that is durable "now" commits it with them. Their revisions are below `reserved`, which is on
 * the disk before they are given out: after a crash counting goes on from there.
 */
export class SqliteBackend implements Backend {
  readonly #sql: ReturnType<typeof prepareStatements>;
  #revision: Revision;
  #reserved: Revision;
  #reserving: Revision;
  #compacted: Revision;
  /** Told to watchers, but not committed yet. */
  #uncommitted: Put[] = [];
  #openRows = 0;
  /** Applied, and not yet to be seen: it may not be on the disk. */
  #hidden: { readonly revision: Revision; readonly fresh: Fresh } | undefined;
  /** What the open transaction adds to the write-ahead log; 0 as long as it has changed nothing. */
  #openBytes = 0;
  #openForgotten = 0;
  /** The revision of each living key. */
  readonly #index: KeyIndex<Revision>;
  readonly #leasedAtOpen: Leased[];

  constructor(
    private readonly database: Database,
    private readonly log: WriteAheadLog,
    /** To be closed at the end, the database with it. */
    private readonly opened: AsyncDisposable,
  ) {
    this.#sql = prepareStatements(database);
    const { living, leased, newest } = this.#readHeads();
    this.#index = new KeyIndex(living);
    this.#leasedAtOpen = leased;
    this.#compacted = this.#meta("compacted");
    this.#reserved = this.#meta("reserved");
    this.#reserving = this.#reserved;
    // The newest log row may be a delete that compaction has taken away.
    this.#revision = Math.max(newest, this.#compacted, this.#reserved);
  }

  apply(writes: readonly Write[]): Applied {
    const results: WriteResult[] = [];
    const changes: Change[] = [];
    let revision = this.#revision;
    const fresh: Fresh = new Map();
    this.#transact(() => {
      assert(this.#hidden === undefined, "what was applied before is durable");
      for (const write of writes) {
        const { key } = write;
        const previous = fresh.has(key) ? fresh.get(key) : this.#living(key);
        const change = this.#applyOne(write, previous, revision + 1, results);
        if (change === undefined) continue;
        revision += 1;
        changes.push(change);
        fresh.set(key, change.type === "put" ? change.entry : undefined);
      }
      if (changes.length === 0) return this.#openRows > 0;
      return writes.every(isSoon) ? this.#mayStayOpen(revision, changes.length) : false;
    });
    this.#hidden = { revision, fresh };
    if (this.#openRows > 0) this.#uncommitted.push(...changes.filter(isPut));
    return { results, changes };
  }

  durable(): Promise<void> | undefined {
    return this.log.durable();
  }

  reveal(): void {
    if (this.#hidden === undefined) return;
    const { revision, fresh } = this.#hidden;
    this.#hidden = undefined;
    this.#revision = revision;
    for (const [key, entry] of fresh) {
      if (entry === undefined) this.#index.delete(key);
      else this.#index.set(key, entry.revision);
    }
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
    const keys = this.#index.keys(range, limit);
    const entries = this.#versions(keys.map((key) => this.#index.get(key) ?? 0));
    const remaining = this.#index.count(range) - keys.length;
    return { entries, revision: this.#revision, more: remaining > 0, remaining };
  }

  count(range: KeyRange): number {
    return this.#index.count(range);
  }

  sizeBytes(): number {
    const sql = "SELECT page_count * page_size AS bytes FROM pragma_page_count, pragma_page_size";
    return (this.database.query(sql).get() as { readonly bytes: number }).bytes;
  }

  changes(range: KeyRange, from: Revision, limit: number): readonly Change[] {
    return this.#sql.changes
      .all(from, this.#revision, range.start, range.end, limit)
      .map((row) => this.#changeOf(row));
  }

  /** A version is forgotten once the one that replaced it is itself old; deletes need no row. */
  compactStep(before: Revision, limit: number): void {
    const to = Math.min(before, this.#compacted + limit);
    this.#transact(() => {
      const links = this.#sql.links.all(this.#compacted, to);
      for (const row of links) {
        if (row.previous_revision > 0) this.#sql.forget.run(row.previous_revision);
        if (row.deleted === 1) this.#sql.forget.run(row.revision);
      }
      this.#openForgotten += links.length;
      this.#setMeta("compacted", to);
      return this.#mayStayOpen(0, links.length + 1);
    });
    this.#compacted = to;
  }

  flush(): void {
    if (this.#openRows > 0) this.#transact(() => false);
  }

  rest(): Promise<void> | undefined {
    return this.database.inTransaction || !this.log.isDue ? undefined : this.log.checkpoint();
  }

  leased(): Iterable<Leased> {
    return this.#leasedAtOpen.splice(0);
  }

  async close(): Promise<void> {
    try {
      // Left in order, nothing is missing: no revision needs to be skipped.
      if (this.#reserved > this.#revision) {
        this.#transact(() => {
          this.#reserve(this.#revision);
          return false;
        });
      } else this.flush();
      await this.durable();
    } finally {
      for (const statement of Object.values(this.#sql)) statement.finalize();
      await this.opened[Symbol.asyncDispose]();
    }
  }

  #meta(name: string): number {
    return this.#sql.meta.get(name)?.value ?? 0;
  }

  #setMeta(name: string, value: number): void {
    this.#openBytes += name.length;
    this.#sql.setMeta.run(name, value);
  }

  /** Is everything up to `revision` safe from being counted twice, and the transaction small? */
  #mayStayOpen(revision: Revision, rows: number): boolean {
    const isReserved = revision <= this.#reserved;
    this.#openRows += rows;
    if (isReserved) return this.#openRows > 0 && this.#openRows <= mostOpenRows;
    this.#reserve(revision + reserveRevisions);
    return false;
  }

  /** Holds from the commit on. */
  #reserve(revision: Revision): void {
    this.#setMeta("reserved", revision);
    this.#reserving = revision;
  }

  /** Runs `work` in the open transaction or a new one; commits unless `work` lets it stay open. */
  #transact(work: () => boolean): void {
    this.log.check();
    if (!this.database.inTransaction) this.#begin();
    try {
      if (work()) return;
      this.database.run("COMMIT");
      this.log.wrote(this.#openBytes, this.#openForgotten);
    } catch (error) {
      this.#takeBack();
      throw error;
    }
    this.#reserved = this.#reserving;
    this.#uncommitted = [];
    this.#openRows = 0;
  }

  #begin(): void {
    this.database.run("BEGIN IMMEDIATE");
    this.#openBytes = 0;
    this.#openForgotten = 0;
    // What a failed commit took along has been told already: it is written again.
    for (const { entry, previous } of this.#uncommitted) this.#insert(entry, previous);
  }

  /** Undoes the open transaction; SQLite does so by itself after some failures. */
  #takeBack(): void {
    if (this.database.inTransaction) this.database.run("ROLLBACK");
    this.#reserving = this.#reserved;
    this.#compacted = this.#meta("compacted");
    this.#openRows = this.#uncommitted.length;
    if (this.#uncommitted.length === 0) return;
    try {
      this.#begin();
    } catch {
      // The next write tries again and tells.
      if (this.database.inTransaction) this.database.run("ROLLBACK");
    }
  }

  #applyOne(
    write: Write,
    previous: Entry | undefined,
    revision: Revision,
    results: WriteResult[],
  ): Change | undefined {
    const { key } = write;
    if ((previous?.revision ?? 0) !== write.expected) {
      results.push({ ok: false, current: previous });
      return undefined;
    }
    if (write.type === "delete") {
      if (previous === undefined) {
        results.push({ ok: false, current: undefined });
        return undefined;
      }
      this.#openBytes += key.length;
      this.#sql.append.run(revision, key, previous.createRevision, previous.revision, 0, null);
      results.push({ ok: true, revision });
      return { type: "delete", revision, previous };
    }
    const { value, leaseSeconds } = write;
    const createRevision = previous?.createRevision ?? revision;
    const entry = { key, value, revision, createRevision, leaseSeconds };
    this.#insert(entry, previous);
    results.push({ ok: true, revision });
    return { type: "put", entry, previous };
  }

  #insert(entry: Entry, previous: Entry | undefined): void {
    const { key, value, revision, createRevision, leaseSeconds } = entry;
    const before = previous?.revision ?? 0;
    this.#openBytes += key.length + value.length;
    this.#sql.append.run(revision, key, createRevision, before, leaseSeconds, value);
  }

  #living(key: string): Entry | undefined {
    return this.#version(this.#index.get(key) ?? 0);
  }

  /** The entries of these revisions, in their order. */
  #versions(revisions: readonly Revision[]): Entry[] {
    const entries: Entry[] = [];
    for (let at = 0; at < revisions.length; at += versionsAtOnce) {
      const wanted = JSON.stringify(revisions.slice(at, at + versionsAtOnce));
      for (const row of this.#sql.versions.all(wanted)) entries.push(entryOf(row));
    }
    assert(entries.length === revisions.length, "the log keeps every living version");
    return entries;
  }

  /** The heads of all log rows, in order: later ones win. */
  #readHeads(): { living: Map<string, Revision>; leased: Leased[]; newest: Revision } {
    const living = new Map<string, Revision>();
    const leases = new Map<string, Leased>();
    let newest = 0;
    for (const row of this.#sql.heads.iterate()) {
      const { key, revision, lease_seconds: leaseSeconds } = row;
      newest = revision;
      leases.delete(key);
      if (row.deleted === 1) living.delete(key);
      else {
        living.set(key, revision);
        if (leaseSeconds > 0) leases.set(key, { key, revision, leaseSeconds });
      }
    }
    return { living, leased: [...leases.values()], newest };
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
    for (const key of this.#index.keys(range)) {
      if (!undone.has(key)) versions.push({ key, revision: this.#index.get(key) ?? 0 });
    }
    versions.sort((a, b) => compareKeys(a.key, b.key));
    const taken = limit > 0 ? versions.slice(0, limit) : versions;
    const entries = this.#versions(taken.map(({ revision }) => revision));
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

/** Keys that a batch has changed, and what each is then. */
type Fresh = Map<string, Entry | undefined>;
type Leased = Pick<Entry, "key" | "revision" | "leaseSeconds">;
type Put = Extract<Change, { readonly type: "put" }>;

function isPut(change: Change): change is Put {
  return change.type === "put";
}

function isSoon(write: Write): boolean {
  return write.type === "put" && write.durability === "soon";
}
